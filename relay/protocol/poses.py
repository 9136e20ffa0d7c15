"""Binary pose frames: one body up, one tick down, and the answer of those who have no body to send.

All numbers are little-endian. `docs/protocol.md` is the specification, `tests/vectors/protocol/poses.json`
holds byte vectors that this module and `viewer/src/room/messages-binary.ts` both reproduce.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

MAX_MILLIMETRES: Final = 32_767
MAX_AGE_MS: Final = 255  # one byte; older reads as "255 or more"

_UP_HEADER = struct.Struct("<BBHI")  # type, flags, seq, ack_tick; an ack is no more than that
_DOWN_HEADER = struct.Struct("<BBHI")  # type, version, count, tick_ms
_RECORD_HEADER = struct.Struct("<HBB")  # pid, flags, age_ms
_POINT_MM = struct.Struct("<hhhI")
_POINT_F32 = struct.Struct("<fffI")
_BODY_F32 = struct.Struct("<fffIfffIfff4x")
_BODY_MM_BYTES = 3 * _POINT_MM.size
_BODY_F32_BYTES = 3 * _POINT_F32.size
_UP_MM_BYTES = _UP_HEADER.size + _BODY_MM_BYTES
_UP_F32_BYTES = _UP_HEADER.size + _BODY_F32_BYTES
_ACK_START = bytes((ACK_UP, 0, 0, 0))
RECORD_HEADER_BYTES: Final = _RECORD_HEADER.size


@dataclass(frozen=True, slots=True)
class Body:
    """One participant's tracked points in the room's space; a hand that is not tracked is None."""

    head: Point
    left: Point | None = None
    right: Point | None = None


class PoseUp(NamedTuple):
    """What a participant sent. `body` stays in wire form: the relay passes it on and needs no numbers."""

    flags: int
    seq: int
    ack_tick: int
    body: bytes


@dataclass(frozen=True, slots=True)
class PoseRecord:
    """One participant's pose within a tick, `age_ms` old when the tick was made."""

    pid: int
    flags: int
    age_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    tick_ms: int
    records: tuple[PoseRecord, ...]


def decode_pose_up(frame: bytes) -> PoseUp:
    """Check and take apart a pose frame. Slots of hands that are not valid come back zeroed.

    Raises:
        ProtocolError: code `pose`, when type, flags, length or a coordinate is not allowed.
    """
    size = len(frame)
    if size < _UP_HEADER.size or frame[0] != POSE_UP:
        raise ProtocolError(ErrorCode.POSE, f"not a pose frame: {size} bytes, first byte {frame[:1].hex() or '–'}")
    _, flags, seq, ack_tick = _UP_HEADER.unpack_from(frame)
    if flags & ~KNOWN_FLAGS:
        raise ProtocolError(ErrorCode.POSE, f"pose flags {flags:#04x} has bits this version does not know")
    want = _UP_F32_BYTES if flags & FLOAT32 else _UP_MM_BYTES
    if size != want:
        raise ProtocolError(ErrorCode.POSE, f"pose of {size} bytes; flags {flags:#04x} means {want}")
    body = frame[_UP_HEADER.size :]
    if flags & BOTH_HANDS != BOTH_HANDS:
        body = _without_invalid_hands(body, flags)
    if flags & FLOAT32:
        _check_coordinates(body)
    return PoseUp(flags, seq, ack_tick, body)


def encode_pose_up(body: Body, seq: int, ack_tick: int) -> bytes:
    """The frame a client sends: 38 bytes, or 56 when a coordinate does not fit ±32.767 m."""
    flags, packed = pack_body(body)
    return _UP_HEADER.pack(POSE_UP, flags, seq & 0xFFFF, ack_tick & 0xFFFFFFFF) + packed


