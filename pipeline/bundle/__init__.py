"""The bundle folder: base, animations, manifest and files; its validator and its server."""
