"""One socket: what it may send, how fast, and what happens when it does not read.

The reader takes one message at a time, checks size and rate, parses it and hands it on. Nothing here ever waits
for a client: a tick it has no room or no credit for is skipped, and the next one it gets is a keyframe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket

from .credit import Credit
from .fast_path import EXTENSION, DoorWebSocketProtocol
from .frames import Burst, Frame, text_frame
from .metrics import Counts
from .protocol.control import encode_control, parse_control
from .protocol.messages import MAX_CONTROL_BYTES, ClientMessage, CloseCode, Error, ErrorCode, ProtocolError
from .protocol.moves import OBJECT_MOVES, Moves, decode_moves_up
from .protocol.poses import ACK_UP, decode_ack_up, decode_pose_up
from .rate import TokenBucket
from .rooms.latest_poses import Placed
from .transport import Line, QueuedLine

NO_CLOSE_FRAME: Final = 1006
MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame holds 125, the code takes two
AGE_SAMPLE: Final = 16  # one answer of so many is measured


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    hello_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0  # no frame of any kind; a page that is there answers ticks at least
    stall_timeout_s: float = 3.0  # no room for a tick for this long costs the client its seat
    answer_timeout_s: float = 10.0  # so does no answer to ticks; a page that compiles shaders may take seconds
    poses_per_s: int = 90  # a headset at 90 Hz that does not heed tick_hz
    control_per_s: int = 20
    # Offences (bad or too many messages) are forgiven at this rate; the burst is what a hiccup may cost.
    offences_per_s: float = 5.0
    offence_burst: int = 50
    control_queue_bytes: int = 512 * 1024  # the welcome to 1,000 people with the longest names and 500 objects fits


class RefusalError(Exception):
    """The connection is to be closed, with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Handler = Callable[[ClientMessage | Moves], None]


