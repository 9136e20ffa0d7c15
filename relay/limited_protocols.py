"""Limits below the level of messages: uvicorn's protocols with a time limit for requests, and one for control frames.

uvicorn waits for the rest of a request without end, and answers any number of pings. Both would let one client use all
connections or a whole core without ever sending a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from .protocol.messages import CloseCode
from .rate import TokenBucket

REQUEST_TIMEOUT_S: Final = 10.0  # from the connection, or the response before, to the end of a request's headers
# Pings, pongs and continuations. Browsers send a pong for each of our pings, every 20 s, and no fragments.
CONTROL_FRAMES_PER_S: Final = 5.0
CONTROL_FRAME_BURST: Final = 50
INVALID_TEXT: Final = 1007  # RFC 6455, 8.1
LINGER_S: Final = 5.0  # time for a closed client to read the data that was sent, and the close code


class TimedHttpProtocol(H11Protocol):
    """Aborts a connection that sends no complete request in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_request()

    def _expect_request(self) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._check)

    def _check(self) -> None:
        upgraded = self.transport.get_protocol() is not self
        if not upgraded and (self.cycle is None or self.cycle.response_complete):
            self.transport.abort()


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Closes a connection that sends too many control frames or fragments with 1008."""

    _control_frames: TokenBucket | None = None

    def handle_ping(self) -> None:
        if self._count_control_frame():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._count_control_frame():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if self._count_control_frame():
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Pass a whole message on. uvicorn logs text that is not UTF-8 with a traceback, as a fault of its own."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(self.frames):
            self.frames = []
            self.close(INVALID_TEXT, "the text is not UTF-8")
            return
        super().send_receive_event_to_app()

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after all earlier frames, without waiting for the peer. Abort after LINGER_S."""
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:  # otherwise the close frame of the peer would never be read
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _count_control_frame(self) -> bool:
        """Whether the frame is to be handled. Closes the connection at the first one too many."""
        if self.close_sent:
            return False
        now = self.loop.time()
        frames = self._control_frames
        if frames is None:
            frames = self._control_frames = TokenBucket(CONTROL_FRAMES_PER_S, CONTROL_FRAME_BURST, now)
        if frames.take(now):
            return True
        self.close(CloseCode.POLICY, "too many control frames or fragments")
        transport: Any = self.transport
        transport.pause_reading()  # what follows would cost as much as before
        return False


def _is_utf8(fragments: Iterable[bytes]) -> bool:
    """Whether the fragments of a text message are UTF-8 together."""
    try:
        b"".join(fragments).decode()
    except UnicodeDecodeError:
        return False
    return True
