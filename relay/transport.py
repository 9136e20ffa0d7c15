"""The transport of one connection: the interface, and its implementation on plain ASGI."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from .frames import Burst, Frame

MIN_BACKLOG_BYTES: Final = 1024  # ticks of small rooms need not wait until this little has been sent
CLOSE_TIMEOUT_S: Final = 1.0  # time to send the close frame to an evicted client


class Transport(Protocol):
    """No method waits for the client."""

    def offer(self, burst: Burst) -> bool:
        """Send a tick unless more than one such tick is still unsent. Returns whether it was sent."""

    def unsent(self) -> int:
        """Bytes written and not yet passed to the kernel."""

    def write(self, frame: Frame) -> None:
        """Send a frame after all earlier ones. Does nothing after a close."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection after all frames written before."""

    def evict(self, code: int, reason: str) -> None:
        """Close the connection without waiting until the client has read what was written."""


class AsgiTransport:
    """A transport on any ASGI server: a queue, and a task that passes its frames to ASGI's `send`.

    ASGI's `send` waits while the client does not read. `run` must run as long as the connection.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[Frame] = deque()
        self._unsent = 0
        self._unsent_ticks = 0  # binary frames in the queue, including the one being sent
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._evicted: tuple[int, str] | None = None
        self._sending: asyncio.Task[None] | None = None

    def offer(self, burst: Burst) -> bool:
        if self._unsent_ticks:  # `send` waits, so a server buffer of unknown size is already full
            return False
        for frame in burst.frames:
            self.write(frame)
        return True

    def unsent(self) -> int:
        return self._unsent

    def write(self, frame: Frame) -> None:
        if self._closing or self._evicted:
            return
        self._queue.append(frame)
        self._unsent += len(frame)
        self._unsent_ticks += not frame.is_text
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def evict(self, code: int, reason: str) -> None:
        self._evicted = (code, reason)
        if self._sending:
            self._sending.cancel()

    async def run(self) -> None:
        """Send until the connection is closed, evicted or lost."""
        self._sending = asyncio.create_task(self._send_all())
        if not self._evicted:
            try:
                await self._sending
            except asyncio.CancelledError:
                if not self._evicted:
                    raise
        if self._evicted:
            code, reason = self._evicted
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._websocket.close(code, reason)

    async def _send_all(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # connection lost; the reader notices it too
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    frame = self._queue.popleft()
                    if frame.is_text:
                        await self._websocket.send_text(frame.payload.decode())
                    else:
                        await self._websocket.send_bytes(frame.payload)
                        self._unsent_ticks -= 1
                    self._unsent -= len(frame)
                if self._closing:
                    code, reason = self._closing
                    await self._websocket.close(code, reason)
                    return
