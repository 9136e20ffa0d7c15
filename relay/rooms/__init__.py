"""Room state machines without sockets or clocks, and the store that keeps their objects."""
