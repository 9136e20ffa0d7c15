"""uvicorn, set up for a relay: which WebSocket implementation, which limits, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import socket
from types import FrameType
from typing import Final

import uvicorn

from .app import Relay, RelaySettings, create_app
from .fast_path import MAX_UNSENT_BYTES, DoorWebSocketProtocol, fits

log = logging.getLogger("streamxr.relay")

MAX_FRAME_BYTES: Final = 64 * 1024  # the largest message we accept is 16 KiB; uvicorn's default is 16 MiB
BACKLOG: Final = 2048  # a whole relay's clients may come back at once
PING_INTERVAL_S: Final = 20.0  # keeps proxies from closing quiet sockets and finds peers that are gone


class RelayServer(uvicorn.Server):
    """Stops on the first signal by draining the relay, on the second at once."""

    def __init__(self, settings: RelaySettings, *, fast_path: bool = True, log_level: str = "warning") -> None:
        """Without `fast_path`, connections are served through plain ASGI, as they are where `door.fits()` is not so."""
        if fast_path and not fits():
            log.warning("this uvicorn or websockets is unknown to the fast path: poses go the slow way")
            fast_path = False
        app = create_app(settings)
        self.relay: Relay = app.state.relay
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._stopping = False
        super().__init__(
            uvicorn.Config(
                app,
                ws=DoorWebSocketProtocol if fast_path else "websockets-sansio",
                ws_max_size=MAX_FRAME_BYTES,
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_INTERVAL_S,
                # Poses are small and dense; deflate would nearly double the relay's work to save little.
                ws_per_message_deflate=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                workers=1,
                access_log=False,
                log_config=None,
                log_level=log_level,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def stop(self) -> None:
        """Drain, then exit; called again, exit at once. Safe from other threads and signal handlers."""
        if self._stopping or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        # uvicorn would close everyone with 1012 before the application hears of it, then raise the signal
        # again: no drain message, no spreading, and an exit status that says "killed".
        self.stop()

    def _drain(self) -> None:
        self._draining = asyncio.get_running_loop().create_task(self.relay.drain())
        self._draining.add_done_callback(self._drained)

    def _drained(self, _task: asyncio.Task[None]) -> None:
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket; port 0 takes a free one.

    Raises:
        OSError: with the reason, when that address cannot be had.
    """
    if ":" in host:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6, dualstack_ipv6=host == "::", backlog=BACKLOG
        )
    else:
        listener = socket.create_server((host, port), backlog=BACKLOG)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted sockets inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    return listener
