"""Parses and encodes control messages, which are JSON text.

`relay/protocol.schema.json` is the machine-readable form of `docs/protocol.md`. A test compares this parser with the
schema: they accept the same messages.
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
    VISIBLE,
    ClientMessage,
    Delete,
    Device,
    ErrorCode,
    Grab,
    Hello,
    Point,
    ProtocolError,
    Quat,
    Release,
    ServerMessage,
    SharedObject,
    Signal,
    Spawn,
    Stats,
    Update,
    Visit,
)

MAX_REPORTED: Final = 10**12  # bytes, or bits per second; larger numbers from one client cannot be right
MAX_VISIT_MS: Final = 3_600_000
MAX_STALLS: Final = 10_000
MAX_SCALE: Final = 1000.0
MAX_REV: Final = 2**53 - 1  # the largest integer that all JSON readers represent exactly (RFC 8259, 6)
MAX_SIGNAL_CHARACTERS: Final = 8 * 1024  # an SDP offer of a video call has 2 to 6 KiB
MIN_QUATERNION_LENGTH: Final = 1e-6  # a shorter quaternion has no meaningful direction

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_DEVICE = re.compile(r"[a-z]{1,16}")
_DEVICES: Final = {device.value: device for device in Device}
_ASSET = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")  # an asset id of the bundle's catalogue
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(f"[A-Za-z0-9_.-]{{1,{MAX_TOKEN_CHARACTERS}}}")
_OPAQUE = re.compile(f"[^\ud800-\udfff]{{1,{MAX_SIGNAL_CHARACTERS}}}")
_NAME = re.compile(f"(?=.*{VISIBLE}){PRINTABLE}{{1,64}}")


def parse_control(text: str) -> ClientMessage | None:
    """One control message; None if its type is unknown, because a newer client may send more types.

    The caller must have checked the size. Unknown fields are ignored.

    Raises ProtocolError with code `json`, `field` or `version` if the message is not valid.
    """
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError(ErrorCode.JSON, "the message is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError(ErrorCode.JSON, "a control message must be an object with a string `type`")
    match message["type"]:
        case "hello":
            version = _integer(message, "v", 0xFFFF)
            if version != VERSION:
                raise ProtocolError(ErrorCode.VERSION, f"version {version} is not supported; use {VERSION}")
            return Hello(
                version,
                _text(message, "name", _NAME),
                _text(message, "color", _COLOR),
                _text(message, "token", _TOKEN) if "token" in message else None,
                _text(message, "resume", _KEY) if "resume" in message else None,
                _text(message, "incarnation", _KEY) if "incarnation" in message else None,
                _integer(message, "rev", MAX_REV) if "rev" in message else None,
                _text(message, "ticket", _TOKEN) if "ticket" in message else None,
            )
        case "update":
            return Update(
                _text(message, "name", _NAME) if "name" in message else None,
                _text(message, "color", _COLOR) if "color" in message else None,
            )
        case "stats":
            return Stats(
                _number(message, "bandwidth_bps", 0.0, MAX_REPORTED), _integer(message, "cdn_bytes", MAX_REPORTED)
            )
        case "visit":
            device = _text(message, "device", _DEVICE)
            return Visit(
                _DEVICES.get(device, Device.OTHER),
                _integer(message, "first_ms", MAX_VISIT_MS) if "first_ms" in message else None,
                _integer(message, "detail_ms", MAX_VISIT_MS) if "detail_ms" in message else None,
                _integer(message, "stalls", MAX_STALLS),
                _integer(message, "stalled_ms", MAX_VISIT_MS),
            )
        case "spawn":
            return Spawn(
                _integer(message, "ref", MAX_U32),
                _text(message, "asset", _ASSET),
                _pose(message),
                _number(message, "scale", 1.0 / MAX_SCALE, MAX_SCALE),
            )
        case "grab":
            return Grab(_integer(message, "id", MAX_U32))
        case "release":
            return Release(_integer(message, "id", MAX_U32), _integer(message, "epoch", MAX_U32), _pose(message))
        case "delete":
            return Delete(_integer(message, "id", MAX_U32))
        case "signal":
            return Signal(_integer(message, "to", MAX_PID), _text(message, "data", _OPAQUE))
        case _:
            return None


def encode_control(message: ServerMessage) -> str:
    return json.dumps(message, default=_fields, separators=(",", ":"), ensure_ascii=False)


def _fields(message: object) -> dict[str, Any]:
    """The fields of a message dataclass by their names in JSON. `from_` becomes `from`, which is a Python keyword."""
    names: tuple[str, ...] = type(message).__slots__  # type: ignore[attr-defined]
    fields = {name.rstrip("_"): getattr(message, name) for name in names}
    return {name: value for name, value in fields.items() if value is not None or name not in ABSENT}


ABSENT: Final = frozenset({"ticket"})  # fields that are left out instead of null
_RULES: Final = {  # for error messages
    _DEVICE: "1 to 16 characters of a-z",
    _COLOR: "# and 6 hexadecimal digits",
    _NAME: "1 to 64 printable characters, one of them visible",
    _ASSET: "an asset id: 1 to 128 characters of a-z 0-9 . _ -, starting with a letter or digit",
    _KEY: "1 to 64 characters of A-Z a-z 0-9 _ -",
    _TOKEN: f"a join token of at most {MAX_TOKEN_CHARACTERS} characters",
    _OPAQUE: f"text of 1 to {MAX_SIGNAL_CHARACTERS} characters",
}


def _text(message: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be {_RULES[pattern]}")
    return value


def _number(message: dict[str, Any], name: str, minimum: float, maximum: float) -> float:
    value = message.get(name)
    if not _is_number(value, minimum, maximum):
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be a number from {minimum:g} to {maximum:g}")
    return float(value)


def _is_number(value: object, minimum: float, maximum: float) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum


def _integer(message: dict[str, Any], name: str, maximum: int) -> int:
    value = message.get(name)
    # JSON has only one type of number, so 1.0 is an integer.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be an integer from 0 to {maximum}")
    return value


def _pose(message: dict[str, Any]) -> Point:
    """The `pose` of a message, with its quaternion normalized; a quaternion of length zero becomes the identity."""
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
            return Point((x, y, z), _unit_quaternion((float(q[0]), float(q[1]), float(q[2]), float(q[3]))))
    raise ProtocolError(
        ErrorCode.FIELD,
        f"`pose` must be {{p: 3 numbers within ±{MAX_COORDINATE_M:.0f}, q: 4 numbers within ±1}}",
    )


def is_valid_object(shared: SharedObject) -> bool:
    """Whether an object from elsewhere than a message, such as a file, has values that messages may have."""
    return (
        _is_whole(shared.id, 1, MAX_U32)
        and isinstance(shared.asset, str)
        and bool(_ASSET.fullmatch(shared.asset))
        and all(_is_number(x, -MAX_COORDINATE_M, MAX_COORDINATE_M) for x in shared.pose.p)
        and all(_is_number(x, -1.0, 1.0) for x in shared.pose.q)
        and _is_number(shared.scale, 1.0 / MAX_SCALE, MAX_SCALE)
        and _is_whole(shared.epoch, 0, MAX_U32)
    )


def _is_whole(value: object, minimum: int, maximum: int) -> bool:
    return isinstance(value, int) and minimum <= value <= maximum


def _unit_quaternion(q: Quat) -> Quat:
    """`q` with length 1; the identity if the length of `q` is zero."""
    length = math.hypot(*q)
    if length < MIN_QUATERNION_LENGTH:
        return (0.0, 0.0, 0.0, 1.0)
    return (q[0] / length, q[1] / length, q[2] / length, q[3] / length)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
