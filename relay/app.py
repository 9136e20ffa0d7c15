"""The relay as an ASGI application: its routes, the admission of connections, the tick and the drain.

Rooms are pure state machines and each connection handles one socket; this module only connects them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .addresses import AddressCensus
from .connection import CloseError, Connection
from .metrics import Metrics, RelayState
from .open_rooms import OpenRooms
from .origins import origin_allowed
from .protocol.control import encode_control
from .protocol.messages import ROOM_NAME, ROOM_NAME_RULE, SUBPROTOCOL, VERSION, CloseCode, Drain
from .rooms.pace import OverloadDetector
from .session import Session
from .settings import RelaySettings

log = logging.getLogger("streamxr.relay")

MAX_RETRY_MS: Final = 5_000  # the clients of a draining relay reconnect at random times within this span
DRAIN_GRACE_S: Final = 2.0  # connections still open this long after the last close frame are aborted
FULL_LOG_INTERVAL_S: Final = 60.0
_VERSIONED: Final = re.compile(r"streamxr\.v([1-9][0-9]{0,3})")
TICK_STALL_S: Final = 5.0  # /healthz fails after this long without a tick: the event loop hangs or the task is dead


def create_app(settings: RelaySettings | None = None) -> Starlette:
    """The ASGI application of one relay; `app.state.relay` is its `Relay`.

    Raises StoreError if the state file of the settings cannot be used.
    """
    relay = Relay(settings or RelaySettings())
    app = Starlette(
        routes=[
            WebSocketRoute("/ws/{room:path}", relay.websocket),
            Route("/healthz", relay.healthz),
            Route("/readyz", relay.readyz),
        ],
        lifespan=relay.lifespan,
    )
    app.state.relay = relay
    return app


class Relay:
    """All rooms and connections of one process. Everything runs on one event loop, so there are no locks.

    Raises StoreError if the state file of the settings cannot be used.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        self.draining = False
        self.metrics = Metrics(lambda: self.rooms.census(), self._state, settings.client_series)
        self.rooms = OpenRooms(settings, self.now, self.metrics.observe_write)
        if settings.state:
            self.metrics.watch_disk(settings.state.parent)
        self._connections: set[Connection] = set()
        self._addresses = AddressCensus(settings.max_per_address)
        self._started_at = time.monotonic()
        self._ticked_at = -TICK_STALL_S
        self._full_logged_at = -FULL_LOG_INTERVAL_S

    def now(self) -> float:
        """Seconds since the relay was created."""
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
            self.rooms.save_and_close()

    async def websocket(self, websocket: WebSocket) -> None:
        """Serve one client from the handshake to the end of its connection.

        A refusal is a close code after the handshake, because browsers hide the HTTP status of a failed handshake from
        the page.
        """
        address = websocket.client.host if websocket.client else ""
        refusal = self._refusal(websocket, address)
        counts = self.metrics.counts
        try:
            await websocket.accept(_subprotocol(websocket.scope["subprotocols"]))
            if refusal:
                counts.closes[refusal.code] += 1
                await websocket.close(refusal.code, refusal.reason)
                return
        except (WebSocketDisconnect, RuntimeError):
            return  # the client disconnected during the handshake
        connection = Connection(websocket, self.settings.connection, self.now, counts)
        session = Session(
            self.rooms,
            connection,
            _room_name(websocket),
            address=address,
            tokens=self.settings.tokens,
            counts=counts,
            visits=self.metrics.visits if self.settings.visits else None,
            clock=self.now,
        )
        self._connections.add(connection)
        self._addresses.enter(address)
        counts.connections = len(self._connections)
        try:
            await connection.run(session.handle)
        finally:
            session.end(connection.close_code)
            self._connections.discard(connection)
            self._addresses.leave(address)
            counts.connections = len(self._connections)
            counts.reported.pop(connection, None)

    async def drain(self) -> None:
        """Close all connections in a way that spreads their return over time.

        From now on /readyz fails and newcomers are refused. Each client gets a `drain` message with a random time
        after which it may reconnect. Close codes 1012 follow, spread over `drain_s`. Returns when all connections are
        closed.
        """
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

    def _refusal(self, websocket: WebSocket, address: str) -> CloseError | None:
        """The close code and reason for a client that may not connect; None if it may."""
        headers = websocket.headers
        origin = headers.get("origin")
        if not origin_allowed(origin, headers.get("host"), self.settings.origins):
            log.warning("refused a page of origin %r; to allow it, add --origin %s", origin, origin)
            return CloseError(CloseCode.FORBIDDEN, "this relay does not allow the origin of this page")
        if not ROOM_NAME.fullmatch(_room_name(websocket)):
            return CloseError(CloseCode.ROOM, f"a room name must be {ROOM_NAME_RULE}")
        if SUBPROTOCOL not in websocket.scope["subprotocols"]:
            return _no_common_version(websocket.scope["subprotocols"])
        if self.draining:
            return CloseError(CloseCode.RESTART, "the relay restarts")
        if len(self._connections) >= self.settings.max_connections:
            self._log_full()
            return CloseError(
                CloseCode.LIMIT, f"this relay has its maximum of {self.settings.max_connections} connections"
            )
        if self._addresses.is_full(address):
            if self.settings.trusted_proxies:
                remedy = "if it is a proxy or tunnel before yours, yours must believe it: STREAMXR_PROXIES"
            else:
                remedy = "if it is your proxy, add --trusted-proxy with its address"
            log.warning(
                "refused a connection: %s already has %d; %s; if many visitors share it, raise --max-per-address",
                address,
                self.settings.max_per_address,
                remedy,
            )
            return CloseError(CloseCode.LIMIT, "too many connections from this address")
        return None

    async def _tick_forever(self) -> None:
        period = 1.0 / self.settings.tick.hz
        overload = OverloadDetector()
        due = self.now()
        while True:
            # Ticks missed in an overrun are not repeated: the next frame holds the newest poses anyway.
            due = max(due + period, self.now())
            await asyncio.sleep(due - self.now())
            started = self._ticked_at = self.now()
            self.rooms.tick(started, overloaded=overload.observe(started - due, period, started))
            self.metrics.tick_late_seconds.observe(started - due)
            self.metrics.tick_seconds.observe(self.now() - started)

    def _log_full(self) -> None:
        """Say that the relay is full, at most once a minute."""
        now = self.now()
        if now - self._full_logged_at >= FULL_LOG_INTERVAL_S:
            self._full_logged_at = now
            log.warning("refused a client: all %d connections are taken", self.settings.max_connections)

    def _state(self) -> RelayState:
        settings = self.settings
        return RelayState(len(self.rooms), settings.max_rooms, settings.max_connections, self.draining)


def _subprotocol(offered: list[str]) -> str | None:
    """The subprotocol of the handshake: ours, or the client's first if it lacks ours, and is refused with a close code.

    A browser whose subprotocols are all left out fails the handshake and hides the code.
    """
    return SUBPROTOCOL if SUBPROTOCOL in offered else next(iter(offered), None)


def _no_common_version(offered: list[str]) -> CloseError:
    versions = [int(found[1]) for name in offered if (found := _VERSIONED.fullmatch(name))]
    if max(versions, default=0) <= VERSION:
        return CloseError(CloseCode.VERSION, f"the subprotocol {SUBPROTOCOL} is required")
    log.warning("refused a client of a newer protocol version, %d; update the relay", max(versions))
    reason = f"the page needs version {max(versions)} of the protocol, and this relay has {VERSION}: update the relay"
    return CloseError(CloseCode.VERSION, reason)


def _room_name(websocket: WebSocket) -> str:
    """The path after /ws/. Starlette's own path parameter would drop a line feed at the end."""
    path: str = websocket.scope["path"]
    return path.partition("/ws/")[2]
