"""Shared objects survive restarts and crashes: tests with the real store and relays that are killed."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pose_codec import pack_point
from relay_process import RELAY, serving
from relay_server import TIMEOUT_S, Client, eventually, running_relay
from streamxr.relay.frames import Frame
from streamxr.relay.open_room import OpenRoom
from streamxr.relay.protocol.messages import (
    Cause,
    Deleted,
    Grab,
    Grabbed,
    Hello,
    ObjectEvent,
    Point,
    Released,
    Spawn,
    Spawned,
    Update,
)
from streamxr.relay.protocol.moves import Move, encode_moves
from streamxr.relay.rooms.objects import SavedRoom
from streamxr.relay.rooms.pace import TickPolicy
from streamxr.relay.rooms.room import Room
from streamxr.relay.rooms.store import Store, StoreError
from streamxr.relay.settings import RelaySettings
from websockets.sync.client import connect

ORIGIN = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
POSE = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}
OTHER_POSE = {"p": [2, 1, -1], "q": [0, 0.6, 0, 0.8]}


def spawn(client: Client, asset: str = "chair", ref: int = 1) -> int:
    client.send({"type": "spawn", "ref": ref, "asset": asset, "pose": POSE, "scale": 1})
    return int(client.receive("spawned")["id"])


def move(client: Client, object_id: int, epoch: int, x: float) -> None:
    flags, point = pack_point(Point((x, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    client.socket.send(encode_moves(0, [Move(object_id, epoch, flags, 0, point)]))


def objects_of(client: Client) -> dict[int, tuple[str, list[float], Any, int]]:
    """Asset, position, owner and epoch of each object in welcome, by id."""
    return {o["id"]: (o["asset"], o["pose"]["p"], o["owner"], o["epoch"]) for o in client.welcome["objects"]}


@contextmanager
def joined(port: int, room: str = "hall", **hello: Any) -> Iterator[Client]:
    with connect(f"ws://127.0.0.1:{port}/ws/{room}", subprotocols=["streamxr.v1"], max_queue=None) as connection:
        client = Client(connection)
        client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"} | hello)
        client.welcome = client.receive("welcome")
        yield client


def test_after_kill_9_all_objects_are_restored_and_rev_continues(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with serving("--state", state) as (process, port), joined(port) as ada:
        for ref in range(20):
            spawn(ada, f"thing-{ref}", ref)
        ada.send({"type": "delete", "id": 3})
        ada.send({"type": "grab", "id": 1})
        ada.send({"type": "release", "id": 1, "epoch": 1, "pose": OTHER_POSE})
        ada.send({"type": "grab", "id": 2})
        rev = [ada.receive(kind)["rev"] for kind in ("deleted", "grabbed", "released", "grabbed")][-1]
        assert rev == 24
        process.kill()
        assert process.wait(TIMEOUT_S) == -9
        incarnation = ada.welcome["incarnation"]
    with serving("--state", state) as (_, port), joined(port, incarnation=incarnation, rev=rev) as zoe:
        assert zoe.welcome["incarnation"] != incarnation
        assert zoe.welcome["rev"] == rev
        objects = objects_of(zoe)
        assert {key: asset for key, (asset, *_) in objects.items()} == {
            ref + 1: f"thing-{ref}" for ref in range(20) if ref != 2
        }
        assert objects[1] == ("thing-0", OTHER_POSE["p"], None, 1)
        assert objects[2][2:] == (None, 1), "it has no holder, and its epoch continues"
        zoe.send({"type": "grab", "id": 2})
        assert zoe.receive("grabbed") | {"owner": 0} == {
            "type": "grabbed",
            "rev": rev + 1,
            "id": 2,
            "owner": 0,
            "epoch": 2,
            "lease_ms": 5000,
        }
        assert spawn(zoe) == 21


def test_every_event_that_a_client_received_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    received: set[int] = set()
    for turn in range(2):
        with serving("--state", state) as (process, port), joined(port) as ada:
            assert received <= objects_of(ada).keys()
            for ref in range(30):
                ada.send({"type": "spawn", "ref": ref, "asset": "chair", "pose": POSE, "scale": 1})
            for _ in range(3 + 15 * turn):
                received.add(ada.receive("spawned")["id"])
            process.kill()
            process.wait(TIMEOUT_S)


def test_moves_of_a_held_object_are_stored_soon(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with serving("--state", str(state)) as (process, port), joined(port) as ada:
        spawn(ada)
        ada.send({"type": "grab", "id": 1})
        ada.receive("grabbed")
        move(ada, 1, 1, 4.5)
        wal = Path(f"{state}-wal")
        before = wal.stat().st_size
        eventually(lambda: wal.stat().st_size > before)
        process.kill()
        process.wait(TIMEOUT_S)
    with running_relay(state=state) as relay, relay.join() as zoe:
        assert objects_of(zoe)[1] == ("chair", [4.5, 1.0, 0.0], None, 1)


def test_a_drain_saves_objects_that_are_being_moved(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_relay(state=state) as relay, relay.join() as ada, relay.join(name="Zoë") as zoe:
        spawn(ada)
        ada.send({"type": "grab", "id": 1})
        zoe.receive("grabbed")
        move(ada, 1, 1, -7.5)
        ada.send({"type": "update", "name": "done"})
        zoe.receive("updated")
        relay.stop()
    with running_relay(state=state) as relay, relay.join() as ada:
        assert objects_of(ada)[1][1] == [-7.5, 1.0, 0.0]


def test_a_room_that_became_empty_is_read_from_the_store_again(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db") as relay:
        with relay.join() as ada:
            spawn(ada)
            ada.send({"type": "grab", "id": 1})
            ada.receive("grabbed")
        eventually(lambda: relay.metric('streamxr_room_users{room="other"}') == 0 and len(relay.relay.rooms) == 0)
        with relay.join() as zoe, relay.join("cellar") as bob:
            assert objects_of(zoe)[1][2:] == (None, 1)
            assert zoe.welcome["rev"] == 3, "spawned, grabbed, and released when the holder left"
            assert bob.welcome["objects"] == []


def test_without_a_state_file_a_room_ends_with_its_last_participant() -> None:
    with running_relay() as relay:
        with relay.join() as ada:
            spawn(ada)
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join() as zoe:
            assert (zoe.welcome["objects"], zoe.welcome["rev"]) == ([], 0)
            assert zoe.welcome["incarnation"] != ada.welcome["incarnation"]


def test_rooms_without_objects_are_not_stored_and_the_number_of_rooms_is_limited(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db", max_rooms=2) as relay:
        for room in ("a", "b"):
            with relay.join(room) as ada:
                spawn(ada)
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join("c") as ada:
            ada.send({"type": "spawn", "ref": 9, "asset": "chair", "pose": POSE, "scale": 1})
            assert ada.receive("denied")["reason"] == "limit"
        with relay.join("a") as ada:
            ada.send({"type": "delete", "id": 1})
            ada.receive("deleted")
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join("c") as ada:
            spawn(ada)


# --- pending and failed writes


class SlowStore:
    """A store that calls back only when the test does."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[bool], None]] = []

    def writable(self) -> bool:
        return True

    def has_capacity_for(self, _room: str) -> bool:
        return True

    def write(self, _room: str, _maker: str, _events: list[ObjectEvent], callback: Callable[[bool], None]) -> None:
        self.callbacks.append(callback)


