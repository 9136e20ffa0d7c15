"""What is kept: by the real store, through a real relay, over real deaths of it."""

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
from relay_server import PATIENCE_S, Client, eventually, running_relay
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

HERE = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
POSE = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}
THERE = {"p": [2, 1, -1], "q": [0, 0.6, 0, 0.8]}


def spawn(client: Client, asset: str = "chair", ref: int = 1) -> int:
    client.say({"type": "spawn", "ref": ref, "asset": asset, "pose": POSE, "scale": 1})
    return int(client.hear("spawned")["id"])


def move(client: Client, object_id: int, epoch: int, x: float) -> None:
    flags, point = pack_point(Point((x, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    client.socket.send(encode_moves(0, [Move(object_id, epoch, flags, 0, point)]))


def state_of(client: Client) -> dict[int, tuple[str, list[float], Any, int]]:
    return {o["id"]: (o["asset"], o["pose"]["p"], o["owner"], o["epoch"]) for o in client.welcome["objects"]}


@contextmanager
def visiting(port: int, room: str = "hall", **hello: Any) -> Iterator[Client]:
    with connect(f"ws://127.0.0.1:{port}/ws/{room}", subprotocols=["streamxr.v1"], max_queue=None) as line:
        client = Client(line)
        client.say({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"} | hello)
        client.welcome = client.hear("welcome")
        yield client


def test_after_kill_9_every_object_is_back_and_rev_goes_on(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    with serving("--state", state) as (process, port), visiting(port) as ada:
        for ref in range(20):
            spawn(ada, f"thing-{ref}", ref)
        ada.say({"type": "delete", "id": 3})
        ada.say({"type": "grab", "id": 1})
        ada.say({"type": "release", "id": 1, "epoch": 1, "pose": THERE})
        ada.say({"type": "grab", "id": 2})
        rev = [ada.hear(kind)["rev"] for kind in ("deleted", "grabbed", "released", "grabbed")][-1]
        assert rev == 24
        process.kill()
        assert process.wait(PATIENCE_S) == -9
        incarnation = ada.welcome["incarnation"]
    with serving("--state", state) as (_, port), visiting(port, incarnation=incarnation, rev=rev) as zoe:
        assert zoe.welcome["incarnation"] != incarnation
        assert zoe.welcome["rev"] == rev
        objects = state_of(zoe)
        assert {key: asset for key, (asset, *_) in objects.items()} == {
            ref + 1: f"thing-{ref}" for ref in range(20) if ref != 2
        }
        assert objects[1] == ("thing-0", THERE["p"], None, 1)
        assert objects[2][2:] == (None, 1), "held by nobody, and its epoch counts on"
        zoe.say({"type": "grab", "id": 2})
        assert zoe.hear("grabbed") | {"owner": 0} == {
            "type": "grabbed",
            "rev": rev + 1,
            "id": 2,
            "owner": 0,
            "epoch": 2,
            "lease_ms": 5000,
        }
        assert spawn(zoe) == 21


def test_every_event_that_anybody_heard_of_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    heard: set[int] = set()
    for turn in range(2):
        with serving("--state", state) as (process, port), visiting(port) as ada:
            assert heard <= state_of(ada).keys()
            for ref in range(30):
                ada.say({"type": "spawn", "ref": ref, "asset": "chair", "pose": POSE, "scale": 1})
            for _ in range(3 + 15 * turn):
                heard.add(ada.hear("spawned")["id"])
            process.kill()
            process.wait(PATIENCE_S)


def test_a_move_is_on_the_disk_soon_although_its_object_is_still_held(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with serving("--state", str(state)) as (process, port), visiting(port) as ada:
        spawn(ada)
        ada.say({"type": "grab", "id": 1})
        ada.hear("grabbed")
        move(ada, 1, 1, 4.5)
        wal = Path(f"{state}-wal")
        before = wal.stat().st_size
        eventually(lambda: wal.stat().st_size > before)
        process.kill()
        process.wait(PATIENCE_S)
    with running_relay(state=state) as relay, relay.join() as zoe:
        assert state_of(zoe)[1] == ("chair", [4.5, 1.0, 0.0], None, 1)


def test_a_drain_saves_what_is_being_moved(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with running_relay(state=state) as relay, relay.join() as ada, relay.join(name="Zoë") as zoe:
        spawn(ada)
        ada.say({"type": "grab", "id": 1})
        zoe.hear("grabbed")
        move(ada, 1, 1, -7.5)
        ada.say({"type": "update", "name": "done"})
        zoe.hear("updated")
        relay.stop()
    with running_relay(state=state) as relay, relay.join() as ada:
        assert state_of(ada)[1][1] == [-7.5, 1.0, 0.0]


def test_an_emptied_room_comes_back_from_the_store_in_one_process_too(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db") as relay:
        with relay.join() as ada:
            spawn(ada)
            ada.say({"type": "grab", "id": 1})
            ada.hear("grabbed")
        eventually(lambda: relay.metric('streamxr_room_users{room="other"}') == 0 and len(relay.relay.rooms) == 0)
        with relay.join() as zoe, relay.join("cellar") as bob:
            assert state_of(zoe)[1][2:] == (None, 1)
            assert zoe.welcome["rev"] == 3, "spawned, grabbed, and released when its holder left"
            assert bob.welcome["objects"] == []


def test_without_state_a_room_is_gone_with_its_last_participant() -> None:
    with running_relay() as relay:
        with relay.join() as ada:
            spawn(ada)
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join() as zoe:
            assert (zoe.welcome["objects"], zoe.welcome["rev"]) == ([], 0)
            assert zoe.welcome["incarnation"] != ada.welcome["incarnation"]


def test_of_rooms_without_objects_nothing_is_kept_and_rooms_are_counted(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db", max_rooms=2) as relay:
        for room in ("a", "b"):
            with relay.join(room) as ada:
                spawn(ada)
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join("c") as ada:
            ada.say({"type": "spawn", "ref": 9, "asset": "chair", "pose": POSE, "scale": 1})
            assert ada.hear("denied")["reason"] == "limit"
        with relay.join("a") as ada:
            ada.say({"type": "delete", "id": 1})
            ada.hear("deleted")
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join("c") as ada:
            spawn(ada)


# --- while a write is under way, and when it fails


class SlowStore:
    """Answers when it is told to; the rest is the real one's interface."""

    def __init__(self) -> None:
        self.asked: list[Callable[[bool], None]] = []

    def writable(self) -> bool:
        return True

    def has_capacity_for(self, _room: str) -> bool:
        return True

    def write(self, _room: str, _events: list[ObjectEvent], then: Callable[[bool], None]) -> None:
        self.asked.append(then)


class Ear:
    """A connection that writes down what is sent."""

    def __init__(self) -> None:
        self.welcomed = False
        self.heard: list[str] = []
        self.closed: int | None = None

    def post(self, frame: Frame) -> None:
        self.heard.append(json.loads(frame.payload)["type"])

    def close(self, code: int, _reason: str) -> None:
        self.closed = int(code)


def a_room_on(store: SlowStore) -> tuple[OpenRoom, Room]:
    room = Room(RelaySettings().limits, 30)
    return OpenRoom("hall", room, TickPolicy(), labelled=True, store=store), room  # type: ignore[arg-type]


def seat(opened: OpenRoom) -> tuple[int, Ear]:
    ear: Any = Ear()
    pid, effects = opened.room.join(Hello(1, "Ada", "#ff8800"), 0.0)
    opened.connect(pid, ear)
    opened.deliver(effects)
    return pid, ear


def test_nobody_hears_of_an_event_before_it_is_on_the_disk_and_what_follows_waits_its_turn() -> None:
    store = SlowStore()
    opened, room = a_room_on(store)
    ada, ear = seat(opened)
    opened.deliver(room.handle(ada, Spawn(1, "chair", HERE, 1.0), 0.0))
    opened.deliver(room.handle(ada, Update("Eve"), 0.0))
    opened.deliver(room.handle(ada, Grab(1), 0.0))
    _, late = seat(opened)
    assert ear.heard == ["welcome"]
    assert late.heard == [], "a snapshot tells of events too"
    first, second = store.asked
    first(True)
    assert ear.heard == ["welcome", "spawned", "updated"]
    assert late.heard == []
    second(True)
    assert ear.heard == ["welcome", "spawned", "updated", "grabbed", "joined"]
    assert late.heard == ["welcome"], "and of nothing that its snapshot already has"


def test_a_failed_write_sends_everyone_away_before_they_hear_of_it() -> None:
    store = SlowStore()
    opened, room = a_room_on(store)
    gone: list[OpenRoom] = []
    opened.on_failure = gone.append
    ada, ear = seat(opened)
    opened.deliver(room.handle(ada, Spawn(1, "chair", HERE, 1.0), 0.0))
    opened.deliver(room.handle(ada, Spawn(2, "chair", HERE, 1.0), 0.0))
    for then in store.asked:
        then(False)
    assert ear.heard == ["welcome"]
    assert ear.closed == 1011
    assert gone == [opened]


def break_disk(relay: Any) -> None:
    """As a full disk: every write fails, reading works."""
    relay.relay.rooms._store._db.execute("PRAGMA query_only = ON")


def test_with_a_disk_that_cannot_be_written_people_still_meet(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db") as relay:
        with relay.join() as ada:
            spawn(ada)
            break_disk(relay)
            ada.say({"type": "spawn", "ref": 2, "asset": "table", "pose": POSE, "scale": 1})
            assert ada.hear_close() == 1011
            assert not any(message["type"] == "spawned" for message in ada.heard)
        with relay.join() as ada, relay.join(name="Zoë") as zoe:
            assert [one[0] for one in state_of(zoe).values()] == ["chair"]
            ada.say({"type": "grab", "id": 1})
            assert ada.hear("denied")["reason"] == "store"
            ada.move(1.0)
            zoe.see(ada.pid, 1.0)
            relay.relay.rooms._store._db.execute("PRAGMA query_only = OFF")

            def can_grab() -> bool:
                time.sleep(0.2)  # there is an allowance of control messages
                ada.say({"type": "grab", "id": 1})
                ada.say({"type": "signal", "to": ada.pid, "data": "answered"})
                ada.hear("signal")
                return any(message["type"] == "grabbed" for message in ada.heard)

            eventually(can_grab)


def test_one_file_serves_one_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamxr.relay.rooms.store.LOCK_TIMEOUT_S", 0.05)
    state = tmp_path / "state.db"
    with running_relay(state=state), pytest.raises(StoreError, match="in use by another relay"):
        Store(state, 10)
    with running_relay(state=state):
        pass


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"not a database" * 100, "cannot be used"), (None, "not of this version")],
    ids=["garbage", "another program's"],
)
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, content: bytes | None, says: str) -> None:
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
        timeout=PATIENCE_S,
    )
    assert failed.returncode == 1
    assert says in failed.stderr
    assert str(state) in failed.stderr
    assert "Traceback" not in failed.stderr
    assert state.read_bytes() == before or content is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state.db"

    async def fill() -> None:
        store = Store(state, 10)
        done = asyncio.Event()
        events: list[ObjectEvent] = [Spawned(n, n, 1, n, "chair", HERE, 1.0) for n in range(1, 400)]
        store.write("hall", events, lambda _durable: done.set())
        await done.wait()
        store.close()

    asyncio.run(fill())
    with state.open("r+b") as file:
        for page in range(2, 12):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    with pytest.raises(StoreError, match=r"state\.db: cannot be used"):
        Store(state, 10)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    there = Point((2.0, 1.0, -1.0), (0.0, 0.6, 0.0, 0.8))
    events: list[ObjectEvent] = [
        Spawned(1, 1, 9, 7, "chair", HERE, 0.5),
        Spawned(2, 2, 9, 8, "table", HERE, 2.0),
        Grabbed(3, 1, 9, 1, 5000),
        Released(4, 1, 1, there, Cause.RELEASED),
        Deleted(5, 2),
    ]

    async def scenario() -> tuple[SavedRoom | None, SavedRoom | None]:
        store = Store(tmp_path / "state.db", 10)
        loop = asyncio.get_running_loop()
        read: asyncio.Queue[SavedRoom | None] = asyncio.Queue()
        store.write("hall", events, lambda _durable: None)
        store.write_moves("hall", [(1, HERE), (2, HERE)], lambda _durable: None)
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
    assert (chair.asset, chair.pose, chair.scale, chair.owner, chair.epoch) == ("chair", HERE, 0.5, None, 1)
    assert cellar == SavedRoom()
