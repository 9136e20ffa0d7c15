"""What a client gets that reads too slowly, in virtual time: an ASGI line in memory that can be held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.websockets import WebSocket
from streamxr.relay.app import RelaySettings
from streamxr.relay.connection import Connection, ConnectionLimits
from streamxr.relay.metrics import Counts
from streamxr.relay.open_room import OpenRoom
from streamxr.relay.poses import PoseUp, decode_tick
from streamxr.relay.protocol import CloseCode, Hello
from streamxr.relay.room import Room

SETTINGS = RelaySettings()


class Line:
    """One participant on a line in memory. While `flowing` is not set, a send waits, as with a full buffer."""

    def __init__(self, opened: OpenRoom) -> None:
        self.now = 0.0
        self.counts = Counts()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.sent: list[dict[str, Any]] = []
        self._opened = opened
        self._gone = asyncio.Event()
        scope: dict[str, Any] = {"type": "websocket", "path": "/ws/hall", "headers": [], "subprotocols": []}
        self._websocket = WebSocket(scope, self._receive, self._send)
        self.connection = Connection(self._websocket, ConnectionLimits(), lambda: self.now, self.counts)
        self.pid, _ = opened.room.join(Hello(1, "Zoë", "#00ff00"), 0.0)
        opened.seats[self.pid] = self.connection
        self.connection.greeted = self.connection.welcomed = True

    async def start(self) -> asyncio.Task[None]:
        connected = asyncio.create_task(self._websocket.accept())
        await connected
        self.sent.clear()
        return asyncio.create_task(self.connection.run(lambda _message: None))

    async def tick(self, now: float) -> None:
        """One tick of the room, and time for the connection to send what it may."""
        self.now = now
        self._opened.tick(now)
        for _ in range(10):
            await asyncio.sleep(0)

    def last_pids(self) -> set[int]:
        return {record.pid for record in decode_tick(self.sent[-1]["bytes"]).records}

    async def _receive(self) -> dict[str, Any]:
        if self._websocket.client_state.name == "CONNECTING":
            return {"type": "websocket.connect"}
        await self._gone.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, event: Any) -> None:
        await self.flowing.wait()
        self.sent.append(dict(event))

    def hang_up(self) -> None:
        self._gone.set()


def with_a_line(scenario: Callable[[Room, Line], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        room = Room(SETTINGS.limits, SETTINGS.tick_hz)
        line = Line(OpenRoom("hall", room, labelled=True))
        running = await line.start()
        await scenario(room, line)
        line.flowing.set()
        line.hang_up()
        await running

    asyncio.run(play())


def at(byte: int) -> PoseUp:
    return PoseUp(flags=0, seq=0, ack_tick=0, body=bytes([byte]) * 30)


def test_after_a_skipped_tick_comes_a_keyframe() -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, _ = room.join(Hello(1, "Ada", "#ff8800"), 0.0)
        bob, _ = room.join(Hello(1, "Bob", "#ff8800"), 0.0)
        room.handle(ada, at(1), 0.0)
        room.handle(bob, at(1), 0.0)
        await line.tick(0.0)
        assert line.last_pids() == {ada, bob}

        line.flowing.clear()
        room.handle(ada, at(2), 0.1)
        await line.tick(0.1)  # waits in the line
        room.handle(bob, at(2), 0.2)
        await line.tick(0.2)  # skipped, and with it Bob's move
        assert line.counts.skipped_ticks == 1
        line.flowing.set()
        room.handle(ada, at(3), 0.3)
        await line.tick(0.3)  # the line is still busy with the first when this is made
        await line.tick(0.4)  # nothing changed, yet something was missed
        assert line.last_pids() == {ada, bob}
        bodies = {record.pid: record.body for record in decode_tick(line.sent[-1]["bytes"]).records}
        assert bodies == {ada: at(3).body, bob: at(2).body}

        sent = len(line.sent)
        await line.tick(0.5)
        assert len(line.sent) == sent, "caught up: back to what changes"

    with_a_line(scenario)


def test_the_first_frame_is_a_keyframe() -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, _ = room.join(Hello(1, "Ada", "#ff8800"), 0.0)
        bob, _ = room.join(Hello(1, "Bob", "#ff8800"), 0.0)
        room.handle(ada, at(1), 0.0)
        room.tick(0.0)
        room.handle(bob, at(1), 0.1)
        await line.tick(0.1)
        assert line.last_pids() == {ada, bob}

    with_a_line(scenario)


def test_while_a_line_is_held_up_nothing_piles_up() -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, _ = room.join(Hello(1, "Ada", "#ff8800"), 0.0)
        line.flowing.clear()
        for step in range(80):
            room.handle(ada, at(step), step / 30)
            await line.tick(step / 30)
        line.flowing.set()
        await line.tick(79 / 30)
        assert len(line.sent) <= 2
        assert line.counts.skipped_ticks >= 78

    with_a_line(scenario)


def test_a_write_that_takes_more_than_3_s_costs_the_seat() -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, _ = room.join(Hello(1, "Ada", "#ff8800"), 0.0)
        line.flowing.clear()
        for now in (0.0, 2.9):
            room.handle(ada, at(int(now)), now)
            await line.tick(now)
        assert line.counts.closes[CloseCode.SLOW] == 0
        room.handle(ada, at(9), 3.1)
        await line.tick(3.1)
        assert line.counts.closes[CloseCode.SLOW] == 1
        line.flowing.set()
        await line.tick(3.2)
        assert line.sent[-1]["code"] == 4430

    with_a_line(scenario)


def test_control_messages_keep_their_order_and_go_before_the_tick() -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, _ = room.join(Hello(1, "Ada", "#ff8800"), 0.0)
        await line.tick(0.0)
        line.flowing.clear()
        room.handle(ada, at(1), 0.1)
        await line.tick(0.1)
        for text in ("first", "second"):
            line.connection.send(text)
        room.handle(ada, at(2), 0.2)
        await line.tick(0.2)
        line.flowing.set()
        await line.tick(0.3)  # still busy when this is made
        line.connection.send("third")
        await line.tick(0.4)
        texts = [event.get("text") or "tick" for event in line.sent[1:]]
        assert texts == ["tick", "first", "second", "third", "tick"]

    with_a_line(scenario)
