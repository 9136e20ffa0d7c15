"""Readers of every source format; all formats but glTF are translated into a glTF document."""