def decode_ack_up(frame: bytes) -> int:
    """`ack_tick` of an ack frame: what a pose would have said, from somebody who has none to send.

    Raises:
        ProtocolError: code `pose`, when type, length or a reserved byte is not as it must be.
    """
    if len(frame) != _UP_HEADER.size or frame[:4] != _ACK_START:
        raise ProtocolError(ErrorCode.POSE, f"not an ack frame: {len(frame)} bytes, starting with {frame[:4].hex()}")
    ack_tick: int = _UP_HEADER.unpack(frame)[3]
    return ack_tick


def encode_ack_up(ack_tick: int) -> bytes:
    """The frame a client sends that has received a tick and has no pose to send: 8 bytes."""
    return _UP_HEADER.pack(ACK_UP, 0, 0, ack_tick & 0xFFFFFFFF)


def to_tick_ms(now: float) -> int:
    """The relay's clock on the wire: whole milliseconds modulo 2³² (49.7 days)."""
    return int(now * 1000.0) & 0xFFFFFFFF


def encode_record(pid: int, flags: int, age_ms: int, body: bytes) -> bytes:
    return _RECORD_HEADER.pack(pid, flags, min(age_ms, MAX_AGE_MS)) + body


def encode_tick(tick_ms: int, records: Sequence[bytes]) -> bytes:
    """One frame for everybody in the room, from records made by `encode_record`."""
    return b"".join((tick_header(tick_ms, len(records)), *records))


def tick_header(tick_ms: int, count: int) -> bytes:
    """The start of a tick frame of so many records."""
    return _DOWN_HEADER.pack(TICK_DOWN, VERSION, count, tick_ms & 0xFFFFFFFF)


def decode_tick(frame: bytes) -> Tick:
    """Take a tick frame apart, as a client does.

    Raises:
        ProtocolError: code `pose`, when the frame is cut short, too long or of another type or version.
    """
    if len(frame) < _DOWN_HEADER.size or frame[0] != TICK_DOWN:
        raise ProtocolError(ErrorCode.POSE, "not a tick frame")
    _, version, count, tick_ms = _DOWN_HEADER.unpack_from(frame)
    if version != VERSION:
        raise ProtocolError(ErrorCode.POSE, f"tick frame of version {version}; this is version {VERSION}")
    records = []
    at = _DOWN_HEADER.size
    for _ in range(count):
        if at + _RECORD_HEADER.size > len(frame):
            raise ProtocolError(ErrorCode.POSE, "tick frame is cut short")
        pid, flags, age_ms = _RECORD_HEADER.unpack_from(frame, at)
        if flags & ~KNOWN_FLAGS:
            raise ProtocolError(ErrorCode.POSE, f"record flags {flags:#04x} has bits this version does not know")
        at += _RECORD_HEADER.size
        end = at + (_BODY_F32_BYTES if flags & FLOAT32 else _BODY_MM_BYTES)
        if end > len(frame):
            raise ProtocolError(ErrorCode.POSE, "tick frame is cut short")
        records.append(PoseRecord(pid, flags, age_ms, frame[at:end]))
        at = end
    if at != len(frame):
        raise ProtocolError(ErrorCode.POSE, f"tick frame has {len(frame) - at} bytes too many")
    return Tick(tick_ms, tuple(records))


def pack_body(body: Body) -> tuple[int, bytes]:
    """Flags and wire form of a body: millimetres where they fit, else float32.

    Raises:
        ValueError: a coordinate is not finite or further out than MAX_COORDINATE_M.
    """
    points = (body.head, body.left, body.right)
    flags = (LEFT_VALID if body.left else 0) | (RIGHT_VALID if body.right else 0)
    if needs_float32(*(point for point in points if point)):
        return flags | FLOAT32, b"".join(_pack_f32(point) for point in points)
    return flags, b"".join(_pack_mm(point) for point in points)


