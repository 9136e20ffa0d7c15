"""Many simulated participants in one process: who is in which room, and when each takes the next step."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..protocol.messages import ROOM_NAME, SUBPROTOCOL
from .client import SimulatedRoom, Walker, end_all
from .client_socket import ClientSocket
from .statistics import Tally
from .walks import STEPS_PER_S, walks

NAMES: Final = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Jean", "Katherine", "Leslie")
ARRIVING: Final = 64  # at once; the viewers of a real room do not come in the same second either
SAMPLES_PER_S: Final = 4_000
PACE_S: Final = 0.002
GOODBYE_S: Final = 3.0

TokenFor = Callable[[str, str], str | None]  # room, participant → join token


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. `url`: ws:// or wss://, with the path before the rooms, if it is not /ws."""

    url: str
    participants: int = 8
    rooms: int = 1
    room: str = "lobby"  # with several rooms: the start of their names
    seed: int = 1
    objects: int = 2  # in each room, to be grabbed and thrown; 0: none
    asset: str = "ball"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    path: str
    is_tls: bool

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Raises: ValueError, with what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is no relay: expected ws://HOST[:PORT] or wss://HOST[:PORT]")
    is_tls = parts.scheme == "wss"
    return Address(parts.hostname, parts.port or (443 if is_tls else 80), parts.path.rstrip("/") or "/ws", is_tls)


class Crowd:
    def __init__(self, plan: Plan, token_for: TokenFor = lambda _room, _name: None) -> None:
        self.tally = Tally(sample_every=max(1, plan.participants * STEPS_PER_S // SAMPLES_PER_S))
        self.rooms = [SimulatedRoom(name) for name in _room_names(plan)]
        self.walkers: list[Walker] = []
        self._address = parse_url(plan.url)
        self._arriving = asyncio.Semaphore(ARRIVING)
        self._tls = ssl.create_default_context() if self._address.is_tls else None
        self._received_before = 0
        self._sockets: dict[Walker, ClientSocket] = {}
        people = [len(range(index, plan.participants, plan.rooms)) for index in range(plan.rooms)]
        for room, ways in zip(self.rooms, walks(plan.seed, people), strict=True):
            for order, way in enumerate(ways):
                index = len(self.walkers)
                name = NAMES[index % len(NAMES)] + (f" {index // len(NAMES) + 1}" if index >= len(NAMES) else "")
                self.walkers.append(
                    Walker(
                        room,
                        name,
                        way,
                        self.tally,
                        seed=plan.seed * 1_000_003 + index,
                        token=token_for(room.name, name),
                        asset=plan.asset if plan.objects else "",
                        spawns=plan.objects if order == 0 else 0,
                    )
                )

    @property
    def is_over(self) -> bool:
        """Everyone was told to stay away."""
        return all(walker.over for walker in self.walkers)

    @property
    def received_bytes(self) -> int:
        return self._received_before + sum(socket.received_bytes for socket in self._sockets.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Be there until `stop`, then leave."""
        lives = [asyncio.create_task(walker.live(self._connect, self._arriving)) for walker in self.walkers]
        pacing = asyncio.create_task(self._pace())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([pacing, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pacing.cancel()
            stopping.cancel()
            await end_all(self.walkers, lives, GOODBYE_S)
        if pacing.done() and not pacing.cancelled():
            pacing.result()

    async def _connect(self, walker: Walker) -> ClientSocket:
        address = self._address
        before = self._sockets.pop(walker, None)
        self._received_before += before.received_bytes if before else 0
        socket = ClientSocket(walker, address.authority, f"{address.path}/{walker.room.name}", SUBPROTOCOL)
        await asyncio.get_running_loop().create_connection(lambda: socket, address.host, address.port, ssl=self._tls)
        self._sockets[walker] = socket
        return socket

    async def _pace(self) -> None:
        """Everyone takes STEPS_PER_S steps a second, one after the other and not all at once."""
        walkers = self.walkers
        count = len(walkers)
        at = taken = 0
        started = time.monotonic()
        while True:
            now = time.monotonic()
            due = int((now - started) * STEPS_PER_S * count) - taken
            taken += due
            for _ in range(min(due, count)):  # what could not be done in time is not made up for
                walkers[at].step(now)
                at = at + 1 if at + 1 < count else 0
            await asyncio.sleep(PACE_S)


def _room_names(plan: Plan) -> list[str]:
    names = [plan.room] if plan.rooms == 1 else [f"{plan.room}-{index + 1}" for index in range(plan.rooms)]
    for name in names:
        if not ROOM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no room: 1 to 64 of A-Z a-z 0-9 . _ -")
    return names
