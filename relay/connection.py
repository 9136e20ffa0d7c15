"""The connection of one client: parses and limits its messages, and sends it control messages and ticks.

Incoming messages are checked for size and rate, parsed and passed on, one at a time. Sending never waits for the
client: a tick for which the transport has no space, or the client no credit, is skipped, and the next tick is a
keyframe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket

from .credit import Credit
from .fast_path import EXTENSION, FastPathWebSocketProtocol
from .frames import Burst, Frame, text_frame
from .metrics import Counts
from .protocol.control import encode_control, parse_control
from .protocol.messages import MAX_CONTROL_BYTES, ClientMessage, CloseCode, Error, ErrorCode, ProtocolError
from .protocol.moves import OBJECT_MOVES, Moves, decode_moves_up
from .protocol.poses import ACK_UP, decode_ack_up, decode_pose_up
from .rate import TokenBucket
from .rooms.latest_poses import PoseSlot
from .transport import AsgiTransport, Transport

NO_CLOSE_FRAME: Final = 1006  # RFC 6455, 7.1.5: the connection ended without a close frame
MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, and the code takes two of them
MIN_POSES_PER_S: Final = 90  # of a 90 Hz headset that ignores `tick_hz`
AGE_SAMPLING: Final = 16  # the pose age of one acknowledgement in this many is measured


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    hello_timeout_s: float = 5.0
    idle_timeout_s: float = 60.0  # without any message; an open page at least acknowledges ticks
    stall_timeout_s: float = 3.0  # without space for a tick in the transport
    ack_timeout_s: float = 10.0  # without an acknowledgement of a tick; a page may compile shaders for seconds
    poses_per_s: int = MIN_POSES_PER_S
    control_per_s: int = 20
    # Offences are malformed or excess messages. The burst allows for one hiccup of the client.
    offences_per_s: float = 5.0
    offence_burst: int = 50
    control_queue_bytes: int = 512 * 1024  # holds a welcome with 1,000 of the longest names and 500 objects

    @classmethod
    def for_ticks(cls, hz: int) -> ConnectionLimits:
        """Limits that leave each tick room for its acknowledgement or pose, and half as many more."""
        return cls(poses_per_s=max(MIN_POSES_PER_S, hz * 3 // 2))


class CloseError(Exception):
    """The connection must be closed with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


Handler = Callable[[ClientMessage | Moves], None]


