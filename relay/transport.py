"""The line to one client: what a connection needs of a transport, and how plain ASGI gives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from .frames import Burst, Frame

LEAST_WAITING_BYTES: Final = 1024  # a small room's tick need not wait for a few others to leave
LAST_WORDS_S: Final = 1.0  # how long a close frame may wait once the client is given up


class Line(Protocol):
    """Nothing here ever waits for the client."""

    def offer(self, burst: Burst) -> bool:
        """Send a tick unless it would wait behind more than one such; whether it was sent."""

    def unsent(self) -> int:
        """Bytes that wait in this process."""

    def write(self, frame: Frame) -> None:
        """Send after all that was written before; nothing after a close."""

    def close(self, code: int, reason: str) -> None:
        """Close after all that was written."""

    def evict(self, code: int, reason: str) -> None:
        """Close without waiting for the client to read what was written."""


class QueuedLine:
    """A line on any ASGI server: a queue, and a task that feeds `send`, which waits while a client does not read.

    `run` it as long as the socket lives.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: deque[Frame] = deque()
        self._unsent = 0
        self._ticks = 0  # binary frames among the queued and the one being sent
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._evicted: tuple[int, str] | None = None
        self._sending: asyncio.Task[None] | None = None

    def offer(self, burst: Burst) -> bool:
        if self._ticks:  # a send that waits has filled a buffer of unknown size
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
        self._ticks += not frame.is_text
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    def evict(self, code: int, reason: str) -> None:
        self._evicted = (code, reason)
        if self._sending:
            self._sending.cancel()

    async def run(self) -> None:
        """Send until the line is closed, evicted or gone."""
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
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._websocket.close(code, reason)

    async def _send_all(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # gone; the reader hears of it too
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    frame = self._queue.popleft()
                    if frame.is_text:
                        await self._websocket.send_text(frame.payload.decode())
                    else:
                        await self._websocket.send_bytes(frame.payload)
                        self._ticks -= 1
                    self._unsent -= len(frame)
                if self._closing:
                    code, reason = self._closing
                    await self._websocket.close(code, reason)
                    return
