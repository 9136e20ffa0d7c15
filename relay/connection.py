"""One socket: what it may send, how fast, and what happens when it does not read.

Two tasks live as long as the socket. The reader takes one message at a time, checks size and rate, parses it
and hands it on. The writer sends control messages in order, then the latest tick. Nothing here ever waits
for a client: a tick it has no room for is skipped, and the next one it gets is a keyframe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from .door import EXTENSION, Door
from .metrics import Counts
from .moves import OBJECT_MOVES, Moves, decode_moves_up
from .poses import PoseUp, decode_pose_up
from .protocol import (
    MAX_CONTROL_BYTES,
    ClientMessage,
    CloseCode,
    Error,
    ErrorCode,
    ProtocolError,
    encode_control,
    parse_control,
)
from .rate import TokenBucket

MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame holds 125, the code takes two
_OBJECT_MOVES: Final = bytes((OBJECT_MOVES,))
LAST_WORDS_S: Final = 1.0  # how long a close frame may wait where there is no door


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    hello_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0  # no frame of any kind; a page that is there answers ticks at least
    stall_timeout_s: float = 3.0  # one write that takes longer costs the client its seat
    poses_per_s: int = 90  # a headset at 90 Hz that does not heed tick_hz
    control_per_s: int = 20
    # Offences (bad or too many messages) are forgiven at this rate; the burst is what a hiccup may cost.
    offences_per_s: float = 5.0
    offence_burst: int = 50
    high_water_bytes: int = 16 * 1024  # poses older than this much unsent data are not worth queueing behind
    control_queue_bytes: int = 256 * 1024


class RefusalError(Exception):
    """The connection is to be closed, with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Handler = Callable[[ClientMessage | PoseUp | Moves], None]


