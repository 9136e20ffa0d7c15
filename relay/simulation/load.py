"""A load of many simulated clients in one process: their rooms, their connections, and the time of each step."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..protocol.messages import ROOM_NAME, ROOM_NAME_RULE, SUBPROTOCOL
from .client import SimulatedClient, SimulatedRoom, end_all
from .client_socket import ClientSocket
from .statistics import LoadStatistics
from .walks import STEPS_PER_S, Walk, walks

NAMES: Final = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Jean", "Katherine", "Leslie")
MAX_ARRIVING: Final = 64  # clients that connect at the same time; those of a real room do not all arrive in one second
SAMPLES_PER_S: Final = 4_000
STEP_INTERVAL_S: Final = 0.002
LEAVE_TIMEOUT_S: Final = 3.0

TokenFor = Callable[[str, str], str | None]  # room, participant → join token


@dataclass(frozen=True, slots=True)
class Plan:
    """A load to simulate. `url` is ws:// or wss://, with the path before the room name if it is not /ws."""

    url: str
    participants: int = 8
    rooms: int = 1
    room: str = "lobby"  # name of the room; with several rooms, the start of their names
    seed: int = 1
    objects: int = 2  # objects in each room, which clients grab and throw; 0: none
    asset: str = "ball"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    path: str
    is_tls: bool

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Raises ValueError if this is not a WebSocket URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of a relay: expected ws://HOST[:PORT] or wss://HOST[:PORT]")
    is_tls = parts.scheme == "wss"
    return Address(parts.hostname, parts.port or (443 if is_tls else 80), parts.path.rstrip("/") or "/ws", is_tls)


class Load:
    """The clients and rooms of a plan.

    Raises ValueError if the URL or a room name is not valid.
    """

    def __init__(self, plan: Plan, token_for: TokenFor = lambda _room, _name: None) -> None:
        self.statistics = LoadStatistics(sample_every=max(1, plan.participants * STEPS_PER_S // SAMPLES_PER_S))
        self.rooms = [SimulatedRoom(name) for name in _room_names(plan)]
        self._address = parse_url(plan.url)
        self._arrivals = asyncio.Semaphore(MAX_ARRIVING)
        self._tls = ssl.create_default_context() if self._address.is_tls else None
        self._received_before = 0  # bytes, on earlier connections
        self._sockets: dict[SimulatedClient, ClientSocket] = {}
        participants = [len(range(index, plan.participants, plan.rooms)) for index in range(plan.rooms)]  # by room
        self.clients: list[SimulatedClient] = []
        for room, room_walks in zip(self.rooms, walks(plan.seed, participants), strict=True):
            for index, walk in enumerate(room_walks):
                spawns = plan.objects if index == 0 else 0
                self.clients.append(self._client(plan, len(self.clients), room, walk, spawns, token_for))

    def _client(
        self, plan: Plan, index: int, room: SimulatedRoom, walk: Walk, spawns: int, token_for: TokenFor
    ) -> SimulatedClient:
        name = NAMES[index % len(NAMES)] + (f" {index // len(NAMES) + 1}" if index >= len(NAMES) else "")
        return SimulatedClient(
            room,
            name,
            walk,
            self.statistics,
            seed=plan.seed * 1_000_003 + index,
            token=token_for(room.name, name),
            asset=plan.asset if plan.objects else "",
            spawns=spawns,
        )

    @property
    def has_ended(self) -> bool:
        """Whether the relay allows none of the clients to reconnect."""
        return all(client.ended for client in self.clients)

    @property
    def received_bytes(self) -> int:
        return self._received_before + sum(socket.received_bytes for socket in self._sockets.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Run all clients until `stop` is set, then let them leave."""
        running = [asyncio.create_task(client.run(self._connect, self._arrivals)) for client in self.clients]
        stepping = asyncio.create_task(self._step_all())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stepping, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stepping.cancel()
            stopping.cancel()
            await end_all(self.clients, running, LEAVE_TIMEOUT_S)
        if stepping.done() and not stepping.cancelled():
            stepping.result()

    async def _connect(self, client: SimulatedClient) -> ClientSocket:
        address = self._address
        previous = self._sockets.pop(client, None)
        self._received_before += previous.received_bytes if previous else 0
        socket = ClientSocket(client, address.authority, f"{address.path}/{client.room.name}", SUBPROTOCOL)
        await asyncio.get_running_loop().create_connection(lambda: socket, address.host, address.port, ssl=self._tls)
        self._sockets[client] = socket
        return socket

    async def _step_all(self) -> None:
        """Let each client take STEPS_PER_S steps per second. The clients take turns, so that their poses are spread."""
        clients = self.clients
        count = len(clients)
        at = taken = 0
        started = time.monotonic()
        while True:
            now = time.monotonic()
            due = int((now - started) * STEPS_PER_S * count) - taken
            taken += due
            for _ in range(min(due, count)):  # steps beyond that are dropped
                clients[at].step(now)
                at = at + 1 if at + 1 < count else 0
            await asyncio.sleep(STEP_INTERVAL_S)


def _room_names(plan: Plan) -> list[str]:
    names = [plan.room] if plan.rooms == 1 else [f"{plan.room}-{index + 1}" for index in range(plan.rooms)]
    for name in names:
        if not ROOM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a room name: it must be {ROOM_NAME_RULE}")
    return names
