"""Binary pose frames: a client's pose, a tick with the poses of a room, and an acknowledgement without a pose.

All numbers are little-endian. `docs/protocol.md` specifies the frames. `tests/vectors/v1/protocol/poses.json` holds
byte vectors that this module and `viewer/src/room/messages-binary.ts` both reproduce. This module defines the layouts
for all of the relay.
"""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

from .messages import MAX_COORDINATE_M, VERSION, ErrorCode, Point, ProtocolError, Quat

POSE_UP: Final = 1
TICK_DOWN: Final = 2
ACK_UP: Final = 4

LEFT_VALID: Final = 1
RIGHT_VALID: Final = 2
FLOAT32: Final = 4
KNOWN_FLAGS: Final = LEFT_VALID | RIGHT_VALID | FLOAT32
BOTH_HANDS: Final = LEFT_VALID | RIGHT_VALID

MAX_AGE_MS: Final = 255  # one byte; means "255 or more"

UP_HEADER: Final = struct.Struct("<BBHI")  # type, flags, seq, ack_tick; an acknowledgement is only this
TICK_HEADER: Final = struct.Struct("<BBHI")  # type, version, count, tick_ms; `count` records follow
RECORD_HEADER: Final = struct.Struct("<HBB")  # pid, flags, age_ms; a body follows
# A point is a position and a packed quaternion. A body is three points: head, left hand, right hand.
POINT_MM: Final = struct.Struct("<hhhI")
POINT_F32: Final = struct.Struct("<fffI")
BODY_MM: Final = struct.Struct("<hhhIhhhIhhhI")
BODY_F32: Final = struct.Struct("<fffIfffIfffI")
RECORD_MM_BYTES: Final = RECORD_HEADER.size + BODY_MM.size

_UP_MM_BYTES = UP_HEADER.size + BODY_MM.size
_UP_F32_BYTES = UP_HEADER.size + BODY_F32.size
_ACK_START = bytes((ACK_UP, 0, 0, 0))


class PoseUp(NamedTuple):
    """A pose from a client. `body` stays encoded, because the relay passes it on without reading its numbers."""

    flags: int
    seq: int
    ack_tick: int
    body: bytes


def decode_pose_up(frame: bytes) -> PoseUp:
    """Check and parse a pose frame. The points of hands that are not valid are zeroed.

    Raises ProtocolError with code `pose` if the type, the flags, the length or a coordinate is not allowed.
    """
    size = len(frame)
    if size < UP_HEADER.size or frame[0] != POSE_UP:
        raise ProtocolError(ErrorCode.POSE, f"not a pose frame: {size} bytes, first byte {frame[:1].hex() or '–'}")
    _, flags, seq, ack_tick = UP_HEADER.unpack_from(frame)
    if flags & ~KNOWN_FLAGS:
        raise ProtocolError(ErrorCode.POSE, f"pose flags {flags:#04x} contain bits that this version does not know")
    expected = _UP_F32_BYTES if flags & FLOAT32 else _UP_MM_BYTES
    if size != expected:
        raise ProtocolError(ErrorCode.POSE, f"pose of {size} bytes; with flags {flags:#04x} it must have {expected}")
    body = frame[UP_HEADER.size :]
    if flags & BOTH_HANDS != BOTH_HANDS:
        body = _without_invalid_hands(body, flags)
    if flags & FLOAT32:
        _check_coordinates(body)
    return PoseUp(flags, seq, ack_tick, body)


def encode_pose_up(flags: int, seq: int, ack_tick: int, body: bytes) -> bytes:
    """The pose frame of an encoded body: 38 bytes in millimetres, 56 bytes in float32."""
    return UP_HEADER.pack(POSE_UP, flags, seq & 0xFFFF, ack_tick & 0xFFFFFFFF) + body


