"""Job tokens, process pools, limits and signals. Nothing here knows of 3D."""
