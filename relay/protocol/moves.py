"""Binary frames of type 3: poses of held objects, with the same layout in both directions.

`docs/protocol.md` specifies the frames. `tests/vectors/v1/protocol/moves.json` holds byte vectors that this module and
`viewer/src/room/messages-binary.ts` both reproduce.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .messages import MAX_COORDINATE_M, VERSION, ErrorCode, ProtocolError
from .poses import FLOAT32, MAX_AGE_MS, POINT_F32, POINT_MM

OBJECT_MOVES: Final = 3
MAX_MOVES_UP: Final = 16  # more objects than anyone can hold

_HEADER = struct.Struct("<BBHI")  # type, version, count, tick_ms; `count` records follow
_RECORD_HEADER = struct.Struct("<IIBB")  # id, epoch, flags, age_ms; a point follows


@dataclass(frozen=True, slots=True)
class Move:
    """The pose of one held object. `point` stays encoded: see `poses.unpack_point`."""

    id: int
    epoch: int
    flags: int
    age_ms: int
    point: bytes


@dataclass(frozen=True, slots=True)
class Moves:
    """`tick_ms` is that of this tick, or, in a frame from a client, that of the newest tick it has received."""

    tick_ms: int
    records: tuple[Move, ...]


def decode_moves_up(frame: bytes) -> Moves:
    """Check and parse the moves of a client.

    Raises ProtocolError with code `pose` if the frame is malformed or has more than MAX_MOVES_UP records.
    """
    moves = decode_moves(frame)
    if len(moves.records) > MAX_MOVES_UP:
        raise ProtocolError(ErrorCode.POSE, f"{len(moves.records)} moves in one frame; {MAX_MOVES_UP} are allowed")
    return moves


def decode_moves(frame: bytes) -> Moves:
    """Check and parse a frame of moves.

    Raises ProtocolError with code `pose` if the type, version, flags, length or a coordinate is not allowed.
    """
    if len(frame) < _HEADER.size or frame[0] != OBJECT_MOVES:
        raise ProtocolError(ErrorCode.POSE, "not a frame of object moves")
    _, version, count, tick_ms = _HEADER.unpack_from(frame)
    if version != VERSION:
        raise ProtocolError(ErrorCode.POSE, f"object moves of version {version}; this is version {VERSION}")
    records = []
    at = _HEADER.size
    for _ in range(count):
        if at + _RECORD_HEADER.size > len(frame):
            raise ProtocolError(ErrorCode.POSE, "the frame of object moves is truncated")
        object_id, epoch, flags, age_ms = _RECORD_HEADER.unpack_from(frame, at)
        if flags & ~FLOAT32:
            raise ProtocolError(ErrorCode.POSE, f"move flags {flags:#04x} contain bits that this version does not know")
        at += _RECORD_HEADER.size
        end = at + (POINT_F32 if flags & FLOAT32 else POINT_MM).size
        if end > len(frame):
            raise ProtocolError(ErrorCode.POSE, "the frame of object moves is truncated")
        point = frame[at:end]
        # "Not all within" instead of "any beyond", so that NaN is rejected too.
        if flags & FLOAT32 and not all(abs(x) <= MAX_COORDINATE_M for x in POINT_F32.unpack(point)[:3]):
            raise ProtocolError(ErrorCode.POSE, f"a coordinate is not within ±{MAX_COORDINATE_M:.0f} m")
        records.append(Move(object_id, epoch, flags, age_ms, point))
        at = end
    if at != len(frame):
        raise ProtocolError(ErrorCode.POSE, f"the frame of object moves has {len(frame) - at} excess bytes")
    return Moves(tick_ms, tuple(records))


def encode_moves(tick_ms: int, records: Sequence[Move]) -> bytes:
    """A frame of moves. Ages above MAX_AGE_MS are limited to it."""
    parts = [_HEADER.pack(OBJECT_MOVES, VERSION, len(records), tick_ms & 0xFFFFFFFF)]
    for move in records:
        parts.append(_RECORD_HEADER.pack(move.id, move.epoch, move.flags, min(move.age_ms, MAX_AGE_MS)))
        parts.append(move.point)
    return b"".join(parts)
