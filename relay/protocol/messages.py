"""What the relay and its clients say to each other, as frozen dataclasses; `control.py` has their JSON.

`docs/protocol.md` is the specification. Nothing here touches a socket or a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, Literal

VERSION: Final = 1
SUBPROTOCOL: Final = "streamxr.v1"

MAX_CONTROL_BYTES: Final = 16 * 1024
MAX_PID: Final = 0xFFFF
MAX_COORDINATE_M: Final = 10_000.0  # beyond this a float32 step exceeds 1 mm
MAX_U32: Final = 0xFFFF_FFFF  # object ids, epochs and refs
MAX_TOKEN_CHARACTERS: Final = 1024

ROOM_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Printable text: no control characters, line separators, bidirectional overrides or lone surrogates, with
# which one participant could break or forge what others see.
PRINTABLE: Final = "[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
SUBJECT: Final = re.compile(PRINTABLE + "{1,128}")  # of a join token


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
