"""What a client gets that reads too slowly, in virtual time, on both kinds of line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pose_codec import decode_tick, encode_ack
from starlette.websockets import WebSocket
from streamxr.relay.connection import Connection, ConnectionLimits
from streamxr.relay.fast_path import EXTENSION
from streamxr.relay.frames import Burst, Frame
from streamxr.relay.metrics import Counts
from streamxr.relay.open_room import OpenRoom
from streamxr.relay.protocol.messages import CloseCode, Hello
from streamxr.relay.rooms.pace import TickPolicy
from streamxr.relay.rooms.room import Room
from streamxr.relay.settings import RelaySettings
from streamxr.relay.transport import MIN_BACKLOG_BYTES

Event = tuple[str, Any]  # "text", "tick" or "close", and what
Send = Callable[[Event], None]


class Network:
    """What a client was sent. While it does not flow, what is written waits."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.waiting: list[tuple[Event, int]] = []
        self.flowing = asyncio.Event()
        self.flowing.set()

    def flow(self) -> None:
        self.sent += [event for event, _ in self.waiting]
        self.waiting.clear()
        self.flowing.set()


class MemoryFastPath:
    """A fast path in memory: what the relay asks of `FastPathWebSocketProtocol`."""

    def __init__(self, network: Network, end: asyncio.Event) -> None:
        self.network = network
        self.end = end
        self.take: Callable[[bytes], None] | None = None

    def open_fast_path(self, take: Callable[[bytes], None]) -> None:
        self.take = take

    def offer(self, burst: Burst) -> bool:
        if self.unsent() > max(burst.size, MIN_BACKLOG_BYTES):
            return False
        for frame in burst.frames:
            self.write(frame)
        return True

    def unsent(self) -> int:
        return sum(size for _, size in self.network.waiting)

    def write(self, frame: Frame) -> None:
        event = ("text", frame.payload.decode()) if frame.is_text else ("tick", frame.payload)
        if self.network.flowing.is_set():
            self.network.sent.append(event)
        else:
            self.network.waiting.append((event, len(frame.encoded)))

    def close(self, code: int, reason: str) -> None:
        self.network.waiting.append((("close", code), len(reason)))
        self.end.set()

    evict = close


class Line:
    """One participant of a room, on a line in memory."""

    def __init__(self, opened: OpenRoom, *, fast_path: bool) -> None:
        self.now = 0.0
        self.counts = Counts()
        self.network = Network()
        self.opened = opened
        self.gone = asyncio.Event()
        scope: dict[str, Any] = {"type": "websocket", "path": "/ws/hall", "headers": [], "subprotocols": []}
        if fast_path:
            scope["extensions"] = {EXTENSION: MemoryFastPath(self.network, self.gone)}
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard.put_nowait({"type": "websocket.connect"})
        self.websocket = WebSocket(scope, self._receive, self._send)
        self.connection = Connection(self.websocket, ConnectionLimits(), lambda: self.now, self.counts)
        self.pid, _ = opened.room.join(Hello(1, "Zoë", "#00ff00"), 0.0)
        opened.connections[self.pid] = self.connection
        self.connection.hello_accepted = self.connection.welcomed = True

    async def start(self) -> asyncio.Task[None]:
        await self.websocket.accept()
        return asyncio.create_task(self.connection.run(lambda _message: None))

    async def tick(self, now: float) -> None:
        """One tick of the room, and time for the connection to send what it may."""
        self.now = now
        self.opened.tick(now)
        for _ in range(10):
            await asyncio.sleep(0)

    async def hear(self, frame: bytes) -> None:
        await self.heard.put({"type": "websocket.receive", "bytes": frame})
        for _ in range(4):
            await asyncio.sleep(0)

    def hold_up(self) -> None:
        self.network.flowing.clear()

    def flow(self) -> None:
        self.network.flow()

    @property
    def ticks(self) -> list[Any]:
        return [decode_tick(payload) for kind, payload in self.network.sent if kind == "tick"]

    def last_pids(self) -> set[int]:
        return {record.pid for record in self.ticks[-1].records}

    async def _receive(self) -> dict[str, Any]:
        getting = asyncio.ensure_future(self.heard.get())
        going = asyncio.ensure_future(self.gone.wait())
        await asyncio.wait((getting, going), return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        if getting.done():
            return getting.result()
        getting.cancel()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, event: Any) -> None:
        if event["type"] == "websocket.accept":
            return
        await self.network.flowing.wait()
        if event["type"] == "websocket.close":
            self.network.sent.append(("close", event["code"]))
        else:
            self.network.sent.append(("text", event["text"]) if event.get("text") else ("tick", event["bytes"]))


Scenario = Callable[[Room, Line], Coroutine[Any, Any, None]]


