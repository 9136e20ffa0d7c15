"""Binary frames of type 3: where held objects are, one layout up and down.

`docs/protocol.md` is the specification, `tests/vectors/protocol/moves.json` holds byte vectors that this
module and `viewer/src/room/messages-binary.ts` both reproduce.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .messages import MAX_COORDINATE_M, VERSION, ErrorCode, ProtocolError
from .poses import FLOAT32, MAX_AGE_MS

OBJECT_MOVES: Final = 3
MAX_MOVES_UP: Final = 16  # nobody has that many hands

_HEADER = struct.Struct("<BBHI")  # type, version, count, tick_ms
_RECORD_HEADER = struct.Struct("<IIBB")  # id, epoch, flags, age_ms
_POINT_MM_BYTES = 10
_POINT_F32_BYTES = 16
_COORDINATES = struct.Struct("<fff4x")


@dataclass(frozen=True, slots=True)
class Move:
    """One held object: `point` stays in wire form, as `poses.pack_point` makes it."""

    id: int
    epoch: int
    flags: int
    age_ms: int
    point: bytes


@dataclass(frozen=True, slots=True)
class Moves:
    """`tick_ms`: up, that of the newest tick received; down, that of this tick."""

    tick_ms: int
    records: tuple[Move, ...]


def decode_moves_up(frame: bytes) -> Moves:
    """What a client says of the objects it holds.

    Raises:
        ProtocolError: code `pose`, as `decode_moves`, or when there are more than MAX_MOVES_UP records.
    """
    moves = decode_moves(frame)
    if len(moves.records) > MAX_MOVES_UP:
        raise ProtocolError(ErrorCode.POSE, f"{len(moves.records)} moves in one frame; {MAX_MOVES_UP} are allowed")
    return moves


def decode_moves(frame: bytes) -> Moves:
    """Check and take apart a frame of moves.

    Raises:
        ProtocolError: code `pose`, when type, version, flags, length or a coordinate is not allowed.
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
            raise ProtocolError(ErrorCode.POSE, "object moves are cut short")
        identity, epoch, flags, age_ms = _RECORD_HEADER.unpack_from(frame, at)
        if flags & ~FLOAT32:
            raise ProtocolError(ErrorCode.POSE, f"move flags {flags:#04x} has bits this version does not know")
        at += _RECORD_HEADER.size
        end = at + (_POINT_F32_BYTES if flags & FLOAT32 else _POINT_MM_BYTES)
        if end > len(frame):
            raise ProtocolError(ErrorCode.POSE, "object moves are cut short")
        point = frame[at:end]
        # Not (more than), so that NaN is refused too.
        if flags & FLOAT32 and not all(abs(x) <= MAX_COORDINATE_M for x in _COORDINATES.unpack(point)):
            raise ProtocolError(ErrorCode.POSE, f"a coordinate is not within ±{MAX_COORDINATE_M:.0f} m")
        records.append(Move(identity, epoch, flags, age_ms, point))
        at = end
    if at != len(frame):
        raise ProtocolError(ErrorCode.POSE, f"object moves have {len(frame) - at} bytes too many")
    return Moves(tick_ms, tuple(records))


def encode_moves(tick_ms: int, records: Sequence[Move]) -> bytes:
    """A frame of moves; ages over a byte read as "255 or more"."""
    parts = [_HEADER.pack(OBJECT_MOVES, VERSION, len(records), tick_ms & 0xFFFFFFFF)]
    for move in records:
        parts.append(_RECORD_HEADER.pack(move.id, move.epoch, move.flags, min(move.age_ms, MAX_AGE_MS)))
        parts.append(move.point)
    return b"".join(parts)
