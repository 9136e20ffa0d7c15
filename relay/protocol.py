"""Control messages: JSON text on the wire, frozen dataclasses within.

`docs/protocol.md` is the specification and `protocol.schema.json` its machine-readable form; a test holds
this parser and the schema to the same verdict on any message. Nothing here touches a socket or a clock.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal, NoReturn, TypeGuard

VERSION: Final = 1
SUBPROTOCOL: Final = "streamxr.v1"

MAX_CONTROL_BYTES: Final = 16 * 1024
MAX_PID: Final = 0xFFFF
MAX_REPORTED: Final = 10**12  # bytes or bits per second; more from one client is nonsense, not news
MAX_COORDINATE_M: Final = 10_000.0  # beyond this a float32 step exceeds 1 mm
MAX_SCALE: Final = 1000.0
MAX_U32: Final = 0xFFFF_FFFF  # object ids, epochs and refs
MAX_REV: Final = 2**53 - 1  # the largest whole number that JSON readers agree on
MAX_TOKEN_CHARACTERS: Final = 1024
MIN_QUATERNION_LENGTH: Final = 1e-6  # below this nothing is left of a direction
MAX_SIGNAL_CHARACTERS: Final = 8 * 1024  # an SDP offer of a video call is 2 to 6 KiB

ROOM_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_ASSET = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")  # as in the bundle's catalogue
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(f"[A-Za-z0-9_.-]{{1,{MAX_TOKEN_CHARACTERS}}}")
_OPAQUE = re.compile(f"[^\ud800-\udfff]{{1,{MAX_SIGNAL_CHARACTERS}}}")
# Printable text: no control characters, line separators, bidirectional overrides or lone surrogates, with
# which one participant could break or forge what others see.
_PRINTABLE = "[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_NAME = re.compile(_PRINTABLE + "{1,64}")
SUBJECT: Final = re.compile(_PRINTABLE + "{1,128}")  # of a join token


class CloseCode(IntEnum):
    """WebSocket close codes; the comment says what a client does next."""

    POLICY = 1008  # the client broke the protocol: do not reconnect
    TOO_BIG = 1009  # as 1008
    INTERNAL = 1011  # reconnect
    RESTART = 1012  # reconnect after `drain.retry_ms`
    TOKEN = 4401  # a join token is needed, or this one is forged or expired: do not reconnect with it
    FORBIDDEN = 4403  # the page's origin, or the token's room, is not allowed: do not reconnect
    ROOM = 4404  # no such room name: do not reconnect
    IDLE = 4408  # no hello in time, or nothing heard for too long: reconnect
    REPLACED = 4409  # the same participant is here on a newer connection: do not reconnect
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
    ABSENT = "absent"  # nobody of that pid is here to be signalled to
    VERSION = "version"  # hello asks for a version this relay does not speak


class ProtocolError(Exception):
    """A message from outside that cannot be obeyed. It costs its sender only."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Role(StrEnum):
    """What a participant may do to shared objects. Everyone may be present, move and signal."""

    VIEWER = "viewer"  # nothing
    EDITOR = "editor"  # spawn; grab, move, release and delete what nobody else holds
    OWNER = "owner"  # also grab and delete what somebody else holds


class Refusal(StrEnum):
    """Why an operation on an object was denied."""

    ROLE = "role"  # one's role does not allow it
    UNKNOWN = "unknown"  # no such object
    HELD = "held"  # somebody holds it, perhaps oneself
    STALE = "stale"  # the lease of that epoch is over
    LIMIT = "limit"  # the room holds as many objects as it may
    STORE = "store"  # what must be kept cannot be written now


class Cause(StrEnum):
    """Why an object was released."""

    RELEASED = "released"  # its holder let go
    EXPIRED = "expired"  # its holder was silent for longer than the lease
    LEFT = "left"  # its holder left the room


Operation = Literal["spawn", "grab", "release", "delete"]

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """Where something is and how it is turned: `p` in metres, `q` a unit quaternion x, y, z, w."""

    p: Vec3
    q: Quat


@dataclass(frozen=True, slots=True)
class SharedObject:
    """An object as everyone may know it. `owner` is the pid of who holds it; `epoch` counts its grabs."""

    id: int
    asset: str
    pose: Point
    scale: float
    owner: int | None
    epoch: int


# --- client → relay


@dataclass(frozen=True, slots=True)
class Hello:
    v: int
    name: str
    color: str
    token: str | None = None
    resume: str | None = None
    incarnation: str | None = None
    rev: int | None = None


@dataclass(frozen=True, slots=True)
class Update:
    name: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    bandwidth_bps: float
    cdn_bytes: int


@dataclass(frozen=True, slots=True)
class Spawn:
    ref: int
    asset: str
    pose: Point
    scale: float


@dataclass(frozen=True, slots=True)
class Grab:
    id: int


@dataclass(frozen=True, slots=True)
class Release:
    id: int
    epoch: int
    pose: Point


@dataclass(frozen=True, slots=True)
class Delete:
    id: int


@dataclass(frozen=True, slots=True)
class Signal:
    to: int
    data: str


ObjectMessage = Spawn | Grab | Release | Delete
ClientMessage = Hello | Update | Stats | ObjectMessage | Signal


# --- relay → client


@dataclass(frozen=True, slots=True)
class Profile:
    """What everyone may know of a participant. `away`: their line is lost, and they may yet come back."""

    pid: int
    name: str
    color: str
    away: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    participants: int
    objects: int
    poses_per_s: int
    control_per_s: int
    control_bytes: int


@dataclass(frozen=True, slots=True)
class Welcome:
    pid: int
    resume: str
    role: Role
    tick_hz: int
    server_ms: int
    limits: Limits
    participants: tuple[Profile, ...]
    incarnation: str
    rev: int
    objects: tuple[SharedObject, ...] | None  # None: what the client knew at `rev` still holds
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
    away: bool = False
    type: str = field(default="updated", init=False)


@dataclass(frozen=True, slots=True)
class Spawned:
    rev: int
    id: int
    by: int
    ref: int
    asset: str
    pose: Point
    scale: float
    type: str = field(default="spawned", init=False)


@dataclass(frozen=True, slots=True)
class Grabbed:
    rev: int
    id: int
    owner: int
    epoch: int
    lease_ms: int
    type: str = field(default="grabbed", init=False)


@dataclass(frozen=True, slots=True)
class Released:
    rev: int
    id: int
    epoch: int
    pose: Point
    cause: Cause
    type: str = field(default="released", init=False)


@dataclass(frozen=True, slots=True)
class Deleted:
    rev: int
    id: int
    type: str = field(default="deleted", init=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """`ref` is that of a spawn, `id` that of anything else; `object` is how it is now, if there is one."""

    op: Operation
    reason: Refusal
    ref: int | None = None
    id: int | None = None
    object: SharedObject | None = None
    type: str = field(default="denied", init=False)


@dataclass(frozen=True, slots=True)
class SignalFrom:
    from_: int
    data: str
    type: str = field(default="signal", init=False)


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


ObjectEvent = Spawned | Grabbed | Released | Deleted
ServerMessage = Welcome | Joined | Left | Updated | ObjectEvent | Denied | SignalFrom | Error | Drain | Pace


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