@pytest.fixture(params=[True, False], ids=["fast path", "plain ASGI"])
def with_a_line(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    async def play(scenario: Scenario) -> None:
        settings = RelaySettings()
        policy = TickPolicy(hz=30)
        room = Room(settings.limits, policy.hz)
        line = Line(OpenRoom("hall", room, policy, labelled=True), fast_path=request.param)
        running = await line.start()
        await scenario(room, line)
        line.flow()
        line.gone.set()
        await running

    return lambda scenario: asyncio.run(play(scenario))


def body(byte: int) -> bytes:
    return bytes([byte]) * 30


def join(room: Room, name: str) -> int:
    return room.join(Hello(1, name, "#ff8800"), 0.0)[0]


def test_after_a_skipped_tick_comes_a_keyframe(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, bob = join(room, "Ada"), join(room, "Bob")
        people = [join(room, f"Guest {number}") for number in range(60)]
        for pid in (ada, bob, *people):
            room.poses.slot_of(pid).put(0, body(1), 0.0)
        await line.tick(0.0)
        assert line.last_pids() == {ada, bob, *people}

        line.hold_up()
        for step in (1, 2, 3):  # the first and second wait in the line
            for pid in (ada, *people):
                room.poses.slot_of(pid).put(0, body(1 + step), 0.1 * step)
            if step == 3:
                room.poses.slot_of(bob).put(0, body(9), 0.3)
            await line.tick(0.1 * step)
        assert line.counts.skipped_ticks >= 1, "and with it Bob's move"
        line.flow()
        await line.tick(0.4)
        await line.tick(0.5)  # nothing changed, yet something was missed
        assert line.last_pids() == {ada, bob, *people}
        assert {record.pid: record.body for record in line.ticks[-1].records}[bob] == body(9)

        sent = len(line.network.sent)
        await line.tick(0.6)
        assert len(line.network.sent) == sent, "caught up: back to what changes"

    with_a_line(scenario)


def test_the_first_frame_is_a_keyframe(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada, bob = join(room, "Ada"), join(room, "Bob")
        room.poses.slot_of(ada).put(0, body(1), 0.0)
        line.opened.connections.clear()
        line.opened.tick(0.0)
        line.opened.connections[line.pid] = line.connection
        room.poses.slot_of(bob).put(0, body(1), 0.1)
        await line.tick(0.1)
        assert line.last_pids() == {ada, bob}

    with_a_line(scenario)


def test_while_a_line_is_held_up_nothing_piles_up(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        people = [join(room, f"Guest {number}") for number in range(60)]
        line.hold_up()
        for step in range(80):
            for pid in people:
                room.poses.slot_of(pid).put(0, body(step), step / 30)
            await line.tick(step / 30)
        assert line.counts.skipped_ticks >= 77
        line.flow()
        await line.tick(80 / 30)
        assert len(line.ticks) <= 3

    with_a_line(scenario)


def test_a_line_without_room_for_3_s_costs_the_seat(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        people = [join(room, f"Guest {number}") for number in range(60)]
        line.hold_up()
        for step in range(30):
            for pid in people:
                room.poses.slot_of(pid).put(0, body(step), step / 10)
            await line.tick(step / 10)
        assert line.counts.closes[CloseCode.SLOW] == 0
        await line.tick(4.1)
        assert line.counts.closes[CloseCode.SLOW] == 1
        line.flow()
        await line.tick(4.2)
        assert line.network.sent[-1] == ("close", 4430)

    with_a_line(scenario)


def test_control_messages_keep_their_order(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada = join(room, "Ada")
        line.hold_up()
        room.poses.slot_of(ada).put(0, body(1), 0.1)
        await line.tick(0.1)
        for text in ("first", "second"):
            line.connection.send(text)
        line.flow()
        line.connection.send("third")
        await line.tick(0.2)
        assert [what for kind, what in line.network.sent if kind == "text"] == ["first", "second", "third"]

    with_a_line(scenario)


def test_too_many_control_messages_that_wait_cost_the_seat(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(_room: Room, line: Line) -> None:
        line.hold_up()
        for _ in range(520):
            line.connection.send("x" * 1000)
        assert line.counts.closes[CloseCode.SLOW] == 0
        for _ in range(10):
            line.connection.send("x" * 1000)
        assert line.counts.closes[CloseCode.SLOW] == 1

    with_a_line(scenario)


async def moving_tick(room: Room, line: Line, pid: int, step: int) -> None:
    room.poses.slot_of(pid).put(0, body(step % 250), step / 30)
    await line.tick(step / 30)


def test_who_answers_gets_no_more_ticks_than_its_credit_until_it_answers_again(
    with_a_line: Callable[[Scenario], None],
) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada = join(room, "Ada")
        for step in range(10):
            await moving_tick(room, line, ada, step)
            await line.hear(encode_ack(line.ticks[-1].tick_ms))
        assert len(line.ticks) == 10
        # From here the network still takes everything: only the client could tell that it lies somewhere.
        for step in range(10, 25):
            await moving_tick(room, line, ada, step)
        assert len(line.ticks) == 13, "the smallest credit is three"
        await line.hear(encode_ack(line.ticks[-1].tick_ms))
        await moving_tick(room, line, ada, 25)
        assert len(line.ticks) == 14
        assert line.last_pids() == {ada}

    with_a_line(scenario)


def test_who_never_answers_is_served_as_far_as_its_line_takes_it(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada = join(room, "Ada")
        for step in range(60):
            await moving_tick(room, line, ada, step)
        assert len(line.ticks) == 60

    with_a_line(scenario)


def test_who_stops_answering_loses_the_seat_after_10_s(with_a_line: Callable[[Scenario], None]) -> None:
    async def scenario(room: Room, line: Line) -> None:
        ada = join(room, "Ada")
        await moving_tick(room, line, ada, 0)
        await line.hear(encode_ack(line.ticks[-1].tick_ms))
        for step in range(1, 299):
            await moving_tick(room, line, ada, step)
        assert line.counts.closes[CloseCode.SLOW] == 0
        assert len(line.ticks) <= 14, "a probe a second"
        for step in range(299, 340):
            await moving_tick(room, line, ada, step)
        assert line.counts.closes[CloseCode.SLOW] == 1

    with_a_line(scenario)
