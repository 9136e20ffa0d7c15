"""The bundle folder: base, animations, manifest and files, with its validator and preview server."""
