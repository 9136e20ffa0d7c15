"""Control messages on the wire: JSON text.

`protocol.schema.json` is the machine-readable form of `docs/protocol.md`; a test holds this parser and the schema to
the same verdict on any message.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn, TypeGuard

from .messages import (
    MAX_COORDINATE_M,
    MAX_PID,
    MAX_TOKEN_CHARACTERS,
    MAX_U32,
    PRINTABLE,
    VERSION,
    ClientMessage,
    Delete,
    ErrorCode,
    Grab,
    Hello,
    Point,
    ProtocolError,
    Quat,
    Release,
    ServerMessage,
    Signal,
    Spawn,
    Stats,
    Update,
)

MAX_REPORTED: Final = 10**12  # bytes or bits per second; more from one client is nonsense, not news
MAX_SCALE: Final = 1000.0
MAX_REV: Final = 2**53 - 1  # the largest whole number that JSON readers agree on
MAX_SIGNAL_CHARACTERS: Final = 8 * 1024  # an SDP offer of a video call is 2 to 6 KiB
MIN_QUATERNION_LENGTH: Final = 1e-6  # below this nothing is left of a direction

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_ASSET = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")  # as in the bundle's catalogue
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(f"[A-Za-z0-9_.-]{{1,{MAX_TOKEN_CHARACTERS}}}")
_OPAQUE = re.compile(f"[^\ud800-\udfff]{{1,{MAX_SIGNAL_CHARACTERS}}}")
_NAME = re.compile(PRINTABLE + "{1,64}")


def parse_control(text: str) -> ClientMessage | None:
    """One control message, or None when its type is unknown: a newer client may say more than we understand.

    The caller has checked the size. Fields that are not known are ignored.

    Raises:
        ProtocolError: `json`, `field` or `version`.
    """
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError(ErrorCode.JSON, "not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError(ErrorCode.JSON, "a control message is an object with a string `type`")
    match message["type"]:
        case "hello":
            version = _whole(message, "v", 0xFFFF)
            if version != VERSION:
                raise ProtocolError(ErrorCode.VERSION, f"version {version} is not spoken here; use {VERSION}")
            return Hello(
                version,
                _text(message, "name", _NAME),
                _text(message, "color", _COLOR),
                _text(message, "token", _TOKEN) if "token" in message else None,
                _text(message, "resume", _KEY) if "resume" in message else None,
                _text(message, "incarnation", _KEY) if "incarnation" in message else None,
                _whole(message, "rev", MAX_REV) if "rev" in message else None,
            )
        case "update":
            return Update(
                _text(message, "name", _NAME) if "name" in message else None,
                _text(message, "color", _COLOR) if "color" in message else None,
            )
        case "stats":
            return Stats(
                _number(message, "bandwidth_bps", 0.0, MAX_REPORTED), _whole(message, "cdn_bytes", MAX_REPORTED)
            )
        case "spawn":
            return Spawn(
                _whole(message, "ref", MAX_U32),
                _text(message, "asset", _ASSET),
                _pose(message),
                _number(message, "scale", 1.0 / MAX_SCALE, MAX_SCALE),
            )
        case "grab":
            return Grab(_whole(message, "id", MAX_U32))
        case "release":
            return Release(_whole(message, "id", MAX_U32), _whole(message, "epoch", MAX_U32), _pose(message))
        case "delete":
            return Delete(_whole(message, "id", MAX_U32))
        case "signal":
            return Signal(_whole(message, "to", MAX_PID), _text(message, "data", _OPAQUE))
        case _:
            return None


def encode_control(message: ServerMessage) -> str:
    return json.dumps(message, default=_fields, separators=(",", ":"), ensure_ascii=False)


def _fields(message: object) -> dict[str, Any]:
    """A dataclass as JSON sees it; an underscore keeps Python's keywords apart from the protocol's names."""
    names: tuple[str, ...] = type(message).__slots__  # type: ignore[attr-defined]
    return {name.rstrip("_"): getattr(message, name) for name in names}


_EXPECTED: Final = {
    _COLOR: "6 hexadecimal digits after #",
    _NAME: "1 to 64 printable characters",
    _ASSET: "the id of an asset: 1 to 128 of a-z 0-9 . _ -, the first a letter or digit",
    _KEY: "1 to 64 of A-Z a-z 0-9 _ -",
    _TOKEN: f"a join token, at most {MAX_TOKEN_CHARACTERS} characters",
    _OPAQUE: f"text of 1 to {MAX_SIGNAL_CHARACTERS} characters",
}


def _text(message: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be {_EXPECTED[pattern]}")
    return value


def _number(message: dict[str, Any], name: str, least: float, most: float) -> float:
    value = message.get(name)
    if not _is_number(value, least, most):
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be a number from {least:g} to {most:g}")
    return float(value)


def _is_number(value: object, least: float, most: float) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _whole(message: dict[str, Any], name: str, most: int) -> int:
    value = message.get(name)
    # JSON has one kind of number: 1.0 is whole.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be a whole number from 0 to {most}")
    return value


def _pose(message: dict[str, Any]) -> Point:
    """The `pose` of a message, its quaternion made a unit one; without length it is the identity."""
    pose = message.get("pose")
    if isinstance(pose, dict):
        p, q = pose.get("p"), pose.get("q")
        if (
            isinstance(p, list)
            and isinstance(q, list)
            and (len(p), len(q)) == (3, 4)
            and all(_is_number(x, -MAX_COORDINATE_M, MAX_COORDINATE_M) for x in p)
            and all(_is_number(x, -1.0, 1.0) for x in q)
        ):
            x, y, z = map(float, p)
            return Point((x, y, z), unit_quaternion((float(q[0]), float(q[1]), float(q[2]), float(q[3]))))
    raise ProtocolError(
        ErrorCode.FIELD,
        f"`pose` must be {{p: 3 numbers within ±{MAX_COORDINATE_M:.0f}, q: 4 numbers within ±1}}",
    )


def unit_quaternion(q: Quat) -> Quat:
    """The same rotation with length 1; the identity if `q` has no length."""
    length = math.hypot(*q)
    if length < MIN_QUATERNION_LENGTH:
        return (0.0, 0.0, 0.0, 1.0)
    return (q[0] / length, q[1] / length, q[2] / length, q[3] / length)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
