"""Rooms as state machines without sockets and clocks, and the store of their objects."""