def needs_float32(*points: Point) -> bool:
    """Whether a coordinate is beyond what 16 bits of millimetres hold.

    Raises:
        ValueError: a coordinate is not finite or further out than MAX_COORDINATE_M.
    """
    reach = max(abs(x) if math.isfinite(x) else math.inf for point in points for x in point.p)
    if reach > MAX_COORDINATE_M:
        raise ValueError(f"coordinate {reach} m: poses reach {MAX_COORDINATE_M:.0f} m from the room's origin")
    return _millimetres(reach) > MAX_MILLIMETRES


def pack_point(point: Point) -> tuple[int, bytes]:
    """Flags (FLOAT32 or 0) and wire form of one point, 10 or 16 bytes. Raises as `needs_float32`."""
    return (FLOAT32, _pack_f32(point)) if needs_float32(point) else (0, _pack_mm(point))


def unpack_point(flags: int, packed: bytes) -> Point:
    if flags & FLOAT32:
        x, y, z, q = _POINT_F32.unpack(packed)
        return Point((x, y, z), unpack_quaternion(q))
    x, y, z, q = _POINT_MM.unpack(packed)
    return Point((x * 0.001, y * 0.001, z * 0.001), unpack_quaternion(q))


def unpack_body(flags: int, body: bytes) -> Body:
    """The numbers of a body in wire form, as `PoseUp` and `PoseRecord` carry it."""
    size = len(body) // 3
    return Body(
        unpack_point(flags, body[:size]),
        unpack_point(flags, body[size : 2 * size]) if flags & LEFT_VALID else None,
        unpack_point(flags, body[2 * size :]) if flags & RIGHT_VALID else None,
    )


def pack_quaternion(q: Quat) -> int:
    """Smallest three in 32 bits: the two top bits name the largest component (0 x … 3 w), which is made
    positive and left out; the others follow in order, 10 bits each, −1/√2 … 1/√2 onto 0 … 1023.

    Of equal components the first is left out. A quaternion without length packs as the identity.
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
    """The unit quaternion of `pack_quaternion`; every 32-bit number has one, so no sender can do harm."""
    largest = packed >> 30
    small = [((packed >> shift & 1023) / 1023.0 * 2.0 - 1.0) / math.sqrt(2.0) for shift in (20, 10, 0)]
    rest = math.sqrt(max(0.0, 1.0 - sum(c * c for c in small)))
    small.insert(largest, rest)
    length = math.sqrt(sum(c * c for c in small))
    x, y, z, w = (c / length for c in small)
    return (x, y, z, w)


def _without_invalid_hands(body: bytes, flags: int) -> bytes:
    """Zeroed slots compare equal and let no bytes through that nobody checked."""
    point = len(body) // 3
    left = body[point : 2 * point] if flags & LEFT_VALID else bytes(point)
    right = body[2 * point :] if flags & RIGHT_VALID else bytes(point)
    return body[:point] + left + right


def _check_coordinates(body: bytes) -> None:
    coordinates: Iterable[float] = _coordinates_f32(body)
    for x in coordinates:
        if not abs(x) <= MAX_COORDINATE_M:  # also false for NaN
            raise ProtocolError(ErrorCode.POSE, f"coordinate {x} is not within ±{MAX_COORDINATE_M:.0f} m")


def _coordinates_f32(body: bytes) -> tuple[float, ...]:
    x0, y0, z0, _, x1, y1, z1, _, x2, y2, z2 = _BODY_F32.unpack(body)
    return (x0, y0, z0, x1, y1, z1, x2, y2, z2)


def _millimetres(metres: float) -> int:
    return math.floor(metres * 1000.0 + 0.5)


def _pack_mm(point: Point | None) -> bytes:
    if point is None:
        return bytes(_POINT_MM.size)
    x, y, z = (max(_millimetres(c), -MAX_MILLIMETRES) for c in point.p)
    return _POINT_MM.pack(x, y, z, pack_quaternion(point.q))


def _pack_f32(point: Point | None) -> bytes:
    if point is None:
        return bytes(_POINT_F32.size)
    return _POINT_F32.pack(*point.p, pack_quaternion(point.q))
