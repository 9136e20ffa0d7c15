"""Simulated clients: the other end of the connection. The server imports nothing from this package."""
