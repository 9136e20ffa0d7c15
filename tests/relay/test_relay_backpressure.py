"""The messages that a slow client gets, in virtual time, on both kinds of transport."""

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
from streamxr.relay.protocol.messages import CloseCode, Grab, Hello, Point, Spawn
from streamxr.relay.protocol.moves import OBJECT_MOVES, Move, Moves
from streamxr.relay.rooms.pace import TickPolicy
from streamxr.relay.rooms.room import Room
from streamxr.relay.settings import RelaySettings
from streamxr.relay.transport import MIN_BACKLOG_BYTES

Event = tuple[str, Any]  # "text", "tick" or "close", with the text, the payload or the code


class Network:
    """The network to one client. While it is blocked, written messages wait."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.waiting: list[tuple[Event, int]] = []  # with their sizes
        self.flowing = asyncio.Event()
        self.flowing.set()

    def unblock(self) -> None:
        self.sent += [event for event, _ in self.waiting]
        self.waiting.clear()
        self.flowing.set()


class MemoryFastPath:
    """A fast path in memory, with the methods of `FastPathWebSocketProtocol` that the relay uses."""

    def __init__(self, network: Network, end: asyncio.Event) -> None:
        self.network = network
        self.end = end

    def open_fast_path(self, _on_binary: Callable[[bytes], None]) -> None:
        pass

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


class MemoryConnection:
    """The connection of one participant of a room, through a network in memory."""

    def __init__(self, open_room: OpenRoom, *, fast_path: bool) -> None:
        self.now = 0.0
        self.counts = Counts()
        self.network = Network()
        self.open_room = open_room
        self.ended = asyncio.Event()
        scope: dict[str, Any] = {"type": "websocket", "path": "/ws/hall", "headers": [], "subprotocols": []}
        if fast_path:
            scope["extensions"] = {EXTENSION: MemoryFastPath(self.network, self.ended)}
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.events.put_nowait({"type": "websocket.connect"})
        self.websocket = WebSocket(scope, self._receive, self._send)
        self.connection = Connection(self.websocket, ConnectionLimits(), lambda: self.now, self.counts)
        self.pid, _ = open_room.room.join(Hello(1, "Zoë", "#00ff00"), 0.0)
        open_room.connections[self.pid] = self.connection
        self.connection.hello_accepted = self.connection.welcomed = True

    async def start(self) -> asyncio.Task[None]:
        await self.websocket.accept()
        return asyncio.create_task(self.connection.run(lambda _message: None))

    async def tick(self, now: float) -> None:
        """Run one tick of the room, then let the connection send."""
        self.now = now
        self.open_room.tick(now)
        for _ in range(10):
            await asyncio.sleep(0)

    async def send(self, frame: bytes) -> None:
        """Send a frame from the client to the relay."""
        await self.events.put({"type": "websocket.receive", "bytes": frame})
        for _ in range(4):
            await asyncio.sleep(0)

    def block(self) -> None:
        self.network.flowing.clear()

    def unblock(self) -> None:
        self.network.unblock()

    @property
    def ticks(self) -> list[Any]:
        return [decode_tick(payload) for kind, payload in self.network.sent if kind == "tick"]

    def last_pids(self) -> set[int]:
        return {record.pid for record in self.ticks[-1].records}

    async def _receive(self) -> dict[str, Any]:
        event = asyncio.ensure_future(self.events.get())
        end = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait((event, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if event.done():
            return event.result()
        event.cancel()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, event: Any) -> None:
        if event["type"] == "websocket.accept":
            return
        await self.network.flowing.wait()
        if event["type"] == "websocket.close":
            self.network.sent.append(("close", event["code"]))
        else:
            self.network.sent.append(("text", event["text"]) if event.get("text") else ("tick", event["bytes"]))


Scenario = Callable[[Room, MemoryConnection], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=[True, False], ids=["fast path", "plain ASGI"])
def with_a_connection(request: pytest.FixtureRequest) -> Run:
    async def play(scenario: Scenario) -> None:
        settings = RelaySettings()
        policy = TickPolicy(hz=30)
        room = Room(settings.limits, policy.hz)
        connection = MemoryConnection(OpenRoom("hall", room, policy, labelled=True), fast_path=request.param)
        running = await connection.start()
        await scenario(room, connection)
        connection.unblock()
        connection.ended.set()
        await running

    return lambda scenario: asyncio.run(play(scenario))


def body(byte: int) -> bytes:
    return bytes([byte]) * 30


def join(room: Room, name: str) -> int:
    return room.join(Hello(1, name, "#ff8800"), 0.0)[0]


def test_a_skipped_tick_is_followed_by_a_keyframe(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada, bob = join(room, "Ada"), join(room, "Bob")
        guests = [join(room, f"Guest {number}") for number in range(60)]
        for pid in (ada, bob, *guests):
            room.poses.slot_of(pid).put(0, body(1), 0.0)
        await connection.tick(0.0)
        assert connection.last_pids() == {ada, bob, *guests}

        connection.block()
        for step in (1, 2, 3):  # the first two wait in the network
            for pid in (ada, *guests):
                room.poses.slot_of(pid).put(0, body(1 + step), 0.1 * step)
            if step == 3:
                room.poses.slot_of(bob).put(0, body(9), 0.3)
            await connection.tick(0.1 * step)
        assert connection.counts.skipped_ticks >= 1, "and Bob's move with it"
        connection.unblock()
        await connection.tick(0.4)
        await connection.tick(0.5)  # no pose has changed, but the client missed a tick
        assert connection.last_pids() == {ada, bob, *guests}
        assert {record.pid: record.body for record in connection.ticks[-1].records}[bob] == body(9)

        sent = len(connection.network.sent)
        await connection.tick(0.6)
        assert len(connection.network.sent) == sent, "the client is up to date, so a tick without changes is not sent"

    with_a_connection(scenario)


def test_the_first_frame_is_a_keyframe(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada, bob = join(room, "Ada"), join(room, "Bob")
        room.poses.slot_of(ada).put(0, body(1), 0.0)
        connection.open_room.connections.clear()
        connection.open_room.tick(0.0)
        connection.open_room.connections[connection.pid] = connection.connection
        room.poses.slot_of(bob).put(0, body(1), 0.1)
        await connection.tick(0.1)
        assert connection.last_pids() == {ada, bob}

    with_a_connection(scenario)


def test_ticks_do_not_queue_up_while_the_network_is_blocked(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        guests = [join(room, f"Guest {number}") for number in range(60)]
        connection.block()
        for step in range(80):
            for pid in guests:
                room.poses.slot_of(pid).put(0, body(step), step / 30)
            await connection.tick(step / 30)
        assert connection.counts.skipped_ticks >= 77
        connection.unblock()
        await connection.tick(80 / 30)
        assert len(connection.ticks) <= 3

    with_a_connection(scenario)


def test_a_client_is_evicted_after_3_s_without_space_for_a_tick(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        guests = [join(room, f"Guest {number}") for number in range(60)]
        connection.block()
        for step in range(30):
            for pid in guests:
                room.poses.slot_of(pid).put(0, body(step), step / 10)
            await connection.tick(step / 10)
        assert connection.counts.closes[CloseCode.SLOW] == 0
        await connection.tick(4.1)
        assert connection.counts.closes[CloseCode.SLOW] == 1
        connection.unblock()
        await connection.tick(4.2)
        assert connection.network.sent[-1] == ("close", 4430)

    with_a_connection(scenario)


def test_control_messages_keep_their_order(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada = join(room, "Ada")
        connection.block()
        room.poses.slot_of(ada).put(0, body(1), 0.1)
        await connection.tick(0.1)
        for text in ("first", "second"):
            connection.connection.send(text)
        connection.unblock()
        connection.connection.send("third")
        await connection.tick(0.2)
        assert [text for kind, text in connection.network.sent if kind == "text"] == ["first", "second", "third"]

    with_a_connection(scenario)


def test_a_client_with_too_many_unsent_control_messages_is_evicted(with_a_connection: Run) -> None:
    async def scenario(_room: Room, connection: MemoryConnection) -> None:
        connection.block()
        for _ in range(520):
            connection.connection.send("x" * 1000)
        assert connection.counts.closes[CloseCode.SLOW] == 0
        for _ in range(10):
            connection.connection.send("x" * 1000)
        assert connection.counts.closes[CloseCode.SLOW] == 1

    with_a_connection(scenario)


async def moving_tick(room: Room, connection: MemoryConnection, pid: int, step: int) -> None:
    room.poses.slot_of(pid).put(0, body(step % 250), step / 30)
    await connection.tick(step / 30)


def test_a_client_that_acknowledges_gets_no_more_ticks_than_its_credit_until_it_acknowledges_again(
    with_a_connection: Run,
) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada = join(room, "Ada")
        for step in range(10):
            await moving_tick(room, connection, ada, step)
            await connection.send(encode_ack(connection.ticks[-1].tick_ms))
        assert len(connection.ticks) == 10
        # From here on the network still accepts everything, so only acknowledgements can show that ticks do not arrive.
        for step in range(10, 25):
            await moving_tick(room, connection, ada, step)
        assert len(connection.ticks) == 13, "the smallest credit is three"
        await connection.send(encode_ack(connection.ticks[-1].tick_ms))
        await moving_tick(room, connection, ada, 25)
        assert len(connection.ticks) == 14
        assert connection.last_pids() == {ada}

    with_a_connection(scenario)


def test_a_client_that_never_acknowledges_gets_every_tick_that_its_network_accepts(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada = join(room, "Ada")
        for step in range(60):
            await moving_tick(room, connection, ada, step)
        assert len(connection.ticks) == 60

    with_a_connection(scenario)


def test_a_client_that_stops_acknowledging_is_evicted_after_10_s(with_a_connection: Run) -> None:
    async def scenario(room: Room, connection: MemoryConnection) -> None:
        ada = join(room, "Ada")
        await moving_tick(room, connection, ada, 0)
        await connection.send(encode_ack(connection.ticks[-1].tick_ms))
        for step in range(1, 299):
            await moving_tick(room, connection, ada, step)
        assert connection.counts.closes[CloseCode.SLOW] == 0
        assert len(connection.ticks) <= 14, "one probe per second"
        for step in range(299, 340):
            await moving_tick(room, connection, ada, step)
        assert connection.counts.closes[CloseCode.SLOW] == 1

    with_a_connection(scenario)


@pytest.mark.parametrize("guests", [1, 2], ids=["odd pid", "even pid"])
def test_at_half_the_rate_a_dragged_object_does_not_freeze(guests: int) -> None:
    """The client acknowledges each frame of moves by its own `tick_ms`; there are no other frames to acknowledge."""

    async def play() -> int:
        room = Room(RelaySettings().limits, 60)
        holder = join(room, "Ada")
        for number in range(1, guests):
            join(room, f"Guest {number}")
        open_room = OpenRoom("hall", room, TickPolicy(hz=60, fast_up_to=0), labelled=True)
        connection = MemoryConnection(open_room, fast_path=True)
        running = await connection.start()
        room.handle(holder, Spawn(1, "duck", Point((0, 0, 0), (0, 0, 0, 1)), 1.0), 0.0)
        room.handle(holder, Grab(1), 0.0)
        received = 0
        for step in range(1, 181):
            now = step / 60
            if step % 2:  # as fast as the room's rate allows, and always before a tick of the same half
                room.handle(holder, Moves(0, (Move(1, 1, 0, 0, bytes([step % 256]) * 10),)), now)
            before = len(connection.network.sent)
            await connection.tick(now)
            frames = [frame for kind, frame in connection.network.sent[before:] if kind == "tick"]
            for frame in frames:
                received += frame[0] == OBJECT_MOVES
                await connection.send(encode_ack(int.from_bytes(frame[4:8], "little")))
        connection.ended.set()
        await running
        return received

    assert asyncio.run(play()) >= 85, "of 90 ticks in three seconds"