class RecordingConnection:
    """A connection that records the types of the messages sent to it."""

    def __init__(self) -> None:
        self.welcomed = False
        self.sent: list[str] = []
        self.closed: int | None = None

    def post(self, frame: Frame) -> None:
        self.sent.append(json.loads(frame.payload)["type"])

    def close(self, code: int, _reason: str) -> None:
        self.closed = int(code)


def room_with(store: SlowStore) -> tuple[OpenRoom, Room]:
    room = Room(RelaySettings().limits, 30)
    return OpenRoom("hall", room, TickPolicy(), labelled=True, store=store), room  # type: ignore[arg-type]


def join(open_room: OpenRoom) -> tuple[int, RecordingConnection]:
    connection: Any = RecordingConnection()
    pid, effects = open_room.room.join(Hello(1, "Ada", "#ff8800"), 0.0)
    open_room.connect(pid, connection)
    open_room.deliver(effects)
    return pid, connection


def test_effects_wait_until_earlier_events_are_on_the_disk() -> None:
    store = SlowStore()
    open_room, room = room_with(store)
    ada, connection = join(open_room)
    open_room.deliver(room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0))
    open_room.deliver(room.handle(ada, Update("Eve"), 0.0))
    open_room.deliver(room.handle(ada, Grab(1), 0.0))
    _, newcomer = join(open_room)
    assert connection.sent == ["welcome"]
    assert newcomer.sent == [], "a snapshot contains the events, so it waits too"
    first, second = store.callbacks
    first(True)
    assert connection.sent == ["welcome", "spawned", "updated"]
    assert newcomer.sent == []
    second(True)
    assert connection.sent == ["welcome", "spawned", "updated", "grabbed", "joined"]
    assert newcomer.sent == ["welcome"], "its snapshot already contains the events"


