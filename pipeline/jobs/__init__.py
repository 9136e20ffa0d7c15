"""Job tokens, process pools, limits and signals; independent of 3D."""
