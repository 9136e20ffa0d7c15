"""Pass WebSockets of the page's origin on to a relay, so that one certificate serves both."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final
from urllib.parse import quote, urlsplit

import websockets
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

PATH: Final = "/relay"
MAX_MESSAGE_BYTES: Final = 256 * 1024
OPEN_SECONDS: Final = 10.0
UNAVAILABLE: Final = 1013  # the close code of RFC 6455's registry for "try again later"
NOT_SENT: Final = (1005, 1006, 1015)  # codes that stand for a missing close frame and may not be sent


def relay_route(address: str) -> WebSocketRoute:
    """The route that passes everything below PATH on to the relay at `address`, such as ws://127.0.0.1:8787."""
    relay = urlsplit(address)
    port = relay.port or (443 if relay.scheme == "wss" else 80)

    async def connect(socket: WebSocket) -> None:
        subprotocols = [Subprotocol(name) for name in socket.scope["subprotocols"]]
        origin, peer = socket.headers.get("origin"), socket.client
        # The relay sees the page's host, since it lets pages of its own host in; the connection goes to the relay's.
        host = socket.headers.get("host", relay.netloc) if relay.scheme == "ws" else relay.netloc
        target = f"{relay.scheme}://{host}{relay.path.rstrip('/')}/{quote(socket.path_params['path'])}"
        query = socket.scope["query_string"].decode("latin-1")
        try:
            upstream = await websockets.connect(
                f"{target}?{query}" if query else target,
                host=relay.hostname,
                port=port,
                origin=None if origin is None else Origin(origin),
                subprotocols=subprotocols or None,
                additional_headers={"X-Forwarded-For": peer.host} if peer else None,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                open_timeout=OPEN_SECONDS,
                ping_interval=None,  # the relay's pings pass through neither side: each side has its own
                proxy=None,
            )
        except (OSError, TimeoutError, ValueError, websockets.WebSocketException):
            await socket.close(UNAVAILABLE, f"no relay answers at {address}"[:120])
            return
        async with upstream:
            await socket.accept(upstream.subprotocol)
            async with asyncio.TaskGroup() as group:
                group.create_task(_to_relay(socket, upstream))
                group.create_task(_to_page(upstream, socket))

    return WebSocketRoute(f"{PATH}/{{path:path}}", connect)


async def _to_relay(page: WebSocket, relay: ClientConnection) -> None:
    while True:
        message = await page.receive()
        if message["type"] == "websocket.disconnect":
            await relay.close(_code(message.get("code")), message.get("reason") or "")
            return
        content = message.get("bytes")
        try:
            await relay.send(message["text"] if content is None else content)
        except websockets.ConnectionClosed:
            return  # the other task closes the page's side


async def _to_page(relay: ClientConnection, page: WebSocket) -> None:
    with contextlib.suppress(websockets.ConnectionClosed, WebSocketDisconnect):
        async for message in relay:
            await (page.send_text(message) if isinstance(message, str) else page.send_bytes(message))
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the page has left already
        await page.close(_code(relay.close_code), relay.close_reason or "")


def _code(code: int | None) -> int:
    return 1000 if code is None or code in NOT_SENT else code
