"""The client's side of the binary frames: encodes poses and decodes ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from streamxr.relay.protocol.messages import MAX_COORDINATE_M, VERSION, ErrorCode, Point, ProtocolError
from streamxr.relay.protocol.poses import (
    ACK_UP,
    BODY_F32,
    BODY_MM,
    FLOAT32,
    KNOWN_FLAGS,
    LEFT_VALID,
    MAX_AGE_MS,
    POINT_F32,
    POINT_MM,
    RECORD_HEADER,
    RIGHT_VALID,
    TICK_DOWN,
    TICK_HEADER,
    UP_HEADER,
    encode_pose_up,
    pack_quaternion,
    tick_header,
    unpack_point,
)

MAX_MILLIMETRES = 32_767


@dataclass(frozen=True, slots=True)
class Body:
    """The tracked points of one participant, in room space. A hand that is not tracked is None."""

    head: Point
    left: Point | None = None
    right: Point | None = None


@dataclass(frozen=True, slots=True)
class PoseRecord:
    """The pose of one participant in a tick. `age_ms` is its age when the tick was made; `body` is encoded."""

    pid: int
    flags: int
    age_ms: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    tick_ms: int
    records: tuple[PoseRecord, ...]


def encode_pose(body: Body, seq: int = 0, ack_tick: int = 0) -> bytes:
    """The pose frame of a client: 38 bytes, or 56 if a coordinate is beyond ±32.767 m."""
    flags, packed = pack_body(body)
    return encode_pose_up(flags, seq, ack_tick, packed)


def encode_ack(ack_tick: int) -> bytes:
    """The frame with which a client acknowledges a tick without sending a pose: 8 bytes."""
    return UP_HEADER.pack(ACK_UP, 0, 0, ack_tick & 0xFFFFFFFF)


def encode_record(pid: int, flags: int, age_ms: int, body: bytes) -> bytes:
    return RECORD_HEADER.pack(pid, flags, min(age_ms, MAX_AGE_MS)) + body


def encode_tick(tick_ms: int, records: Sequence[bytes]) -> bytes:
    """The tick frame of records from `encode_record`."""
    return b"".join((tick_header(tick_ms, len(records)), *records))


def decode_tick(frame: bytes) -> Tick:
    """Parse a tick frame.

    Raises ProtocolError with code `pose` if the frame is truncated or too long, or of another type or version.
    """
    if len(frame) < TICK_HEADER.size or frame[0] != TICK_DOWN:
        raise ProtocolError(ErrorCode.POSE, "not a tick frame")
    _, version, count, tick_ms = TICK_HEADER.unpack_from(frame)
    if version != VERSION:
        raise ProtocolError(ErrorCode.POSE, f"tick frame of version {version}; this is version {VERSION}")
    records = []
    at = TICK_HEADER.size
    for _ in range(count):
        if at + RECORD_HEADER.size > len(frame):
            raise ProtocolError(ErrorCode.POSE, "the tick frame is truncated")
        pid, flags, age_ms = RECORD_HEADER.unpack_from(frame, at)
        if flags & ~KNOWN_FLAGS:
            raise ProtocolError(ErrorCode.POSE, f"record flags {flags:#04x} contain unknown bits")
        at += RECORD_HEADER.size
        end = at + (BODY_F32 if flags & FLOAT32 else BODY_MM).size
        if end > len(frame):
            raise ProtocolError(ErrorCode.POSE, "the tick frame is truncated")
        records.append(PoseRecord(pid, flags, age_ms, frame[at:end]))
        at = end
    if at != len(frame):
        raise ProtocolError(ErrorCode.POSE, f"the tick frame has {len(frame) - at} excess bytes")
    return Tick(tick_ms, tuple(records))


def pack_body(body: Body) -> tuple[int, bytes]:
    """Flags and encoded form of a body: millimetres if all coordinates fit, otherwise float32.

    Raises ValueError if a coordinate is not finite or farther from the origin than MAX_COORDINATE_M.
    """
    points = (body.head, body.left, body.right)
    flags = (LEFT_VALID if body.left else 0) | (RIGHT_VALID if body.right else 0)
    if needs_float32(*(point for point in points if point)):
        return flags | FLOAT32, b"".join(_pack_f32(point) for point in points)
    return flags, b"".join(_pack_mm(point) for point in points)


def unpack_body(flags: int, body: bytes) -> Body:
    """Decode the encoded body of a pose or a record."""
    size = len(body) // 3
    return Body(
        unpack_point(flags, body[:size]),
        unpack_point(flags, body[size : 2 * size]) if flags & LEFT_VALID else None,
        unpack_point(flags, body[2 * size :]) if flags & RIGHT_VALID else None,
    )


def pack_point(point: Point) -> tuple[int, bytes]:
    """Flags (FLOAT32 or 0) and encoded form of one point, 10 or 16 bytes.

    Raises ValueError if a coordinate is not finite or farther from the origin than MAX_COORDINATE_M.
    """
    return (FLOAT32, _pack_f32(point)) if needs_float32(point) else (0, _pack_mm(point))


def needs_float32(*points: Point) -> bool:
    """Whether a coordinate does not fit 16 bits of millimetres.

    Raises ValueError if a coordinate is not finite or farther from the origin than MAX_COORDINATE_M.
    """
    largest = max(abs(x) if math.isfinite(x) else math.inf for point in points for x in point.p)
    if largest > MAX_COORDINATE_M:
        raise ValueError(f"coordinate {largest} m: poses reach {MAX_COORDINATE_M:.0f} m from the room's origin")
    return _millimetres(largest) > MAX_MILLIMETRES


def _millimetres(metres: float) -> int:
    return math.floor(metres * 1000.0 + 0.5)


def _pack_mm(point: Point | None) -> bytes:
    if point is None:
        return bytes(POINT_MM.size)
    x, y, z = (max(_millimetres(c), -MAX_MILLIMETRES) for c in point.p)
    return POINT_MM.pack(x, y, z, pack_quaternion(point.q))


def _pack_f32(point: Point | None) -> bytes:
    if point is None:
        return bytes(POINT_F32.size)
    return POINT_F32.pack(*point.p, pack_quaternion(point.q))
