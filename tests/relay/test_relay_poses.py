"""The binary frames: bytes and values of the test vectors, and malformed frames."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pose_codec import Body, decode_tick, encode_ack, encode_pose, encode_record, encode_tick, pack_body, unpack_body
from relay_vectors import POSES, named
from streamxr.relay.protocol.messages import MAX_COORDINATE_M, ErrorCode, Point, ProtocolError, Quat
from streamxr.relay.protocol.poses import decode_ack_up, decode_pose_up, pack_quaternion, unpack_quaternion


def as_point(vector: dict[str, Any] | None) -> Point | None:
    if vector is None:
        return None
    x, y, z = vector["p"]
    qx, qy, qz, qw = vector["q"]
    return Point((x, y, z), (qx, qy, qz, qw))


def as_body(vector: dict[str, Any]) -> Body:
    head = as_point(vector["head"])
    assert head
    return Body(head, as_point(vector["left"]), as_point(vector["right"]))


def degrees_apart(a: Quat, b: Quat) -> float:
    length = math.hypot(*a) * math.hypot(*b)
    # From the chord instead of the arc cosine of the dot product, which is inaccurate for small angles.
    same = math.dist([c / math.hypot(*a) for c in a], [c / math.hypot(*b) for c in b])
    opposite = math.dist([c / math.hypot(*a) for c in a], [-c / math.hypot(*b) for c in b])
    assert length > 0
    return math.degrees(4.0 * math.asin(min(1.0, min(same, opposite) / 2.0)))


def assert_close(actual: Body, expected: Body, metres: float) -> None:
    for name in ("head", "left", "right"):
        point, expected_point = getattr(actual, name), getattr(expected, name)
        assert (point is None) == (expected_point is None), name
        if point and expected_point:
            assert point.p == pytest.approx(expected_point.p, abs=metres)
            assert degrees_apart(point.q, expected_point.q) < 0.5


@pytest.mark.parametrize("vector", POSES["quaternions"], ids=lambda v: str(v["q"]))
def test_a_quaternion_packs_to_the_bits_of_the_vectors(vector: dict[str, Any]) -> None:
    assert f"{pack_quaternion(tuple(vector['q'])):08x}" == vector["packed"]


@pytest.mark.parametrize("vector", POSES["quaternions"] + POSES["unpack_only"], ids=lambda v: str(v["packed"]))
def test_packed_bits_unpack_to_the_quaternion_of_the_vectors(vector: dict[str, Any]) -> None:
    assert unpack_quaternion(int(vector["packed"], 16)) == pytest.approx(tuple(vector["unpacked"]), abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_every_32_bit_number_unpacks_to_a_unit_quaternion(packed: int) -> None:
    assert math.hypot(*unpack_quaternion(packed)) == pytest.approx(1.0, abs=1e-9)


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 1e-3))
def test_a_rotation_survives_packing_within_028_degrees(q: Quat) -> None:
    # The worst case is four equal components: three are wrong by half a step, 1/(√2·1023), the fourth by three times
    # that.
    assert degrees_apart(unpack_quaternion(pack_quaternion(q)), q) < 0.28


@pytest.mark.parametrize("q", [(0.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0), (math.inf, 0.0, 0.0, 1.0)])
def test_a_quaternion_without_direction_packs_as_the_identity(q: Quat) -> None:
    assert pack_quaternion(q) == 0xE0080200


@pytest.mark.parametrize("vector", **named(POSES["up"]))
def test_a_pose_encodes_to_the_bytes_of_the_vectors(vector: dict[str, Any]) -> None:
    assert encode_pose(as_body(vector), vector["seq"], vector["ack_tick"]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", **named(POSES["up"]))
def test_a_pose_frame_decodes_to_the_values_of_the_vectors(vector: dict[str, Any]) -> None:
    pose = decode_pose_up(bytes.fromhex(vector["hex"]))
    assert (pose.flags, pose.seq, pose.ack_tick) == (vector["flags"], vector["seq"], vector["ack_tick"])
    assert_close(unpack_body(pose.flags, pose.body), as_body(vector), metres=0.000501)


@pytest.mark.parametrize("vector", **named(POSES["up_invalid"]))
def test_a_malformed_pose_frame_is_refused(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"] if "hex" in vector else vector["repeat"][0] * vector["repeat"][1])
    with pytest.raises(ProtocolError) as raised:
        decode_pose_up(frame)
    assert raised.value.code is ErrorCode.POSE


@pytest.mark.parametrize("vector", **named(POSES["ack"]))
def test_an_acknowledgement_encodes_and_decodes_as_in_the_vectors(vector: dict[str, Any]) -> None:
    assert encode_ack(vector["ack_tick"]).hex() == vector["hex"]
    assert decode_ack_up(bytes.fromhex(vector["hex"])) == vector["ack_tick"]


@pytest.mark.parametrize("vector", **named(POSES["ack_invalid"]))
def test_a_malformed_acknowledgement_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_ack_up(bytes.fromhex(vector["hex"]))
    assert raised.value.code is ErrorCode.POSE


@pytest.mark.parametrize("vector", **named(POSES["up_cleaned"]))
def test_the_bytes_of_an_untracked_hand_are_zeroed(vector: dict[str, Any]) -> None:
    assert decode_pose_up(bytes.fromhex(vector["hex"])).body.hex() == vector["body"]


@given(st.binary(max_size=80) | st.binary(min_size=36, max_size=54).map(lambda b: b"\x01" + b))
def test_any_bytes_are_a_pose_or_a_protocol_error(frame: bytes) -> None:
    try:
        pose = decode_pose_up(frame)
    except ProtocolError:
        return
    body = unpack_body(pose.flags, pose.body)
    for point in (body.head, body.left, body.right):
        assert point is None or all(abs(x) <= MAX_COORDINATE_M for x in point.p)


@pytest.mark.parametrize("vector", **named(POSES["down"]))
def test_a_tick_encodes_to_the_bytes_of_the_vectors(vector: dict[str, Any]) -> None:
    records = []
    for record in vector["records"]:
        flags, packed = pack_body(as_body(record))
        assert flags == record["flags"]
        records.append(encode_record(record["pid"], flags, record["age_ms"], packed))
    assert encode_tick(vector["tick_ms"], records).hex() == vector["hex"]


@pytest.mark.parametrize("vector", **named(POSES["down"]))
def test_a_tick_decodes_to_the_values_of_the_vectors(vector: dict[str, Any]) -> None:
    tick = decode_tick(bytes.fromhex(vector["hex"]))
    assert tick.tick_ms == vector["tick_ms"]
    assert len(tick.records) == len(vector["records"])
    for record, expected in zip(tick.records, vector["records"], strict=True):
        assert (record.pid, record.flags, record.age_ms) == tuple(expected[k] for k in ("pid", "flags", "age_ms"))
        assert_close(unpack_body(record.flags, record.body), as_body(expected), metres=0.000501)


@pytest.mark.parametrize("vector", **named(POSES["down_invalid"]))
def test_a_malformed_tick_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_tick(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("x", [math.nan, math.inf, -10_000.1])
def test_a_coordinate_that_cannot_be_encoded_is_an_error(x: float) -> None:
    with pytest.raises(ValueError, match="coordinate"):
        pack_body(Body(Point((x, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))))
