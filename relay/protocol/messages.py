"""The control messages between relay and clients, as frozen dataclasses. `control.py` converts them from and to JSON.

`docs/protocol.md` specifies them. This module uses no socket and no clock.
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
MAX_COORDINATE_M: Final = 10_000.0  # beyond this, the step between two float32 numbers exceeds 1 mm
MAX_U32: Final = 0xFFFF_FFFF  # object ids, epochs and refs
MAX_TOKEN_CHARACTERS: Final = 1024

ROOM_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
ROOM_NAME_RULE: Final = "1 to 64 characters of A-Z a-z 0-9 . _ -"  # for error messages
# Text without characters that are invisible or change what is around them: controls, line separators, lone surrogates,
# and the Default_Ignorable_Code_Point property of Unicode 16 (UAX #44), which has zero-width characters, marks of
# direction, fillers and tags; also U+2800, a blank. With these, one participant could disturb or forge the text on the
# screens of others. U+FE0E and U+FE0F stay, since many emoji have them.
PRINTABLE: Final = (
    "[^\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
VISIBLE: Final = "[^ \xa0\u1680\u2000-\u200a\u202f\u205f\u3000\ufe0e\ufe0f]"  # not a space or a variation selector
SUBJECT: Final = re.compile(PRINTABLE + "{1,128}")  # of a join token


class CloseCode(IntEnum):
    """WebSocket close codes. The comments say what a client must do next."""

    POLICY = 1008  # the client violated the protocol: do not reconnect
    TOO_BIG = 1009  # a message was too large: do not reconnect
    INTERNAL = 1011  # the relay or the room failed: reconnect
    RESTART = 1012  # the relay restarts: reconnect after `drain.retry_ms`
    TOKEN = 4401  # the join token is missing, forged or expired: do not reconnect with it
    FORBIDDEN = 4403  # the origin of the page, or the room of the token, is not allowed: do not reconnect
    ROOM = 4404  # the room name is not valid: do not reconnect
    IDLE = 4408  # no hello in time, or no message for too long: reconnect
    REPLACED = 4409  # the participant has a newer connection: do not reconnect
    LIMIT = 4413  # the room or the relay is full: reconnect later
    VERSION = 4426  # no common version: do not reconnect
    RATE = 4429  # too many messages: reconnect later
    SLOW = 4430  # the client did not read in time: reconnect


class ErrorCode(StrEnum):
    """The reason for which a message was rejected; sent as `error.code`, and a label in the metrics."""

    JSON = "json"  # not JSON, or not an object with a string `type`
    FIELD = "field"  # a field is missing or not valid
    POSE = "pose"  # a malformed binary frame
    RATE = "rate"  # above the allowed rate; the message was dropped
    STATE = "state"  # not allowed now: hello is missing, or was sent twice
    ABSENT = "absent"  # the receiver of a signal is not present
    VERSION = "version"  # the version in hello is not supported


class ProtocolError(Exception):
    """A message from a client is not valid or not allowed. Other clients are not affected."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Role(StrEnum):
    """The permissions of a participant for shared objects. Everyone may be present, move and send signals."""

    VIEWER = "viewer"  # no operations
    EDITOR = "editor"  # spawn; grab, move, release and delete objects that no other participant holds
    OWNER = "owner"  # also grab and delete objects that another participant holds


class Refusal(StrEnum):
    """The reason for which an operation on an object was denied."""

    ROLE = "role"  # the role of the participant does not allow it
    UNKNOWN = "unknown"  # the object does not exist
    HELD = "held"  # a participant holds the object, perhaps the sender itself
    STALE = "stale"  # the lease of this epoch has ended
    LIMIT = "limit"  # the room has its maximum number of objects
    STORE = "store"  # the store cannot be written now


class Cause(StrEnum):
    """The reason for which an object was released."""

    RELEASED = "released"  # its holder released it
    EXPIRED = "expired"  # its holder sent no move for longer than the lease
    LEFT = "left"  # its holder left the room


Operation = Literal["spawn", "grab", "release", "delete"]

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A pose: position `p` in metres, and rotation `q`, a unit quaternion x, y, z, w."""

    p: Vec3
    q: Quat


@dataclass(frozen=True, slots=True)
class SharedObject:
    """The public state of an object. `owner` is the pid of its holder; `epoch` counts its grabs."""

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
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    name: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    bandwidth_bps: float
    cdn_bytes: int


class Device(StrEnum):
    HEADSET = "headset"
    PHONE = "phone"
    DESKTOP = "desktop"
    OTHER = "other"  # of a newer client


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor got from streaming, anonymous; numbers are since the last message, times in milliseconds."""

    device: Device
    first_ms: int | None
    detail_ms: int | None
    stalls: int
    stalled_ms: int


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
ClientMessage = Hello | Update | Stats | Visit | ObjectMessage | Signal


# --- relay → client


@dataclass(frozen=True, slots=True)
class Profile:
    """The public data of a participant. `away`: the connection is lost, and the participant may still return."""

    pid: int
    name: str
    color: str
    away: bool = False


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """`limits` of the welcome message. Objects and participants are per room, rates per client."""

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
    limits: RoomLimits
    participants: tuple[Profile, ...]
    incarnation: str
    rev: int
    objects: tuple[SharedObject, ...] | None  # None: the objects that the client knew at `rev` are still valid
    ticket: str | None = None  # absent without join tokens
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
    """`ref` is set for a spawn, `id` for all other operations. `object` is its current state, if it exists."""

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
