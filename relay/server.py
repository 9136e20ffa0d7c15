"""uvicorn configured for a relay: its WebSocket implementation, its limits, and its way to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from types import FrameType
from typing import Final

import uvicorn

from .app import Relay, create_app
from .fast_path import MAX_UNSENT_BYTES, FastPathWebSocketProtocol, fast_path_available
from .limited_protocols import LimitedWebSocketProtocol, TimedHttpProtocol
from .metrics_server import MetricsServer
from .settings import RelaySettings

log = logging.getLogger("streamxr.relay")

MAX_FRAME_BYTES: Final = 64 * 1024  # the largest allowed message has 16 KiB; uvicorn's default is 16 MiB
BACKLOG: Final = 2048  # all clients of a relay may reconnect at once
PING_INTERVAL_S: Final = 20.0  # keeps proxies from closing quiet connections, and detects lost peers


class RelayServer(uvicorn.Server):
    """Drains the relay and stops at the first signal; stops at once at the second."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        fast_path: bool = True,
        log_level: str = "warning",
        metrics: socket.socket | None = None,
    ) -> None:
        """Create the relay. Without `fast_path`, or if it is not available, connections use plain ASGI. `metrics` is
        the listening socket that serves /metrics.

        Raises StoreError if the state file of the settings cannot be used.
        """
        if fast_path and not fast_path_available():
            log.warning("the fast path does not support this version of uvicorn or websockets; poses use slower ASGI")
            fast_path = False
        app = create_app(settings)
        self.relay: Relay = app.state.relay
        self._metrics_listener = metrics
        self._metrics = MetricsServer(self.relay.metrics.exposition)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._stopping = False
        super().__init__(
            uvicorn.Config(
                app,
                http=TimedHttpProtocol,
                ws=FastPathWebSocketProtocol if fast_path else LimitedWebSocketProtocol,
                ws_max_size=MAX_FRAME_BYTES,
                ws_ping_interval=PING_INTERVAL_S,
                ws_ping_timeout=PING_INTERVAL_S,
                # Poses are small and hard to compress: deflate would nearly double the relay's work and save little.
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
        if self._metrics_listener:
            await self._metrics.start(self._metrics_listener)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._metrics.stop()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Drain, then exit. A second call exits at once. May be called from other threads and signal handlers."""
        if self._stopping or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._stopping = True
        self._loop.call_soon_threadsafe(self._drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        # uvicorn's own handler would close all connections with 1012 before the application could drain, and then
        # raise the signal again, which makes the exit status that of a killed process.
        self.stop()

    def _drain(self) -> None:
        self._draining = asyncio.get_running_loop().create_task(self.relay.drain())
        self._draining.add_done_callback(self._drained)

    def _drained(self, _task: asyncio.Task[None]) -> None:
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket. Port 0 takes a free one.

    Raises OSError if the address cannot be bound.
    """
    if ":" in host:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6, dualstack_ipv6=host == "::", backlog=BACKLOG
        )
    else:
        listener = socket.create_server((host, port), backlog=BACKLOG)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # accepted sockets inherit the option
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    return listener
