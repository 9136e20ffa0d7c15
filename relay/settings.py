"""The options of a relay and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .connection import ConnectionLimits
from .protocol.messages import MAX_CONTROL_BYTES, RoomLimits
from .rooms.pace import TickPolicy
from .rooms.room import GRACE_S
from .tokens import TokenKeys


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """All options that an operator may set. The defaults are the documented ones."""

    origins: tuple[str, ...] = ()  # allowed pages; empty: pages of the relay's own local host
    tick: TickPolicy = field(default_factory=TickPolicy)
    max_participants: int = 200  # in each room
    max_objects: int = 500  # in each room
    connection: ConnectionLimits = field(default_factory=ConnectionLimits)
    max_rooms: int = 1_000
    max_connections: int = 2_000
    max_per_address: int = 100  # connections; 0: no limit
    rooms_per_address: int = 100  # open and kept rooms that one address has made, or one subject of tokens; 0: no limit
    keep_days: int = 90  # for which unused rooms stay in the state file; 0: without end
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For header is trusted
    labelled_rooms: int = 100  # rooms with metric series of their own
    client_series: int = 0  # clients with bandwidth series of their own
    visits: bool = True  # count what viewers report about their visits
    grace_s: float = GRACE_S  # time for which a seat is kept after its connection is lost
    drain_s: float = 3.0
    state: Path | None = None  # file that stores the shared objects; None: they are not stored
    tokens: TokenKeys | None = None  # None: everyone may join

    @property
    def limits(self) -> RoomLimits:
        return RoomLimits(
            participants=self.max_participants,
            objects=self.max_objects,
            poses_per_s=self.connection.poses_per_s,
            control_per_s=self.connection.control_per_s,
            control_bytes=MAX_CONTROL_BYTES,
        )