def decode_ack_up(frame: bytes) -> int:
    """The `ack_tick` of an acknowledgement, which a client sends when it has no pose to send.

    Raises ProtocolError with code `pose` if the type, the length or a reserved byte is not allowed.
    """
    if len(frame) != UP_HEADER.size or frame[:4] != _ACK_START:
        raise ProtocolError(
            ErrorCode.POSE, f"not an acknowledgement: {len(frame)} bytes, starting with {frame[:4].hex()}"
        )
    ack_tick: int = UP_HEADER.unpack(frame)[3]
    return ack_tick


def to_tick_ms(now: float) -> int:
    """The relay's clock in the format of the wire: whole milliseconds modulo 2³² (49.7 days)."""
    return int(now * 1000.0) & 0xFFFFFFFF


def tick_header(tick_ms: int, count: int) -> bytes:
    """The start of a tick frame with `count` records."""
    return TICK_HEADER.pack(TICK_DOWN, VERSION, count, tick_ms & 0xFFFFFFFF)


def unpack_point(flags: int, packed: bytes) -> Point:
    """Decode a point: 10 bytes in millimetres, or 16 bytes if `flags` contain FLOAT32."""
    if flags & FLOAT32:
        x, y, z, q = POINT_F32.unpack(packed)
        return Point((x, y, z), unpack_quaternion(q))
    x, y, z, q = POINT_MM.unpack(packed)
    return Point((x * 0.001, y * 0.001, z * 0.001), unpack_quaternion(q))


def pack_quaternion(q: Quat) -> int:
    """Pack a quaternion into 32 bits by the "smallest three" method.

    The two highest bits are the index of the largest component (0 is x, 3 is w), which is made positive and omitted.
    The other three follow in order, in 10 bits each: −1/√2 … 1/√2 is mapped to 0 … 1023. Of equal components the first
    is omitted. A quaternion of length zero is packed as the identity.
    """
    length = math.sqrt(sum(c * c for c in q))
    if not length > 0.0 or not math.isfinite(length):
        q, length = (0.0, 0.0, 0.0, 1.0), 1.0
    largest = max(range(4), key=lambda i: abs(q[i]))
    scale = (-1.0 if q[largest] < 0.0 else 1.0) * math.sqrt(2.0) / length
    packed = largest
    for i in range(4):
        if i != largest:
            step = math.floor((q[i] * scale + 1.0) * 0.5 * 1023.0 + 0.5)
            packed = packed << 10 | min(max(step, 0), 1023)
    return packed


def unpack_quaternion(packed: int) -> Quat:
    """The unit quaternion of `pack_quaternion`. Every 32-bit number decodes to one, so no input can do harm."""
    largest = packed >> 30
    components = [((packed >> shift & 1023) / 1023.0 * 2.0 - 1.0) / math.sqrt(2.0) for shift in (20, 10, 0)]
    omitted = math.sqrt(max(0.0, 1.0 - sum(c * c for c in components)))
    components.insert(largest, omitted)
    length = math.sqrt(sum(c * c for c in components))
    x, y, z, w = (c / length for c in components)
    return (x, y, z, w)


def _without_invalid_hands(body: bytes, flags: int) -> bytes:
    """Zero the points of hands that are not valid, so that bodies can be compared and no unchecked bytes pass."""
    point = len(body) // 3
    left = body[point : 2 * point] if flags & LEFT_VALID else bytes(point)
    right = body[2 * point :] if flags & RIGHT_VALID else bytes(point)
    return body[:point] + left + right


def _check_coordinates(body: bytes) -> None:
    x0, y0, z0, _, x1, y1, z1, _, x2, y2, z2, _ = BODY_F32.unpack(body)
    for x in (x0, y0, z0, x1, y1, z1, x2, y2, z2):
        if not abs(x) <= MAX_COORDINATE_M:  # also true for NaN
            raise ProtocolError(ErrorCode.POSE, f"coordinate {x} is not within ±{MAX_COORDINATE_M:.0f} m")