class Connection:
    def __init__(
        self, websocket: WebSocket, limits: ConnectionLimits, clock: Callable[[], float], counts: Counts
    ) -> None:
        self.missed_tick = True  # a newcomer has seen nothing yet
        self.greeted = False  # set by the handler that accepted a hello
        self.welcomed = False  # set by the room: has heard welcome, and hears what came about after it
        self.close_code = 1006  # of whoever closed first; 1006 when nobody did
        self._websocket = websocket
        self._limits = limits
        self._clock = clock
        self._counts = counts
        self._door: Door | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        now = clock()
        self._pose_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._move_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._control_allowance = TokenBucket(limits.control_per_s, 2 * limits.control_per_s, now)
        self._offence_allowance = TokenBucket(limits.offences_per_s, limits.offence_burst, now)
        self._controls: deque[str] = deque()
        self._queued_bytes = 0
        self._frames: deque[bytes] = deque()
        self._heard_at = now
        self._wake = asyncio.Event()
        self._sending_since: float | None = None
        self._closing: tuple[CloseCode, str] | None = None
        self._evicted: tuple[CloseCode, str] | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def run(self, handle: Handler) -> None:
        """Serve an accepted socket until it is gone. `handle` is given each message in turn and may raise
        ProtocolError (the sender is told) or RefusalError (the socket is closed)."""
        if self._door:
            self._door.limit_buffer(self._limits.high_water_bytes)
        overdue = asyncio.get_running_loop().call_later(self._limits.hello_timeout_s, self._hello_overdue)
        self._tasks = (asyncio.create_task(self._read(handle)), asyncio.create_task(self._write()))
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            overdue.cancel()
            for task in self._tasks:
                task.cancel()
            ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._evicted and not self._door:
            code, reason = self._evicted
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._websocket.close(code, reason)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def send(self, text: str) -> None:
        """Queue a control message. A client whose queue overflows is evicted: it must not miss any."""
        if self._closing or self._evicted:
            return
        self._queued_bytes += len(text)
        if self._queued_bytes > self._limits.control_queue_bytes:
            self.evict(CloseCode.SLOW, "control messages were not read in time")
            return
        self._controls.append(text)
        self._wake.set()

    def offer(self, frame: bytes | None, moves: bytes | None, now: float) -> None:
        """Send this tick, its poses and object moves, unless the one before is still unsent; then `missed_tick`
        asks for keyframes."""
        if now - self._heard_at > self._limits.idle_timeout_s:
            self.close(CloseCode.IDLE, f"nothing was heard for {self._limits.idle_timeout_s:g} s")
        if not self._frames and self._sending_since is None:
            self._frames.extend(part for part in (frame, moves) if part is not None)
            self.missed_tick = False
            self._wake.set()
            return
        self.missed_tick = True
        self._counts.skipped_ticks += 1
        if self._sending_since is not None and now - self._sending_since > self._limits.stall_timeout_s:
            self.evict(CloseCode.SLOW, f"nothing was read for {self._limits.stall_timeout_s:g} s")

    def close(self, code: CloseCode, reason: str) -> None:
        """Close after the control messages that are queued."""
        if not self._closing and not self._evicted:
            self._closing = (code, _fit(reason))
            self.close_code = code
            self._counts.closes[code] += 1
            self._wake.set()

    def evict(self, code: CloseCode, reason: str) -> None:
        """Close at once and drop what is queued."""
        if self._evicted:
            return
        if not self._closing:
            self._counts.closes[code] += 1
        self._evicted = (code, _fit(reason))
        self.close_code = code
        if self._door:
            self._door.close_now(*self._evicted)
        for task in self._tasks:
            task.cancel()

    async def _read(self, handle: Handler) -> None:
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                if not self._closing and not self._evicted:
                    self.close_code = event.get("code") or 1006
                return
            if self._closing:
                continue
            try:
                message = self._accept(event)
                if message is not None:
                    handle(message)
            except ProtocolError as error:
                self._rebuke(error)
            except RefusalError as refusal:
                self.close(refusal.code, refusal.reason)

    def _accept(self, event: MutableMapping[str, Any]) -> ClientMessage | PoseUp | Moves | None:
        now = self._heard_at = self._clock()
        text: str | None = event.get("text")
        if text is None:
            frame: bytes = event["bytes"]
            self._counts.received_bytes += len(frame)
            are_moves = frame[:1] == _OBJECT_MOVES
            if not (self._move_allowance if are_moves else self._pose_allowance).take(now):
                what = "frames of object moves" if are_moves else "poses"
                raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.poses_per_s} {what} per second")
            if are_moves:
                return decode_moves_up(frame)
            pose = decode_pose_up(frame)
            self._counts.poses += 1
            return pose
        self._counts.received_bytes += len(text)
        if len(text) > MAX_CONTROL_BYTES or len(text.encode()) > MAX_CONTROL_BYTES:
            raise RefusalError(CloseCode.TOO_BIG, f"a control message has at most {MAX_CONTROL_BYTES} bytes")
        if not self._control_allowance.take(now):
            raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.control_per_s} control messages per second")
        return parse_control(text)

    def _rebuke(self, error: ProtocolError) -> None:
        self._counts.errors[error.code] += 1
        if error.code is ErrorCode.VERSION:
            self.close(CloseCode.VERSION, error.message)
        elif not self._offence_allowance.take(self._clock()):
            code = CloseCode.RATE if error.code is ErrorCode.RATE else CloseCode.POLICY
            self.close(code, f"too many offences; the last: {error.message}")
        else:
            self.send(encode_control(Error(error.code, error.message)))

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._controls or self._frames:
                    if self._controls:
                        text = self._controls.popleft()
                        self._queued_bytes -= len(text)
                        await self._send({"type": "websocket.send", "text": text}, len(text))
                    else:
                        frame = self._frames.popleft()
                        await self._send({"type": "websocket.send", "bytes": frame}, len(frame))
                if self._closing:
                    code, reason = self._closing
                    await self._send({"type": "websocket.close", "code": code, "reason": reason}, 0)
                    return
        except (WebSocketDisconnect, RuntimeError):
            return  # gone; the reader hears of it too

    async def _send(self, event: dict[str, Any], size: int) -> None:
        self._sending_since = self._clock()
        await self._websocket.send(event)
        self._sending_since = None
        self._counts.sent_bytes += size

    def _hello_overdue(self) -> None:
        if not self.greeted:
            self.close(CloseCode.IDLE, f"no hello within {self._limits.hello_timeout_s:g} s")


def _fit(reason: str) -> str:
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
