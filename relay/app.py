"""The relay as an ASGI application: routes, the registry of open rooms, and the tick.

Rooms are pure and connections know one socket each; this module only carries messages from one to the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .addresses import AddressCensus
from .connection import Connection, ConnectionLimits, RefusalError
from .logs import about
from .metrics import TEXT_FORMAT, Metrics, RoomCensus, State
from .open_room import OpenRoom
from .origins import origin_allowed
from .protocol.control import encode_control
from .protocol.messages import MAX_CONTROL_BYTES, ROOM_NAME, SUBPROTOCOL, CloseCode, Drain, Limits
from .rooms.objects import Kept, Objects
from .rooms.pace import Pressure, TickPolicy
from .rooms.room import GRACE_S, Room
from .rooms.store import Store
from .session import Visit
from .tokens import TokenKeys

log = logging.getLogger("streamxr.relay")

MAX_RETRY_MS: Final = 5_000  # clients of a draining relay come back spread over this long
DRAIN_GRACE_S: Final = 2.0  # what is still open this long after the last close frame is cut
TICK_STALL_S: Final = 5.0  # a tick this late means that the loop is stuck or dead


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Everything an operator may set; the defaults are the documented ones."""

    origins: tuple[str, ...] = ()
    tick: TickPolicy = field(default_factory=TickPolicy)
    max_participants: int = 200
    max_objects: int = 500
    connection: ConnectionLimits = field(default_factory=ConnectionLimits)
    max_rooms: int = 1_000
    max_connections: int = 2_000
    max_per_address: int = 100  # connections; 0 is no limit
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For is believed
    labelled_rooms: int = 100
    client_series: int = 0  # clients with bandwidth series of their own
    grace_s: float = GRACE_S  # for which a seat waits for somebody whose line is lost
    drain_s: float = 3.0
    state: Path | None = None  # file in which shared objects are kept
    tokens: TokenKeys | None = None  # with none, whoever comes may enter

    @property
    def limits(self) -> Limits:
        return Limits(
            participants=self.max_participants,
            objects=self.max_objects,
            poses_per_s=self.connection.poses_per_s,
            control_per_s=self.connection.control_per_s,
            control_bytes=MAX_CONTROL_BYTES,
        )


def create_app(settings: RelaySettings | None = None) -> Starlette:
    """The ASGI application of one relay; `app.state.relay` is the relay itself."""
    relay = Relay(settings or RelaySettings())
    app = Starlette(
        routes=[
            WebSocketRoute("/ws/{room:path}", relay.websocket),
            Route("/healthz", relay.healthz),
            Route("/readyz", relay.readyz),
            Route("/metrics", relay.exposition),
        ],
        lifespan=relay.lifespan,
    )
    app.state.relay = relay
    return app


