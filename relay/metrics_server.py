"""Serves /metrics on a socket of its own, so that no proxy before the relay can make it public by mistake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from .exposition import CONTENT_TYPE
from .limited_protocols import TimedHttpProtocol

PATHS = ("/metrics", "/metrics/")


class MetricsServer:
    """Answers scrapes on the event loop of the relay."""

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        self._exposition = exposition
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._config = uvicorn.Config(
            self._answer,
            http=TimedHttpProtocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            server_header=False,
        )

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: TimedHttpProtocol(self._config, self._state, {}), sock=listener
        )

    def stop(self) -> None:
        if self._server:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    async def _answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        found = scope["path"] in PATHS
        body = self._exposition() if found else b"only /metrics is here\n"
        kind = CONTENT_TYPE if found else "text/plain"
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})
