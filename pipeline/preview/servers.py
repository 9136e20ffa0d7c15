"""Run the preview, and the page about its certificate beside it, until a signal ends both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette


@dataclass(frozen=True)
class Listener:
    """An application on a listening socket. certificate, key: files for TLS, or None for plain HTTP."""

    app: Starlette
    socket: socket.socket
    certificate: Path | None = None
    key: Path | None = None


def run(preview: Listener, more: Listener | None = None, *, quiet: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. Connections that are open then get a moment to finish."""
    first = uvicorn.Server(_config(preview, quiet=quiet))
    if more is None:
        first.run(sockets=[preview.socket])
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run_both(first, preview.socket, _Follower(_config(more, quiet=True)), more.socket))


class _Follower(uvicorn.Server):
    """A server that leaves signals to another one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run_both(first: uvicorn.Server, its: socket.socket, second: _Follower, their: socket.socket) -> None:
    beside = asyncio.create_task(second.serve(sockets=[their]))
    try:
        await first.serve(sockets=[its])
    finally:
        second.should_exit = True
        await beside


def _config(listener: Listener, *, quiet: bool) -> uvicorn.Config:
    return uvicorn.Config(
        listener.app,
        log_level="warning" if quiet else "info",
        access_log=not quiet,
        ssl_certfile=listener.certificate,
        ssl_keyfile=listener.key,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
    )