class Relay:
    """All rooms and connections of one process. Everything runs on one event loop, so nothing is locked."""

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        self.draining = False
        self.metrics = Metrics(self._census, self._state, settings.client_series)
        self._rooms: dict[str, OpenRoom] = {}
        self._free_labels = settings.labelled_rooms
        self._connections: set[Connection] = set()
        self._addresses = AddressCensus(settings.max_per_address)
        self.tokens = settings.tokens
        self._entering: dict[str, list[Callable[[OpenRoom | None], None]]] = {}
        self._store = Store(settings.state, settings.max_rooms) if settings.state else None
        self._started_at = time.monotonic()
        self._ticked_at = -TICK_STALL_S

    def now(self) -> float:
        """Seconds on the relay's own clock, which starts with it."""
        return time.monotonic() - self._started_at

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._ticked_at = self.now()
        ticking = asyncio.create_task(self._tick_forever(), name="tick")
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            if self._store:
                for opened in self._rooms.values():
                    opened.save_moves()
                self._store.close()

    async def websocket(self, websocket: WebSocket) -> None:
        """One client, from handshake to goodbye. Refusals come as close codes: a browser hides HTTP ones."""
        address = websocket.client.host if websocket.client else ""
        refusal = self._refusal(websocket, address)
        try:
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
            if refusal:
                self.metrics.counts.closes[refusal.code] += 1
                await websocket.close(refusal.code, refusal.reason)
                return
        except (WebSocketDisconnect, RuntimeError):
            return  # gone before we could answer
        counts = self.metrics.counts
        connection = Connection(websocket, self.settings.connection, self.now, counts)
        visit = Visit(self, connection, _room_name(websocket))
        self._connections.add(connection)
        self._addresses.enter(address)
        counts.connections = len(self._connections)
        try:
            await connection.run(visit.handle)
        finally:
            visit.end(connection.close_code)
            self._connections.discard(connection)
            self._addresses.leave(address)
            counts.connections = len(self._connections)
            counts.reported.pop(connection, None)

    def enter_room(self, name: str, enter: Callable[[OpenRoom | None], None]) -> None:
        """Call `enter` with the room of that name: at once, or when what is kept of it has been read. None: that
        cannot be read.

        Raises:
            RefusalError: the relay holds as many rooms as it may.
        """
        found = self._rooms.get(name)
        if found:
            enter(found)
        elif name in self._entering:
            self._entering[name].append(enter)
        else:
            self._check_room_count()
            if self._store is None:
                enter(self._open_room(name, None))
            else:
                self._entering[name] = [enter]
                self._store.load(name, partial(self._enter_kept, name))

    def close_room_if_empty(self, opened: OpenRoom) -> None:
        if len(opened.room) == 0 and self._rooms.get(opened.name) is opened:
            self._forget_room(opened)
            if self._store and len(opened.room.objects) == 0:
                self._store.forget(opened.name)

    def _enter_kept(self, name: str, kept: Kept | None) -> None:
        entering = self._entering.pop(name)
        opened = self._open_room(name, kept) if kept else None
        for enter in entering:
            enter(opened)
        if opened:
            self.close_room_if_empty(opened)

    def _open_room(self, name: str, kept: Kept | None) -> OpenRoom:
        labelled = self._free_labels > 0
        self._free_labels -= labelled
        limits = self.settings.limits
        room = Room(limits, self.settings.tick.hz, Objects(limits.objects, kept), self.settings.grace_s)
        opened = self._rooms[name] = OpenRoom(
            name, room, self.settings.tick, labelled=labelled, store=self._store, on_failure=self._forget_room
        )
        return opened

    def _forget_room(self, opened: OpenRoom) -> None:
        # A room may fail when it is long empty, and another one of its name be open.
        if self._rooms.get(opened.name) is opened:
            del self._rooms[opened.name]
            self._free_labels += opened.labelled

    def _check_room_count(self) -> None:
        if len(self._rooms) + len(self._entering) < self.settings.max_rooms:
            return
        # A room in which everyone is away gives way to people who are here.
        deserted = next((opened for opened in self._rooms.values() if not opened.seats), None)
        if deserted is None:
            raise RefusalError(CloseCode.LIMIT, f"this relay holds {self.settings.max_rooms} rooms")
        for profile in deserted.room.participants:
            deserted.deliver(deserted.room.leave(profile.pid, self.now()))
        self.close_room_if_empty(deserted)

    async def drain(self) -> None:
        """Send everyone away, gently: not ready, a word with a random time to come back, then close codes
        1012 spread over `drain_s`. Returns when all are gone."""
        self.draining = True
        leaving = list(self._connections)
        log.info("draining %d connections", len(leaving))
        started = self.now()
        for connection in leaving:
            connection.send(encode_control(Drain(random.randrange(MAX_RETRY_MS))))
        for connection in leaving:
            await asyncio.sleep(self.settings.drain_s / len(leaving))
            connection.close(CloseCode.RESTART, "the relay restarts")
        deadline = self.now() + DRAIN_GRACE_S
        while self._connections and self.now() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.evict(CloseCode.RESTART, "the relay restarts")
        log.info("drained in %.1f s", self.now() - started)

    async def healthz(self, _request: Request) -> Response:
        late = self.now() - self._ticked_at
        if late > TICK_STALL_S:
            return PlainTextResponse(f"no tick for {late:.1f} s\n", 503)
        return PlainTextResponse("ok\n")

    async def readyz(self, _request: Request) -> Response:
        return PlainTextResponse("draining\n", 503) if self.draining else PlainTextResponse("ok\n")

    async def exposition(self, _request: Request) -> Response:
        return Response(self.metrics.exposition(), headers={"content-type": TEXT_FORMAT})

    def _refusal(self, websocket: WebSocket, address: str) -> RefusalError | None:
        headers = websocket.headers
        origin = headers.get("origin")
        if not origin_allowed(origin, headers.get("host"), self.settings.origins):
            log.warning("refused a page of origin %r; to allow it, add --origin %s", origin, origin)
            return RefusalError(CloseCode.FORBIDDEN, "this page's origin is not allowed here")
        if not ROOM_NAME.fullmatch(_room_name(websocket)):
            return RefusalError(CloseCode.ROOM, "a room's name is 1 to 64 of A-Z a-z 0-9 . _ -")
        if SUBPROTOCOL not in websocket.scope["subprotocols"]:
            return RefusalError(CloseCode.VERSION, f"subprotocol {SUBPROTOCOL} is needed")
        if self.draining:
            return RefusalError(CloseCode.RESTART, "the relay restarts")
        if len(self._connections) >= self.settings.max_connections:
            return RefusalError(CloseCode.LIMIT, f"this relay holds {self.settings.max_connections} connections")
        if self._addresses.is_full(address):
            log.warning(
                "refused a connection beyond %d from %s; if that is a proxy of yours, add --trusted-proxy %s",
                self.settings.max_per_address,
                address,
                address,
            )
            return RefusalError(CloseCode.LIMIT, "too many connections from this address")
        return None

    async def _tick_forever(self) -> None:
        period = 1.0 / self.settings.tick.hz
        pressure = Pressure()
        due = self.now()
        while True:
            # After an overrun the missed ticks are not made up for: their poses are in the next frame.
            due = max(due + period, self.now())
            await asyncio.sleep(due - self.now())
            started = self._ticked_at = self.now()
            pressed = pressure.observe(started - due, period, started)
            for opened in list(self._rooms.values()):
                try:
                    opened.tick(started, pressed=pressed)
                    self.close_room_if_empty(opened)
                except Exception:
                    # A fault in one room must not stop the others; its people come back to a fresh one.
                    about(log, room=opened.name).exception("the room failed and is closed")
                    opened.fail("the room failed")
            self.metrics.tick_late_seconds.observe(started - due)
            self.metrics.tick_seconds.observe(self.now() - started)

    def _state(self) -> State:
        limits = self.settings
        return State(len(self._rooms), limits.max_rooms, limits.max_connections, self.draining)

    def _census(self) -> Iterator[RoomCensus]:
        for opened in self._rooms.values():
            yield RoomCensus(opened.name, opened.labelled, users=len(opened.room), objects=len(opened.room.objects))


def _room_name(websocket: WebSocket) -> str:
    """All that follows /ws/. Starlette's own path parameter would drop a line feed at the end."""
    path: str = websocket.scope["path"]
    return path.partition("/ws/")[2]
