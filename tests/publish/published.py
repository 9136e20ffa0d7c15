"""What is in a store, as its readers see it."""

from __future__ import annotations

from streamxr.pipeline.publish.store import Store


def read_from(store: Store, key: str) -> bytes:
    """The decoded bytes of a file."""
    found = store.read(key)
    if found is None:
        raise FileNotFoundError(key)
    return found.plain()


def keys_of(store: Store, prefix: str = "") -> set[str]:
    return {found.key for found in store.list(prefix)}