class Connection:
    def __init__(
        self, websocket: WebSocket, limits: ConnectionLimits, clock: Callable[[], float], counts: Counts
    ) -> None:
        self.missed_tick = True  # a newcomer has seen nothing yet
        self.greeted = False  # set by the handler that accepted a hello
        self.welcomed = False  # set by the room: has heard welcome, and hears what came about after it
        self.tick_period_s = 1.0 / 30.0
        self._websocket = websocket
        self._limits = limits
        self._clock = clock
        self._counts = counts
        self._door: DoorWebSocketProtocol | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        self._line: Line = self._door or QueuedLine(websocket)
        self._handle: Handler | None = None
        self._placed: Placed | None = None
        now = clock()
        self._pose_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._move_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._control_allowance = TokenBucket(limits.control_per_s, 2 * limits.control_per_s, now)
        self._offence_allowance = TokenBucket(limits.offences_per_s, limits.offence_burst, now)
        self._credit = Credit()
        self._no_room_since: float | None = None
        self._heard_at = now
        self._closed = False
        self.close_code = NO_CLOSE_FRAME
        self.close_reason = ""

    async def run(self, handle: Handler) -> None:
        """Serve an accepted socket until it is gone. `handle` is given each message but poses in turn and may
        raise ProtocolError (the sender is told) or RefusalError (the socket is closed)."""
        self._handle = handle
        overdue = asyncio.get_running_loop().call_later(self._limits.hello_timeout_s, self._hello_overdue)
        try:
            if self._door:
                self._door.open_door(self._hear_binary)
                await self._read()
            else:
                assert isinstance(self._line, QueuedLine)
                await _first_of(self._read(), self._line.run())
        finally:
            overdue.cancel()
            self._handle = self._placed = None

    def place_poses(self, placed: Placed) -> None:
        """From now on poses are obeyed: they go there."""
        self._placed = placed

    def send(self, text: str) -> None:
        """Send a control message."""
        self.post(text_frame(text))

    def post(self, frame: Frame) -> None:
        """Send a control message that is framed already. A client for which too many wait is evicted: it must
        not miss any."""
        if self._closed:
            return
        self._line.write(frame)
        self._counts.sent_bytes += len(frame)
        if self._line.unsent() > self._limits.control_queue_bytes:
            self.evict(CloseCode.SLOW, "control messages were not read in time")

    def offer(self, burst: Burst, tick_ms: int, now: float) -> None:
        """Send this tick, unless earlier ones are under way; then `missed_tick` asks for keyframes."""
        if self._closed:
            return
        if now - self._heard_at > self._limits.idle_timeout_s:
            self.close(CloseCode.IDLE, f"nothing was heard for {self._limits.idle_timeout_s:g} s")
        elif not self._credit.allows(now):
            self._skip()
            if self._credit.silent_for(now) > self._limits.answer_timeout_s:
                self.evict(CloseCode.SLOW, f"no tick was answered for {self._limits.answer_timeout_s:g} s")
        elif not self._line.offer(burst):
            self._skip()
            if self._no_room_since is None:
                self._no_room_since = now
            elif now - self._no_room_since > self._limits.stall_timeout_s:
                self.evict(CloseCode.SLOW, f"nothing was read for {self._limits.stall_timeout_s:g} s")
        else:
            self._counts.sent_bytes += burst.size
            self._credit.sent(tick_ms, now)
            self._no_room_since = None
            self.missed_tick = False

    def close(self, code: CloseCode, reason: str) -> None:
        """Close after the control messages that wait."""
        if self._end(code, reason):
            self._line.close(code, _fit(reason))

    def evict(self, code: CloseCode, reason: str) -> None:
        """Close without waiting for the client to read anything."""
        self._end(code, reason)
        self._line.evict(code, _fit(reason))

    def _end(self, code: CloseCode, reason: str) -> bool:
        was_open = not self._closed
        self._closed = True
        if was_open:
            self.close_code, self.close_reason = code, reason
        self._counts.closes[code] += was_open
        return was_open

    def _skip(self) -> None:
        self.missed_tick = True
        self._counts.skipped_ticks += 1

    async def _read(self) -> None:
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                if not self._closed:
                    self.close_code = event.get("code") or NO_CLOSE_FRAME
                return
            text: str | None = event.get("text")
            if text is None:
                self._hear_binary(event["bytes"])
            else:
                self._hear(self._obey_text, text)

    def _hear_binary(self, payload: bytes) -> None:
        self._hear(self._obey_binary, payload)

    def _hear(self, obey: Callable[[Any], None], payload: str | bytes) -> None:
        if self._closed:
            return
        try:
            obey(payload)
        except ProtocolError as error:
            self._rebuke(error)
        except RefusalError as refusal:
            self.close(refusal.code, refusal.reason)

    def _obey_binary(self, payload: bytes) -> None:
        now = self._clock()
        counts = self._counts
        counts.received_bytes += len(payload)
        self._heard_at = now
        kind = payload[0] if payload else 0
        if not (self._move_allowance if kind == OBJECT_MOVES else self._pose_allowance).take(now):
            what = "frames of object moves" if kind == OBJECT_MOVES else "poses"
            raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.poses_per_s} {what} per second")
        if kind == ACK_UP:
            ack_tick = decode_ack_up(payload)
        elif kind == OBJECT_MOVES:
            moves = decode_moves_up(payload)
            ack_tick = moves.tick_ms
            if self._handle:
                self._handle(moves)
        else:
            flags, _, ack_tick, body = decode_pose_up(payload)
            if self._placed is None:
                raise ProtocolError(ErrorCode.STATE, "say hello first")
            self._placed.put(flags, body, now)
            counts.poses += 1
        answered_ms = self._credit.answer(ack_tick, now, self.tick_period_s)
        if answered_ms is not None:
            counts.answers += 1
            if counts.answers % AGE_SAMPLE == 0:
                counts.observe_age_s(answered_ms * 0.001)

    def _obey_text(self, text: str) -> None:
        now = self._heard_at = self._clock()
        self._counts.received_bytes += len(text)
        if len(text) > MAX_CONTROL_BYTES or len(text.encode()) > MAX_CONTROL_BYTES:
            raise RefusalError(CloseCode.TOO_BIG, f"a control message has at most {MAX_CONTROL_BYTES} bytes")
        if not self._control_allowance.take(now):
            raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.control_per_s} control messages per second")
        message = parse_control(text)
        if message is not None and self._handle is not None:
            self._handle(message)

    def _rebuke(self, error: ProtocolError) -> None:
        self._counts.errors[error.code] += 1
        if error.code is ErrorCode.VERSION:
            self.close(CloseCode.VERSION, error.message)
        elif not self._offence_allowance.take(self._clock()):
            code = CloseCode.RATE if error.code is ErrorCode.RATE else CloseCode.POLICY
            self.close(code, f"too many offences; the last: {error.message}")
        else:
            self.send(encode_control(Error(error.code, error.message)))

    def _hello_overdue(self) -> None:
        if not self.greeted:
            self.close(CloseCode.IDLE, f"no hello within {self._limits.hello_timeout_s:g} s")


async def _first_of(*works: Any) -> None:
    """Until one of them ends, or fails, which ends the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def _fit(reason: str) -> str:
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
