"""The parser, the schema and the test vectors of control messages agree."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from relay_vectors import CONTROL, SCHEMA, message_schema, named
from streamxr.relay.protocol.control import encode_control, parse_control
from streamxr.relay.protocol.messages import (
    Cause,
    Deleted,
    Denied,
    Drain,
    Error,
    ErrorCode,
    Grabbed,
    Joined,
    Left,
    Pace,
    Point,
    Profile,
    ProtocolError,
    Refusal,
    Released,
    Role,
    RoomLimits,
    ServerMessage,
    SharedObject,
    SignalFrom,
    Spawned,
    Updated,
    Welcome,
)

CLIENT = Draft202012Validator(message_schema("ClientMessage"))
SERVER = Draft202012Validator(message_schema("ServerMessage"))

LIMITS = RoomLimits(200, 500, 90, 20, 16384)
POSE = Point((1.0, 1.5, -2.0), (0.0, 0.0, 0.0, 1.0))
CHAIR = SharedObject(3, "chair", POSE, 1.0, owner=2, epoch=1)
MESSAGES: list[ServerMessage] = [
    Welcome(1, "Ab_-9", Role.EDITOR, 30, 1234, LIMITS, (), "f00d", 0, ()),
    Welcome(1, "Ab_-9", Role.OWNER, 30, 1234, LIMITS, (), "f00d", 41, None),
    Joined(2, "Zoë", "#00ff00"),
    Left(2),
    Updated(2, "Zoë", "#0000ff"),
    Updated(2, "Zoë", "#0000ff", away=True),
    Spawned(1, 3, 2, 7, "chair", POSE, 1.0),
    Grabbed(2, 3, 2, 1, 5000),
    Released(3, 3, 1, POSE, Cause.EXPIRED),
    Deleted(4, 3),
    Denied("grab", Refusal.HELD, id=3, object=CHAIR),
    Denied("spawn", Refusal.LIMIT, ref=7),
    SignalFrom(2, '{"sdp":"v=0\\r\\n"}'),
    Error(ErrorCode.POSE, "pose of 3 bytes"),
    Drain(2500),
    Pace(30),
]


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("vector", **named(CONTROL["client"]["valid"]))
def test_a_valid_message_parses_to_its_fields(vector: dict[str, Any]) -> None:
    """Fields that are newer than a vector are None in its message."""
    parsed = parse_control(vector["text"])
    expected = vector["message"]
    if parsed is None:
        assert expected is None
        return
    assert json.loads(json.dumps(asdict(parsed))) == dict.fromkeys(asdict(parsed)) | expected


@pytest.mark.parametrize("vector", **named(CONTROL["client"]["invalid"]))
def test_an_invalid_message_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as raised:
        parse_control(vector["text"])
    assert raised.value.code == vector["code"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 8000 + "]" * 8000,
        '{"type":' + '{"a":' * 3000,
        '{"type":"stats","cdn_bytes":' + "9" * 16000 + "}",
    ],
    ids=["nested arrays", "nested objects", "a number of 16,000 digits"],
)
def test_expensive_json_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_control(text)


@pytest.mark.parametrize("vector", **named(CONTROL["server"]["valid"]))
def test_the_schema_accepts_the_servers_valid_vectors(vector: dict[str, Any]) -> None:
    known = vector["message"] is not None
    assert SERVER.is_valid(json.loads(vector["text"])) == known


@pytest.mark.parametrize("vector", **named(CONTROL["server"]["invalid"][1:]))
def test_the_schema_refuses_the_servers_invalid_vectors(vector: dict[str, Any]) -> None:
    assert not SERVER.is_valid(json.loads(vector["text"]))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.type)
def test_messages_of_the_relay_match_the_schema_and_the_vectors(message: ServerMessage) -> None:
    encoded = json.loads(encode_control(message))
    SERVER.validate(encoded)
    assert encoded in [vector["message"] for vector in CONTROL["server"]["valid"]]


def test_welcome_contains_all_participants() -> None:
    present = (Profile(1, "Ada", "#ff8800"), Profile(3, "Bob", "#000000", away=True))
    welcome = Welcome(2, "key", Role.VIEWER, 30, 5, LIMITS, present, "f00d", 9, (CHAIR,))
    encoded = json.loads(encode_control(welcome))
    SERVER.validate(encoded)
    assert encoded["participants"] == [
        {"pid": 1, "name": "Ada", "color": "#ff8800", "away": False},
        {"pid": 3, "name": "Bob", "color": "#000000", "away": True},
    ]
    assert encoded["objects"][0]["owner"] == 2


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**42),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=70),
    st.sampled_from(["Ada", "#ff8800", "#FF880", "", "a\u202eb", 1, 1.0, [], {}]),
)
FIELDS = re.findall(
    r"\w+", "v name color token resume incarnation rev bandwidth_bps cdn_bytes ref asset pose scale id epoch to data x"
)
objects = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(["hello", "update", "stats", "spawn", "grab", "release", "delete", "signal"]),
    st.dictionaries(st.sampled_from(FIELDS), values),
)
numbers = st.floats(-1.1, 1.1) | st.integers(-10001, 10001)
poses = st.fixed_dictionaries(
    {"p": st.lists(numbers, min_size=2, max_size=3), "q": st.lists(numbers, min_size=4, max_size=4)}
)
nearly_valid = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("hello"),
            "v": st.just(1) | values,
            "name": values,
            "color": st.just("#123abc") | values,
        },
        optional={
            "token": st.just("a.b") | values,
            "resume": st.just("a_-") | values,
            "incarnation": values,
            "rev": values,
        },
    ),
    st.fixed_dictionaries({"type": st.just("stats"), "bandwidth_bps": values, "cdn_bytes": values}),
    st.fixed_dictionaries(
        {
            "type": st.just("spawn"),
            "ref": st.just(1) | values,
            "asset": st.just("a") | values,
            "pose": poses | values,
            "scale": st.just(1) | values,
        }
    ),
    st.fixed_dictionaries({"type": st.just("release"), "id": values, "epoch": values, "pose": poses}),
    st.fixed_dictionaries({"type": st.just("signal"), "to": values, "data": values | st.text(max_size=9000)}),
)


@given(objects | nearly_valid)
def test_parser_and_schema_agree_on_every_message(message: dict[str, Any]) -> None:
    try:
        parsed = parse_control(json.dumps(message)) is not None
    except ProtocolError:
        parsed = False
    assert parsed == CLIENT.is_valid(message)


@given(st.text(max_size=200))
def test_any_text_is_a_message_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_control(text)
