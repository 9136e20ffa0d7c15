"""Control messages: JSON text on the wire, frozen dataclasses within.

`docs/protocol.md` is the specification and `protocol.schema.json` its machine-readable form; a test holds
this parser and the schema to the same verdict on any message. Nothing here touches a socket or a clock.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final, NoReturn

VERSION: Final = 1
SUBPROTOCOL: Final = "streamxr.v1"

MAX_CONTROL_BYTES: Final = 16 * 1024
MAX_PID: Final = 0xFFFF
MAX_REPORTED: Final = 10**12  # bytes or bits per second; more from one client is nonsense, not news

ROOM_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
# Printable text: no control characters, line separators, bidirectional overrides or lone surrogates, with
# which one participant could break or forge what others see.
_NAME = re.compile("[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{1,64}")


class CloseCode(IntEnum):
    """WebSocket close codes; the comment says what a client does next."""

    POLICY = 1008  # the client broke the protocol: do not reconnect
    TOO_BIG = 1009  # as 1008
    INTERNAL = 1011  # reconnect
    RESTART = 1012  # reconnect after `drain.retry_ms`
    ORIGIN = 4403  # the page's origin is not allowed: do not reconnect
    ROOM = 4404  # no such room name: do not reconnect
    IDLE = 4408  # no hello in time: reconnect
    LIMIT = 4413  # room or relay is full: reconnect later
    VERSION = 4426  # no common version: do not reconnect
    RATE = 4429  # too many messages: reconnect later
    SLOW = 4430  # the client did not read in time: reconnect


class ErrorCode(StrEnum):
    """Why a message was not obeyed; sent as `error.code` and counted under the same name."""

    JSON = "json"  # not JSON, or not an object with a string `type`
    FIELD = "field"  # a field is missing or not what it should be
    POSE = "pose"  # a malformed binary frame
    RATE = "rate"  # over the allowed rate; the message was dropped
    STATE = "state"  # not now: hello missing, or sent twice
    VERSION = "version"  # hello asks for a version this relay does not speak


class ProtocolError(Exception):
    """A message from outside that cannot be obeyed. It costs its sender only."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# --- client → relay


@dataclass(frozen=True, slots=True)
class Hello:
    v: int
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Update:
    name: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    bandwidth_bps: float
    cdn_bytes: int


ClientMessage = Hello | Update | Stats


# --- relay → client


@dataclass(frozen=True, slots=True)
class Profile:
    """What everyone may know of a participant."""

    pid: int
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Limits:
    participants: int
    poses_per_s: int
    control_per_s: int
    control_bytes: int


@dataclass(frozen=True, slots=True)
class Welcome:
    pid: int
    tick_hz: int
    server_ms: int
    limits: Limits
    participants: tuple[Profile, ...]
    type: str = field(default="welcome", init=False)


@dataclass(frozen=True, slots=True)
class Joined:
    pid: int
    name: str
    color: str
    type: str = field(default="joined", init=False)


@dataclass(frozen=True, slots=True)
class Left:
    pid: int
    type: str = field(default="left", init=False)


@dataclass(frozen=True, slots=True)
class Updated:
    pid: int
    name: str
    color: str
    type: str = field(default="updated", init=False)


@dataclass(frozen=True, slots=True)
class Error:
    code: ErrorCode
    message: str
    type: str = field(default="error", init=False)


@dataclass(frozen=True, slots=True)
class Drain:
    retry_ms: int
    type: str = field(default="drain", init=False)


@dataclass(frozen=True, slots=True)
class Pace:
    tick_hz: int
    type: str = field(default="pace", init=False)


ServerMessage = Welcome | Joined | Left | Updated | Error | Drain | Pace


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
            return Hello(version, _text(message, "name", _NAME), _text(message, "color", _COLOR))
        case "update":
            return Update(
                _text(message, "name", _NAME) if "name" in message else None,
                _text(message, "color", _COLOR) if "color" in message else None,
            )
        case "stats":
            return Stats(_number(message, "bandwidth_bps"), _whole(message, "cdn_bytes", MAX_REPORTED))
        case _:
            return None


def encode_control(message: ServerMessage) -> str:
    return json.dumps(asdict(message), separators=(",", ":"), ensure_ascii=False)


def _text(message: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        what = "6 hexadecimal digits after #" if pattern is _COLOR else "1 to 64 printable characters"
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be {what}")
    return value


def _number(message: dict[str, Any], name: str) -> float:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_REPORTED:
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be a number from 0 to {MAX_REPORTED:.0e}")
    return float(value)


def _whole(message: dict[str, Any], name: str, most: int) -> int:
    value = message.get(name)
    # JSON has one kind of number: 1.0 is whole.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ProtocolError(ErrorCode.FIELD, f"`{name}` must be a whole number from 0 to {most}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
