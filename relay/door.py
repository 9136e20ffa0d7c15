"""The door to the transport: what ASGI does not offer and a relay needs.

An ASGI `send` waits while a client does not read, and has no way to give up on it: its buffer and socket
would stay for as long as the peer acknowledges TCP's window probes. This subclass of uvicorn's WebSocket
protocol puts itself into the connection's ASGI scope. Servers without it still work; they only let go of
stalled clients more slowly.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION: Final = "streamxr.door"
LINGER_S: Final = 5.0  # a closed client may still read what was sent, and the close code, for this long


class Door(Protocol):
    def limit_buffer(self, high_water: int) -> None:
        """`send` waits once this many bytes lie in the write buffer."""

    def close_now(self, code: int, reason: str) -> None:
        """Close without waiting for the peer to read; cut the line after LINGER_S."""


class DoorWebSocketProtocol(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:  # None: the handshake was refused
            scope["extensions"][EXTENSION] = self

    def limit_buffer(self, high_water: int) -> None:
        self.transport.set_write_buffer_limits(high=high_water)

    def close_now(self, code: int, reason: str) -> None:
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:  # the peer's answer to the close must be seen
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)
