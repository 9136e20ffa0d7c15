"""Draws models on the CPU and compares the pictures, so that a build can look at its results."""
