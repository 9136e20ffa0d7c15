"""The frames of object moves: bytes and values of the test vectors, and malformed frames."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_codec import pack_point
from relay_vectors import MOVES, named
from streamxr.relay.protocol.messages import ErrorCode, Point, ProtocolError
from streamxr.relay.protocol.moves import MAX_MOVES_UP, Move, decode_moves, decode_moves_up, encode_moves
from streamxr.relay.protocol.poses import unpack_point

VALID = MOVES["valid"] + MOVES["down_only"]


def moves_of(vector: dict[str, Any]) -> list[Move]:
    records = []
    for record in vector["records"]:
        flags, point = pack_point(Point(tuple(record["p"]), tuple(record["q"])))
        records.append(Move(record["id"], record["epoch"], flags, record["age_ms"], point))
    return records


@pytest.mark.parametrize("vector", **named(VALID))
def test_moves_encode_to_the_bytes_of_the_vectors(vector: dict[str, Any]) -> None:
    assert encode_moves(vector["tick_ms"], moves_of(vector)).hex() == vector["hex"]


@pytest.mark.parametrize("vector", **named(VALID))
def test_moves_decode_to_the_values_of_the_vectors(vector: dict[str, Any]) -> None:
    moves = decode_moves(bytes.fromhex(vector["hex"]))
    assert moves.tick_ms == vector["tick_ms"]
    assert list(moves.records) == moves_of(vector)
    for move, record in zip(moves.records, vector["records"], strict=True):
        assert unpack_point(move.flags, move.point).p == pytest.approx(record["p"], abs=0.000501)


@pytest.mark.parametrize("vector", **named(MOVES["invalid"]))
def test_malformed_moves_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_moves(bytes.fromhex(vector["hex"]))
    assert raised.value.code is ErrorCode.POSE


def test_the_number_of_moves_in_a_frame_of_a_client_is_limited() -> None:
    move = moves_of(MOVES["valid"][1])[0]
    assert len(decode_moves_up(encode_moves(0, [move] * MAX_MOVES_UP)).records) == MAX_MOVES_UP
    with pytest.raises(ProtocolError):
        decode_moves_up(encode_moves(0, [move] * (MAX_MOVES_UP + 1)))


@given(st.integers(0, 3), st.sampled_from([0, 4, 1]), st.binary(max_size=90))
def test_any_bytes_are_moves_or_a_protocol_error(count: int, flags: int, rest: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        for move in decode_moves(bytes([3, 1, count, 0, 0, 0, 0, 0, *bytes(8), flags, 0]) + rest).records:
            assert all(abs(x) <= 10_000 for x in unpack_point(move.flags, move.point).p)
