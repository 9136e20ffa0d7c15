"""The limit of open file descriptors, of which each connection takes one."""

from __future__ import annotations

import sys
from typing import Final

RESERVED: Final = 64  # for the listening socket, logs, the store, and clients that are being refused


def raise_limit() -> int | None:
    """Raise the soft limit of this process to the hard one, and return it; None if the system has no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # some systems report a hard limit that no process may have
        hard, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard
