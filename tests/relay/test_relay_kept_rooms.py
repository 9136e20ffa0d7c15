"""Rooms that are kept or deserted: whom they count for, how long they stay, and what an operator can do with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pose_codec import pack_point
from relay_process import RELAY, serving
from relay_server import Client, RunningRelay, eventually, running_relay
from streamxr.relay.connection import Connection
from streamxr.relay.open_room import OpenRoom
from streamxr.relay.open_rooms import OpenRooms
from streamxr.relay.protocol.messages import Hello, Point, Role, Spawned
from streamxr.relay.protocol.moves import Move, encode_moves
from streamxr.relay.room_makers import RoomMakers
from streamxr.relay.rooms.fanout import Fanout
from streamxr.relay.rooms.pace import TickPolicy
from streamxr.relay.rooms.room import Room
from streamxr.relay.rooms.store import Store
from streamxr.relay.settings import RelaySettings
from streamxr.relay.tokens import Claims, TokenKeys

SECRET = "a-secret-of-at-least-thirty-two-characters"
POSE = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}
DAY_S = 86_400


def spawn(client: Client) -> None:
    client.send({"type": "spawn", "ref": 1, "asset": "chair", "pose": POSE, "scale": 1})
    client.receive("spawned")


def furnish(relay: RunningRelay, *rooms: str) -> None:
    """Put an object into each room, and leave."""
    for room in rooms:
        with relay.join(room) as client:
            spawn(client)
    eventually(lambda: len(relay.relay.rooms) == 0)


@contextmanager
def hello(relay: RunningRelay, room: str, **fields: Any) -> Iterator[Client]:
    with relay.connect(room) as connection:
        client = Client(connection)
        client.send({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"} | fields)
        yield client


def cut(client: Client) -> None:
    """End the connection without a close frame."""
    client.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.socket.shutdown(socket.SHUT_RDWR)


def refused(relay: RunningRelay, room: str, **fields: Any) -> int:
    with hello(relay, room, **fields) as client:
        return client.close_code()


def test_one_address_cannot_fill_the_store(tmp_path: Path) -> None:
    with running_relay(state=tmp_path / "state.db", rooms_per_address=2) as relay:
        furnish(relay, "a", "b")
        assert refused(relay, "c") == 4413
        with relay.join("a") as ada:
            ada.send({"type": "delete", "id": 1})
            ada.receive("deleted")
        eventually(lambda: len(relay.relay.rooms) == 0)
        furnish(relay, "c")
        assert refused(relay, "d") == 4413
    with running_relay(state=tmp_path / "state.db", rooms_per_address=2) as relay:
        assert refused(relay, "d") == 4413, "after a restart the rooms still count"
        with relay.join("b"):
            pass  # a kept room opens for everybody


def test_with_tokens_rooms_count_for_the_subject() -> None:
    keys = TokenKeys([SECRET])
    ada, ben = (keys.sign(Claims("*", sub, Role.EDITOR, 2**35)) for sub in ("ada", "ben"))
    with running_relay(tokens=keys, rooms_per_address=1) as relay, hello(relay, "a", token=ada) as client:
        client.receive("welcome")
        assert refused(relay, "b", token=ada) == 4413
        with hello(relay, "a", token=ben) as guest, hello(relay, "b", token=ben) as other:
            guest.receive("welcome")
            other.receive("welcome")


def test_a_flood_of_rooms_does_not_take_the_seat_of_somebody_whose_line_was_cut() -> None:
    with running_relay(max_rooms=2) as relay:
        with relay.join("cave") as ada:
            cut(ada)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        with relay.join("b"):
            for room in ("c", "d", "e"):
                assert refused(relay, room) == 4413
            with hello(relay, "cave", resume=ada.welcome["resume"]) as back:
                assert back.receive("welcome")["pid"] == ada.pid


def test_deserted_rooms_count_until_their_seats_expire() -> None:
    with running_relay(rooms_per_address=1, grace_s=0.5) as relay:
        with relay.join("a") as ada:
            cut(ada)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
        assert refused(relay, "b") == 4413
        eventually(lambda: len(relay.relay.rooms) == 0)
        with relay.join("b"):
            pass


def test_a_limit_of_zero_is_none_and_an_unknown_maker_has_none() -> None:
    unlimited, limited = RoomMakers(0), RoomMakers(1)
    for number in range(5):
        unlimited.add(f"room-{number}", "address 192.0.2.7")
        limited.add(f"room-{number}", "")
    assert unlimited.may_make_another("address 192.0.2.7")
    assert limited.may_make_another("")
    limited.add("mine", "me")
    limited.add("mine", "somebody else")
    assert not limited.may_make_another("me")
    limited.remove("mine")
    assert limited.may_make_another("me")


@pytest.mark.parametrize(("hz", "times"), [(60, 4), (120, 4), (1, 2)])
def test_a_room_without_connections_is_ticked_twice_a_second(
    monkeypatch: pytest.MonkeyPatch, hz: int, times: int
) -> None:
    now = 0.0
    rooms = OpenRooms(RelaySettings(tick=TickPolicy(hz)), lambda: now)
    opened: list[OpenRoom | None] = []
    rooms.enter("hall", "", opened.append)
    (hall,) = opened
    assert hall is not None
    hall.room.join(Hello(1, "Ada", "#ff8800"), now)
    hall.room.lose(1, now)
    ticked: list[float] = []
    tick = hall.tick
    monkeypatch.setattr(OpenRoom, "tick", lambda _, now, **_options: [ticked.append(now), tick(now)][1])
    for number in range(2 * hz):
        rooms.tick(number / hz, overloaded=False)
    assert len(ticked) == times
    assert len(rooms) == 1
    monkeypatch.undo()
    for number in range(hz):
        rooms.tick(31 + number / hz, overloaded=False)
    assert len(rooms) == 0, "its seat expires all the same"


def test_a_tick_of_a_room_without_connections_makes_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []
    tick = Fanout.tick
    monkeypatch.setattr(Fanout, "tick", lambda self, now, *rest: [made.append(now), tick(self, now, *rest)][1])
    hall = OpenRoom("hall", Room(RelaySettings().limits, 60), TickPolicy(), labelled=True)
    pid, _ = hall.room.join(Hello(1, "Ada", "#ff8800"), 0.0)
    hall.tick(1.0)
    assert made == []
    hall.connections[pid] = cast(Connection, SimpleNamespace(welcomed=False))
    hall.tick(2.0)
    assert made == [2.0]


def test_the_last_move_before_a_room_is_deserted_is_stored_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamxr.relay.open_rooms.DESERTED_PERIOD_S", 3600.0)  # no tick saves it
    monkeypatch.setattr("streamxr.relay.open_room.SAVE_INTERVAL_S", 3600.0)
    monkeypatch.setattr(OpenRooms, "save_and_close", lambda self: self._store.close())  # nor does the end of the relay
    state = tmp_path / "state.db"
    with running_relay(state=state) as relay, relay.join() as ada:
        spawn(ada)
        ada.send({"type": "grab", "id": 1})
        ada.receive("grabbed")
        flags, point = pack_point(Point((7.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
        ada.socket.send(encode_moves(0, [Move(1, 1, flags, 0, point)]))
        ada.send({"type": "grab", "id": 1})
        ada.receive("denied")  # the move has arrived
        cut(ada)
        eventually(lambda: relay.metric("streamxr_websocket_connections") == 0)
    with contextlib.closing(sqlite3.connect(state)) as db:
        assert db.execute("SELECT x FROM object").fetchall() == [(7.0,)]


def stored(path: Path, now: float, keep_days: int, *write: str, touch: str = "") -> set[str]:
    """Open a store at a time, write objects into rooms, and close it; returns the rooms that it had at its start."""

    async def use() -> set[str]:
        store = Store(path, 10, keep_days, lambda: now)
        kept = set(store.kept) - set(store.expired())
        if touch:
            store.touch(touch)
        for room in write:
            done = asyncio.Event()
            point = Point((0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
            store.write(room, "", [Spawned(1, 1, 1, 1, "chair", point, 1.0)], lambda _durable, done=done: done.set())
            await done.wait()
        store.close()
        return kept

    return asyncio.run(use())


def test_rooms_that_nobody_uses_expire(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    stored(path, 0, 90, "visited", "forgotten")
    assert stored(path, 80 * DAY_S, 90, touch="visited") == {"visited", "forgotten"}
    assert stored(path, 91 * DAY_S, 90) == {"visited"}
    assert stored(path, 1_000 * DAY_S, 0) == {"visited", "forgotten"}, "0 keeps rooms without end"


def test_a_relay_deletes_expired_rooms_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    stored(path, 0, 90, "old")
    with running_relay(state=path, keep_days=90) as relay, relay.join("old") as ada:
        assert ada.welcome["objects"] == []


def test_a_state_file_of_an_older_relay_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with running_relay(state=path) as relay:
        furnish(relay, "a")
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE use")
        db.execute("DROP TABLE salt")
    db.close()
    with running_relay(state=path, rooms_per_address=1) as relay:
        with relay.join("a") as ada:
            assert len(ada.welcome["objects"]) == 1
        furnish(relay, "b")  # a room of an unknown maker counts for nobody


def test_addresses_are_not_in_the_state_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with running_relay(state=path) as relay:
        furnish(relay, "a")
    for file in tmp_path.iterdir():
        assert b"127.0.0.1" not in file.read_bytes()


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RELAY, "rooms", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_rooms_are_listed_exported_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with running_relay(state=path) as relay:
        furnish(relay, "attic", "lobby")
    listed = json.loads(command("list", "--state", path, "--json").stdout)["rooms"]
    assert {(room["name"], room["objects"]) for room in listed} == {("attic", 1), ("lobby", 1)}
    assert "2 rooms, 2 objects" in command("list", "--state", path).stdout
    (exported,) = json.loads(command("export", "--state", path, "attic").stdout)["rooms"]
    assert exported["objects"] == [{"id": 1, "asset": "chair", "pose": POSE, "scale": 1.0}]
    assert command("delete", "--state", path, "attic").returncode == 2, "it asks, and nobody can answer"
    missing = command("delete", "--state", path, "attic", "cellar", "--yes")
    assert (missing.returncode, "cellar" in missing.stderr, "nothing was changed" in missing.stderr) == (1, True, True)
    assert command("delete", "--state", path, "attic", "--yes").stdout == "deleted 1 rooms with 1 objects\n"
    with running_relay(state=path) as relay, relay.join("attic") as ada, relay.join("lobby") as ben:
        assert (len(ada.welcome["objects"]), len(ben.welcome["objects"])) == (0, 1)


def test_unused_rooms_are_deleted_by_age(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    stored(path, 0, 0, "old")
    with running_relay(state=path, keep_days=0) as relay:
        furnish(relay, "new")
    deleted = command("delete", "--state", path, "--unused-days", "30", "--yes", "--json")
    assert json.loads(deleted.stdout) == {"deleted": ["old"]}
    assert command("delete", "--state", path, "--yes").returncode == 2


def test_a_file_in_use_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    path, damaged = tmp_path / "state.db", tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with serving("--state", str(path)):
        in_use = command("list", "--state", path)
    for done, file in ((in_use, path), (command("list", "--state", damaged), damaged)):
        assert done.returncode == 1
        assert str(file) in done.stderr
        assert "Traceback" not in done.stderr
    assert "stop that first" in in_use.stderr
    assert command("list", "--state", tmp_path / "none.db").returncode == 2


def test_help_has_examples() -> None:
    assert "jq" in command("--help").stdout