def test_a_failed_write_closes_all_connections_before_its_events_are_sent() -> None:
    store = SlowStore()
    open_room, room = room_with(store)
    failed: list[OpenRoom] = []
    open_room.on_failure = failed.append
    ada, connection = join(open_room)
    open_room.deliver(room.handle(ada, Spawn(1, "chair", ORIGIN, 1.0), 0.0))
    open_room.deliver(room.handle(ada, Spawn(2, "chair", ORIGIN, 1.0), 0.0))
    for callback in store.callbacks:
        callback(False)
    assert connection.sent == ["welcome"]
    assert connection.closed == 1011
    assert failed == [open_room]


def break_disk(relay: Any) -> None:
    """Let every write fail, as on a full disk. Reading still works."""
    relay.relay.rooms._store._db.execute("PRAGMA query_only = ON")


def test_participants_still_see_each_other_while_the_disk_cannot_be_written(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db") as relay:
        with relay.join() as ada:
            spawn(ada)
            break_disk(relay)
            ada.send({"type": "spawn", "ref": 2, "asset": "table", "pose": POSE, "scale": 1})
            assert ada.close_code() == 1011
            assert not any(message["type"] == "spawned" for message in ada.received)
        with relay.join() as ada, relay.join(name="Zoë") as zoe:
            assert [asset for asset, *_ in objects_of(zoe).values()] == ["chair"]
            ada.send({"type": "grab", "id": 1})
            assert ada.receive("denied")["reason"] == "store"
            ada.move(1.0)
            zoe.wait_for_pose(ada.pid, 1.0)
            relay.relay.rooms._store._db.execute("PRAGMA query_only = OFF")

            def can_grab() -> bool:
                time.sleep(0.2)  # the rate of control messages is limited
                ada.send({"type": "grab", "id": 1})
                ada.send({"type": "signal", "to": ada.pid, "data": "answered"})
                ada.receive("signal")
                return any(message["type"] == "grabbed" for message in ada.received)

            eventually(can_grab)


def test_a_file_is_used_by_one_relay_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamxr.relay.rooms.store.LOCK_TIMEOUT_S", 0.05)
    state = tmp_path / "state.db"
    with running_relay(state=state), pytest.raises(StoreError, match="in use by another relay"):
        Store(state, 10)
    with running_relay(state=state):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a database" * 100, "cannot be used"), (None, "not of this version")],
    ids=["garbage", "another program's"],
)
def test_a_file_of_another_program_is_rejected(tmp_path: Path, content: bytes | None, message: str) -> None:
    state = tmp_path / "state.db"
    if content is None:
        with sqlite3.connect(state) as other:
            other.execute("CREATE TABLE precious (a)")
        other.close()
    else:
        state.write_bytes(content)
    before = state.read_bytes()
    failed = subprocess.run(
        [*RELAY, "serve", "--port", "0", "--state", str(state)],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=TIMEOUT_S,
    )
    assert failed.returncode == 1
    assert message in failed.stderr
    assert str(state) in failed.stderr
    assert "Traceback" not in failed.stderr
    assert state.read_bytes() == before or content is None


