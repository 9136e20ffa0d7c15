"""What survives a restart: the shared objects of every room, in one SQLite file.

A thread of its own writes, so that no tick waits for a disk. Jobs are done in the order in which they were given;
those that wait together share one transaction. Each is answered on the event loop once it is on the disk,
or once it is sure that it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from ..logs import about
from ..protocol.messages import Deleted, Grabbed, ObjectEvent, Point, Released, SharedObject, Spawned
from .objects import Kept

log = logging.getLogger("streamxr.relay.rooms.store")

T = TypeVar("T")

APPLICATION_ID: Final = 0x53585231  # "SXR1": a file of ours, and of which layout
LOCK_TIMEOUT_S: Final = 5.0  # a relay that is being replaced may take this long to let go
RETRY_S: Final = 1.0
PROBE_BYTES: Final = 256 * 1024  # room for some thousand changes
MAX_BATCH: Final = 512

SCHEMA: Final = """
CREATE TABLE room (name TEXT PRIMARY KEY, rev INTEGER NOT NULL, last_id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE object (
  room TEXT NOT NULL, id INTEGER NOT NULL, asset TEXT NOT NULL, scale REAL NOT NULL, epoch INTEGER NOT NULL,
  x REAL NOT NULL, y REAL NOT NULL, z REAL NOT NULL,
  qx REAL NOT NULL, qy REAL NOT NULL, qz REAL NOT NULL, qw REAL NOT NULL,
  PRIMARY KEY (room, id)
) WITHOUT ROWID;
CREATE TABLE probe (bytes BLOB);
"""


class StoreError(Exception):
    """The file cannot be used; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], None]
    then: Callable[[bool], None] | None = None


@dataclass(frozen=True, slots=True)
class _Load:
    room: str
    then: Callable[[Kept | None], None]


class _Stop:
    pass


class Store:
    """Use from the event loop's thread only."""

    def __init__(self, path: Path, max_rooms: int) -> None:
        """Open or create the file. `max_rooms`: how many rooms it may hold.

        Raises:
            StoreError
        """
        self.path = path
        self._max_rooms = max_rooms
        self._db = _open(path)
        self._kept_rooms = {str(name) for (name,) in self._db.execute("SELECT name FROM room")}
        self._jobs: queue.SimpleQueue[_Write | _Load | _Stop] = queue.SimpleQueue()
        self._broken = False  # set by the thread, read by the loop
        self._probed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        """Whether the last write went well. After one that did not, this tries again by itself, once a second."""
        if self._broken and time.monotonic() - self._probed_at >= RETRY_S:
            self._probed_at = time.monotonic()
            self._jobs.put(_Write(_probe))
        return not self._broken

    def has_place_for(self, room: str) -> bool:
        return room in self._kept_rooms or len(self._kept_rooms) < self._max_rooms

    def load(self, room: str, then: Callable[[Kept | None], None]) -> None:
        """Read what is kept of a room; None when the file cannot be read."""
        self._jobs.put(_Load(room, _on_this_loop(then)))

    def write(self, room: str, events: Sequence[ObjectEvent], then: Callable[[bool], None]) -> None:
        """Make events durable, then say so; False: they are not, nor is anything that was given with them."""
        self._kept_rooms.add(room)
        self._jobs.put(_Write(lambda db: _write_events(db, room, events), _on_this_loop(then)))

    def write_moves(self, room: str, moved: Sequence[tuple[int, Point]], then: Callable[[bool], None]) -> None:
        """Save where objects are that are being moved."""
        self._jobs.put(_Write(lambda db: _write_poses(db, room, moved), _on_this_loop(then)))

    def forget(self, room: str) -> None:
        """Nothing is to be kept of a room that has no objects."""
        if room in self._kept_rooms:
            self._kept_rooms.discard(room)
            self._jobs.put(_Write(lambda db: _forget(db, room)))

    def close(self) -> None:
        """Do what was asked for, and let go of the file."""
        self._jobs.put(_Stop())
        self._thread.join()

    def _work(self) -> None:
        last: _Load | _Stop | None = None
        while not isinstance(last, _Stop):
            writes, last = self._gather()
            # A load must see what was written before it, and nothing that then turns out not to be.
            self._commit(writes)
            if isinstance(last, _Load):
                last.then(self._read(last.room))
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _gather(self) -> tuple[list[_Write], _Load | _Stop | None]:
        """The writes that wait, and what came after them."""
        writes: list[_Write] = []
        job = self._jobs.get()
        while isinstance(job, _Write):
            writes.append(job)
            if len(writes) >= MAX_BATCH or self._jobs.empty():
                return writes, None
            job = self._jobs.get()
        return writes, job

    def _commit(self, writes: list[_Write]) -> None:
        if not writes:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for write in writes:
                write.work(self._db)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if not self._broken:
                log.error("cannot write %s: %s; shared objects cannot be changed until it can", self.path, error)
            self._broken = True
        else:
            if self._broken:
                log.warning("%s can be written again", self.path)
            self._broken = False
        for write in writes:
            if write.then:
                write.then(not self._broken)

    def _read(self, room: str) -> Kept | None:
        try:
            return _kept(self._db, room)
        except sqlite3.Error as error:
            about(log, room=room).error("cannot read the room from %s: %s", self.path, error)
            return None