class Connection:
    def __init__(
        self, websocket: WebSocket, limits: ConnectionLimits, clock: Callable[[], float], counts: Counts
    ) -> None:
        self.needs_keyframe = True  # the client has missed a tick, or has received none yet
        self.hello_accepted = False  # set by the session
        self.welcomed = False  # set by the room when it sends welcome; before that it sends nothing else
        self.tick_period_s = 1.0 / 30.0
        self._websocket = websocket
        self._limits = limits
        self._clock = clock
        self._counts = counts
        self._fast_path: FastPathWebSocketProtocol | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        self._transport: Transport = self._fast_path or AsgiTransport(websocket)
        self._handle: Handler | None = None
        self._pose_slot: PoseSlot | None = None
        now = clock()
        self._pose_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._move_allowance = TokenBucket(limits.poses_per_s, limits.poses_per_s, now)
        self._control_allowance = TokenBucket(limits.control_per_s, 2 * limits.control_per_s, now)
        self._offence_allowance = TokenBucket(limits.offences_per_s, limits.offence_burst, now)
        self._credit = Credit()
        self._stalled_since: float | None = None
        self._received_at = now
        self._closed = False
        self.close_code = NO_CLOSE_FRAME
        self.close_reason = ""

    async def run(self, handle: Handler) -> None:
        """Serve an accepted socket until it is closed.

        `handle` gets each message except poses, in order. It may raise ProtocolError, which is reported to the client,
        or CloseError, which closes the connection.
        """
        self._handle = handle
        overdue = asyncio.get_running_loop().call_later(self._limits.hello_timeout_s, self._check_hello)
        try:
            if self._fast_path:
                self._fast_path.open_fast_path(self._receive_binary)
                await self._read()
            else:
                assert isinstance(self._transport, AsgiTransport)
                await _run_until_first_ends(self._read(), self._transport.run())
        finally:
            overdue.cancel()
            self._handle = self._pose_slot = None

    def accept_poses(self, slot: PoseSlot) -> None:
        """Put the poses of this client into `slot` from now on. Before, a pose is an error."""
        self._pose_slot = slot

    def send(self, text: str) -> None:
        """Send a control message."""
        self.post(text_frame(text))

    def post(self, frame: Frame) -> None:
        """Send the frame of a control message.

        A client with too many unsent messages is evicted, because none of them may be skipped.
        """
        if self._closed:
            return
        self._transport.write(frame)
        self._counts.sent_bytes += len(frame)
        if self._transport.unsent() > self._limits.control_queue_bytes:
            self.evict(CloseCode.SLOW, "control messages were not read in time")

    def offer(self, burst: Burst, tick_ms: int, now: float) -> None:
        """Send this tick, or skip it and set `needs_keyframe` if too many earlier ticks are under way.

        A client that stays behind for too long is closed or evicted.
        """
        if self._closed:
            return
        if now - self._received_at > self._limits.idle_timeout_s:
            self.close(CloseCode.IDLE, f"no message for {self._limits.idle_timeout_s:g} s")
        elif not self._credit.allows(now):
            self._skip()
            if self._credit.silent_for(now) > self._limits.ack_timeout_s:
                self.evict(CloseCode.SLOW, f"no tick was acknowledged for {self._limits.ack_timeout_s:g} s")
        elif not self._transport.offer(burst):
            self._skip()
            if self._stalled_since is None:
                self._stalled_since = now
            elif now - self._stalled_since > self._limits.stall_timeout_s:
                self.evict(CloseCode.SLOW, f"nothing was read for {self._limits.stall_timeout_s:g} s")
        else:
            self._counts.sent_bytes += burst.size
            self._credit.sent(tick_ms, now)
            self._stalled_since = None
            self.needs_keyframe = False

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the connection after the unsent control messages."""
        if self._end(code, reason):
            self._transport.close(code, _truncated(reason))

    def evict(self, code: CloseCode, reason: str) -> None:
        """Close the connection without waiting for the client to read anything."""
        self._end(code, reason)
        self._transport.evict(code, _truncated(reason))

    def _end(self, code: CloseCode, reason: str) -> bool:
        """Mark the connection as closed, and return whether it was open."""
        was_open = not self._closed
        self._closed = True
        if was_open:
            self.close_code, self.close_reason = code, reason
        self._counts.closes[code] += was_open
        return was_open

    def _skip(self) -> None:
        self.needs_keyframe = True
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
                self._receive_binary(event["bytes"])
            else:
                self._receive(self._handle_text, text)

    def _receive_binary(self, payload: bytes) -> None:
        self._receive(self._handle_binary, payload)

    def _receive(self, handle: Callable[[Any], None], payload: str | bytes) -> None:
        if self._closed:
            return
        try:
            handle(payload)
        except ProtocolError as error:
            self._report(error)
        except CloseError as error:
            self.close(error.code, error.reason)

    def _handle_binary(self, payload: bytes) -> None:
        now = self._clock()
        counts = self._counts
        counts.received_bytes += len(payload)
        self._received_at = now
        kind = payload[0] if payload else 0
        if not (self._move_allowance if kind == OBJECT_MOVES else self._pose_allowance).take(now):
            unit = "frames of object moves" if kind == OBJECT_MOVES else "poses"
            raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.poses_per_s} {unit} per second")
        if kind == ACK_UP:
            ack_tick = decode_ack_up(payload)
        elif kind == OBJECT_MOVES:
            moves = decode_moves_up(payload)
            ack_tick = moves.tick_ms
            if self._handle:
                self._handle(moves)
        else:
            flags, _, ack_tick, body = decode_pose_up(payload)
            if self._pose_slot is None:
                raise ProtocolError(ErrorCode.STATE, "send hello before poses")
            self._pose_slot.put(flags, body, now)
            counts.poses += 1
        age_ms = self._credit.acknowledge(ack_tick, now, self.tick_period_s)
        if age_ms is not None:
            counts.acks += 1
            if counts.acks % AGE_SAMPLING == 0:
                counts.observe_age_s(age_ms * 0.001)

    def _handle_text(self, text: str) -> None:
        now = self._received_at = self._clock()
        self._counts.received_bytes += len(text)
        if len(text) > MAX_CONTROL_BYTES or len(text.encode()) > MAX_CONTROL_BYTES:
            raise CloseError(CloseCode.TOO_BIG, f"a control message has at most {MAX_CONTROL_BYTES} bytes")
        if not self._control_allowance.take(now):
            raise ProtocolError(ErrorCode.RATE, f"more than {self._limits.control_per_s} control messages per second")
        message = parse_control(text)
        if message is not None and self._handle is not None:
            self._handle(message)

    def _report(self, error: ProtocolError) -> None:
        """Report an error to the client, or close the connection after too many of them."""
        self._counts.errors[error.code] += 1
        if error.code is ErrorCode.VERSION:
            self.close(CloseCode.VERSION, error.message)
        elif not self._offence_allowance.take(self._clock()):
            code = CloseCode.RATE if error.code is ErrorCode.RATE else CloseCode.POLICY
            self.close(code, f"too many offences; the last: {error.message}")
        else:
            self.send(encode_control(Error(error.code, error.message)))

    def _check_hello(self) -> None:
        if not self.hello_accepted:
            self.close(CloseCode.IDLE, f"no hello within {self._limits.hello_timeout_s:g} s")


async def _run_until_first_ends(*coroutines: Any) -> None:
    """Run coroutines until one of them ends or fails, and cancel the others.

    Raises the exception of the first coroutine that failed, in the order of the arguments.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _truncated(reason: str) -> str:
    """The longest start of a close reason that fits a close frame."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