def test_the_error_for_a_damaged_file_names_the_file(tmp_path: Path) -> None:
    state = tmp_path / "state.db"

    async def fill() -> None:
        store = Store(state, 10)
        done = asyncio.Event()
        events: list[ObjectEvent] = [Spawned(n, n, 1, n, "chair", ORIGIN, 1.0) for n in range(1, 400)]
        store.write("hall", "", events, lambda _durable: done.set())
        await done.wait()
        store.close()

    asyncio.run(fill())
    with state.open("r+b") as file:
        for page in range(2, 12):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    with pytest.raises(StoreError, match=r"state\.db: cannot be used"):
        Store(state, 10)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE object SET asset = x'ff00'",
        "UPDATE object SET asset = '../../etc/passwd'",
        "UPDATE object SET x = 'far'",
        "UPDATE object SET y = 1e300",
        "UPDATE object SET qw = 'nan'",
        "UPDATE object SET scale = 0",
        "UPDATE object SET epoch = -1",
        "UPDATE object SET id = 'first'",
        "UPDATE room SET last_id = 0",
        "UPDATE room SET rev = 'many'",
        "UPDATE room SET rev = 9223372036854775807",
        "UPDATE room SET last_id = 4294967295",
    ],
)
def test_a_damaged_room_closes_with_1011_and_tells_the_operator(tmp_path: Path, damage: str) -> None:
    state = tmp_path / "state.db"
    with running_relay(state=state) as relay, relay.join() as ada:
        spawn(ada)
    with sqlite3.connect(state) as db:
        db.execute(damage)
    db.close()
    with serving("--state", str(state)) as (process, port):
        with connect(f"ws://127.0.0.1:{port}/ws/hall", subprotocols=["streamxr.v1"]) as connection:  # type: ignore[list-item]
            client = Client(connection)
            client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"})
            assert client.close_code() == 1011
        with joined(port, "attic") as ben:
            spawn(ben)  # other rooms work
        process.terminate()
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in err
    told = next(line for line in err.splitlines() if "ERROR" in line)
    for part in (str(state), "damaged", "restore a backup", "room=hall"):
        assert part in told


@pytest.mark.parametrize("value", ["zeroblob(200)", "7"])
def test_a_damaged_salt_is_found_at_the_start(tmp_path: Path, value: str) -> None:
    state = tmp_path / "state.db"
    with running_relay(state=state):
        pass
    with sqlite3.connect(state) as db:
        db.execute(f"UPDATE salt SET value = {value}")
    db.close()
    with pytest.raises(StoreError, match="salt is damaged; restore a backup"):
        Store(state, 10)


def test_an_integer_beyond_the_file_s_range_is_a_failed_write_and_later_writes_work(tmp_path: Path) -> None:
    async def use() -> list[bool]:
        store = Store(tmp_path / "state.db", 10)
        durable: list[bool] = []
        for rev in (2**63, 1):
            done = asyncio.Event()
            event = Spawned(rev, rev, 9, 7, "chair", ORIGIN, 0.5)
            store.write("hall", "", [event], lambda ok, done=done: [durable.append(ok), done.set()])  # type: ignore[misc]
            await asyncio.wait_for(done.wait(), TIMEOUT_S)
        store.close()
        return durable

    assert asyncio.run(use()) == [False, True]


def test_a_room_is_read_as_it_was_written(tmp_path: Path) -> None:
    pose = Point((2.0, 1.0, -1.0), (0.0, 0.6, 0.0, 0.8))
    events: list[ObjectEvent] = [
        Spawned(1, 1, 9, 7, "chair", ORIGIN, 0.5),
        Spawned(2, 2, 9, 8, "table", ORIGIN, 2.0),
        Grabbed(3, 1, 9, 1, 5000),
        Released(4, 1, 1, pose, Cause.RELEASED),
        Deleted(5, 2),
    ]

    async def scenario() -> tuple[SavedRoom | None, SavedRoom | None]:
        store = Store(tmp_path / "state.db", 10)
        loop = asyncio.get_running_loop()
        read: asyncio.Queue[SavedRoom | None] = asyncio.Queue()
        store.write("hall", "", events, lambda _durable: None)
        store.write_moves("hall", [(1, ORIGIN), (2, ORIGIN)], lambda _durable: None)
        store.load("hall", read.put_nowait)
        store.load("cellar", read.put_nowait)
        try:
            return await read.get(), await read.get()
        finally:
            await loop.run_in_executor(None, store.close)

    hall, cellar = asyncio.run(scenario())
    assert hall
    assert (hall.rev, hall.last_id) == (5, 2)
    (chair,) = hall.objects
    assert (chair.asset, chair.pose, chair.scale, chair.owner, chair.epoch) == ("chair", ORIGIN, 0.5, None, 1)
    assert cellar == SavedRoom()