def _on_this_loop(then: Callable[[T], None]) -> Callable[[T], None]:
    loop = asyncio.get_running_loop()

    def answer(result: T) -> None:
        # The loop is closed when the relay has stopped without waiting.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(then, result)

    return answer


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}; is its folder there, and writable?") from None
    try:
        # One relay, one file: a second one that writes the same rooms would be a second truth. The lock is
        # the process's and goes with it, however it ends.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        (layout,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in SCHEMA.split(";"):
                db.execute(statement)
        elif layout != APPLICATION_ID:
            raise StoreError(f"{path}: is a database, but not one of this version of the relay; give another file")
        # Rooms whose last object was deleted before a crash.
        db.execute("DELETE FROM room WHERE name NOT IN (SELECT room FROM object)")
        db.execute("COMMIT")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except StoreError:
        db.close()
        raise
    except sqlite3.Error as error:
        db.close()
        if "locked" in str(error):
            raise StoreError(f"{path}: is in use by another relay; each needs a file of its own") from None
        raise StoreError(
            f"{path}: cannot be used: {error}; put a backup in its place, or move it away to start with none"
        ) from None
    return db


def _write_events(db: sqlite3.Connection, room: str, events: Iterable[ObjectEvent]) -> None:
    for event in events:
        match event:
            case Spawned(id=identity, asset=asset, scale=scale, pose=pose):
                db.execute(
                    "INSERT INTO object VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
                    (room, identity, asset, scale, *pose.p, *pose.q),
                )
                _count(db, room, event.rev, identity)
            case Grabbed(id=identity, epoch=epoch):
                db.execute("UPDATE object SET epoch = ? WHERE room = ? AND id = ?", (epoch, room, identity))
                _count(db, room, event.rev)
            case Released(id=identity, pose=pose):
                _write_poses(db, room, [(identity, pose)])
                _count(db, room, event.rev)
            case Deleted(id=identity):
                db.execute("DELETE FROM object WHERE room = ? AND id = ?", (room, identity))
                _count(db, room, event.rev)


def _count(db: sqlite3.Connection, room: str, rev: int, last_id: int = 0) -> None:
    db.execute(
        "INSERT INTO room VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "rev = excluded.rev, last_id = max(last_id, excluded.last_id)",
        (room, rev, last_id),
    )


def _write_poses(db: sqlite3.Connection, room: str, moved: Iterable[tuple[int, Point]]) -> None:
    db.executemany(
        "UPDATE object SET x = ?, y = ?, z = ?, qx = ?, qy = ?, qz = ?, qw = ? WHERE room = ? AND id = ?",
        [(*pose.p, *pose.q, room, identity) for identity, pose in moved],
    )


def _forget(db: sqlite3.Connection, room: str) -> None:
    db.execute("DELETE FROM room WHERE name = ?", (room,))
    db.execute("DELETE FROM object WHERE room = ?", (room,))


def _probe(db: sqlite3.Connection) -> None:
    """A write as large as many, since a full disk may have room for the smallest."""
    db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
    db.execute("DELETE FROM probe")


def _kept(db: sqlite3.Connection, room: str) -> Kept:
    counters = db.execute("SELECT rev, last_id FROM room WHERE name = ?", (room,)).fetchone()
    if counters is None:
        return Kept()
    rows = db.execute(
        "SELECT id, asset, x, y, z, qx, qy, qz, qw, scale, epoch FROM object WHERE room = ? ORDER BY id", (room,)
    )
    objects = tuple(
        SharedObject(identity, asset, Point((x, y, z), (qx, qy, qz, qw)), scale, None, epoch)
        for identity, asset, x, y, z, qx, qy, qz, qw, scale, epoch in rows
    )
    rev, last_id = counters
    return Kept(rev, last_id, objects)
