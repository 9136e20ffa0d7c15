"""Stores the shared objects of all rooms in one SQLite file, so that they survive a restart.

A separate thread writes, so that no tick waits for the disk. It does its jobs in order; writes that are queued together
share one transaction. The callback of a write runs on the event loop, once the data is on the disk or the write has
failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from ..logs import with_context
from ..protocol.control import MAX_REV, is_valid_object
from ..protocol.messages import MAX_U32, Deleted, Grabbed, ObjectEvent, Point, Released, SharedObject, Spawned
from .objects import SavedRoom

log = logging.getLogger("streamxr.relay.rooms.store")

T = TypeVar("T")

APPLICATION_ID: Final = 0x53585231  # "SXR1": identifies files of the relay, and the version of their layout
LOCK_TIMEOUT_S: Final = 5.0  # a relay that is being replaced may take this long to unlock the file
RETRY_S: Final = 1.0
PROBE_BYTES: Final = 256 * 1024  # the size of some thousand changes
MAX_BATCH: Final = 512  # writes in one transaction

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
# Tables that older relays do not know and leave alone. maker: hash of the client that made the room, "" if unknown;
# used: when somebody last entered the room or changed its objects, in seconds since 1970.
ADDED: Final = """
CREATE TABLE IF NOT EXISTS use (room TEXT PRIMARY KEY, maker TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS salt (value BLOB NOT NULL);
"""
SALT_BYTES: Final = 16
DAY_S: Final = 86_400


class StoreError(Exception):
    """The file cannot be used. The message is for the operator."""


@dataclass(frozen=True, slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], None]
    callback: Callable[[bool], None] | None = None


@dataclass(frozen=True, slots=True)
class _Load:
    room: str
    callback: Callable[[SavedRoom | None], None]


class _Stop:
    pass


@dataclass(frozen=True, slots=True)
class KeptRoom:
    """Whose room it is and when it was last used; see ADDED."""

    maker: str
    used: int


class Store:
    """Use from the event loop's thread only."""

    def __init__(
        self,
        path: Path,
        max_rooms: int,
        keep_days: int = 0,
        clock: Callable[[], float] = time.time,
        observe_write: Callable[[float, bool], None] = lambda _seconds, _succeeded: None,
    ) -> None:
        """Open or create the file, without rooms that were last used more than `keep_days` ago (0: without end).

        max_rooms: the maximum number of rooms in the file. clock: seconds since 1970. observe_write: called in the
        store's thread after each transaction, with its seconds and whether it succeeded.
        Raises StoreError if the file cannot be used.
        """
        self.path = path
        self._max_rooms = max_rooms
        self._keep_s = keep_days * DAY_S
        self._clock = clock
        self._observe_write = observe_write
        self._db = open_database(path)
        self._salt, self._kept = _read_kept(self._db, path, int(clock()))
        self._jobs: queue.SimpleQueue[_Write | _Load | _Stop] = queue.SimpleQueue()
        self._broken = False  # set by the thread, read by the loop
        self._probed_at = 0.0
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        """Whether the last write succeeded. After a failed one, calls start new attempts, at most one per second."""
        if self._broken and time.monotonic() - self._probed_at >= RETRY_S:
            self._probed_at = time.monotonic()
            self._jobs.put(_Write(_probe))
        return not self._broken

    def has_capacity_for(self, room: str) -> bool:
        """Whether the room is stored already, or may be stored without exceeding `max_rooms`."""
        return room in self._kept or len(self._kept) < self._max_rooms

    @property
    def kept(self) -> Mapping[str, KeptRoom]:
        """The rooms in the file, by name."""
        return self._kept

    def expired(self) -> list[str]:
        """The rooms that have been unused for too long."""
        if not self._keep_s:
            return []
        oldest = self._clock() - self._keep_s
        return [name for name, room in self._kept.items() if room.used < oldest]

    def hashed(self, maker: str) -> str:
        """The form in which the maker of a room is stored: a keyed hash, since an address is personal data."""
        return hashlib.blake2b(maker.encode(), key=self._salt, digest_size=16).hexdigest() if maker else ""

    def touch(self, room: str) -> None:
        """A room is used now. Has no effect if it is not in the file."""
        if room in self._kept:
            used = int(self._clock())
            self._kept[room] = replace(self._kept[room], used=used)
            self._jobs.put(_Write(lambda db: _touch(db, room, used)))

    def load(self, room: str, callback: Callable[[SavedRoom | None], None]) -> None:
        """Read a room and pass it to `callback`, or None if the file cannot be read."""
        self._jobs.put(_Load(room, _on_this_loop(callback)))

    def write(self, room: str, maker: str, events: Sequence[ObjectEvent], callback: Callable[[bool], None]) -> None:
        """Write events. `callback` gets True once they are durable, or False if their transaction failed.

        maker: hash of the client that made the room.
        """
        before = self._kept.get(room)
        kept = self._kept[room] = KeptRoom(before.maker if before else maker, int(self._clock()))

        def work(db: sqlite3.Connection) -> None:
            _write_events(db, room, events)
            _write_use(db, room, kept)

        self._jobs.put(_Write(work, _on_this_loop(callback)))

    def write_moves(self, room: str, moved: Sequence[tuple[int, Point]], callback: Callable[[bool], None]) -> None:
        """Write the current poses of objects that are being moved. `callback` as for `write`."""
        self._jobs.put(_Write(lambda db: _write_poses(db, room, moved), _on_this_loop(callback)))

    def forget(self, room: str) -> None:
        """Delete a room from the file."""
        if self._kept.pop(room, None):
            self._jobs.put(_Write(lambda db: delete_room(db, room)))

    def close(self) -> None:
        """Finish all jobs and close the file."""
        self._jobs.put(_Stop())
        self._thread.join()

    def _work(self) -> None:
        last: _Load | _Stop | None = None
        while not isinstance(last, _Stop):
            writes, last = self._gather()
            # A load must see all earlier writes, and no write that fails later. So they are committed first.
            self._commit(writes)
            if isinstance(last, _Load):
                last.callback(self._read(last.room))
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _gather(self) -> tuple[list[_Write], _Load | _Stop | None]:
        """The queued writes, up to MAX_BATCH, and the job after them if it is not a write."""
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
        began = time.monotonic()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for write in writes:
                write.work(self._db)
            self._db.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:  # OverflowError: an integer of more than 64 bits
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if not self._broken:
                log.error(
                    "cannot write %s: %s; operations on shared objects are denied until writing works again",
                    self.path,
                    error,
                )
            self._broken = True
        else:
            if self._broken:
                log.warning("%s can be written again", self.path)
            self._broken = False
        self._observe_write(time.monotonic() - began, not self._broken)
        for write in writes:
            if write.callback:
                write.callback(not self._broken)

    def _read(self, room: str) -> SavedRoom | None:
        try:
            return read_room(self._db, room)
        except (sqlite3.Error, ValueError) as error:
            text = "cannot read the room from %s: %s; restore a backup, or delete it with streamxr-relay rooms"
            with_context(log, room=room).error(text, self.path, error)
            return None


def _on_this_loop(callback: Callable[[T], None]) -> Callable[[T], None]:
    """A function that calls `callback` on the running event loop, from any thread."""
    loop = asyncio.get_running_loop()

    def call(result: T) -> None:
        # The loop is already closed if the relay stopped without waiting.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(callback, result)

    return call


def open_database(path: Path, timeout_s: float | None = None) -> sqlite3.Connection:
    """The file, created if it is missing, with a lock that keeps other processes out.

    timeout_s: for which to wait for the lock, by default LOCK_TIMEOUT_S. Raises StoreError if the file cannot be used.
    """
    try:
        timeout_s = LOCK_TIMEOUT_S if timeout_s is None else timeout_s
        db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}; check that its folder exists and is writable") from None
    try:
        # The lock keeps a second relay from writing the same rooms in a different state. The system releases it when
        # the process ends, even after a crash.
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
            raise StoreError(f"{path}: is a database, but not of this version of the relay; use another file")
        for statement in ADDED.split(";"):
            db.execute(statement)
        # Delete rooms that lost their last object before a crash.
        db.execute("DELETE FROM room WHERE name NOT IN (SELECT room FROM object)")
        db.execute("DELETE FROM use WHERE room NOT IN (SELECT name FROM room)")
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
            raise StoreError(f"{path}: is in use by another relay; each relay needs its own file") from None
        raise StoreError(
            f"{path}: cannot be used: {error}; restore a backup, or move the file away to start without stored objects"
        ) from None
    return db


def _write_events(db: sqlite3.Connection, room: str, events: Iterable[ObjectEvent]) -> None:
    for event in events:
        match event:
            case Spawned(id=object_id, asset=asset, scale=scale, pose=pose):
                db.execute(
                    "INSERT INTO object VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
                    (room, object_id, asset, scale, *pose.p, *pose.q),
                )
                _update_counters(db, room, event.rev, object_id)
            case Grabbed(id=object_id, epoch=epoch):
                db.execute("UPDATE object SET epoch = ? WHERE room = ? AND id = ?", (epoch, room, object_id))
                _update_counters(db, room, event.rev)
            case Released(id=object_id, pose=pose):
                _write_poses(db, room, [(object_id, pose)])
                _update_counters(db, room, event.rev)
            case Deleted(id=object_id):
                db.execute("DELETE FROM object WHERE room = ? AND id = ?", (room, object_id))
                _update_counters(db, room, event.rev)


def _update_counters(db: sqlite3.Connection, room: str, rev: int, last_id: int = 0) -> None:
    db.execute(
        "INSERT INTO room VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "rev = excluded.rev, last_id = max(last_id, excluded.last_id)",
        (room, rev, last_id),
    )


def _write_poses(db: sqlite3.Connection, room: str, moved: Iterable[tuple[int, Point]]) -> None:
    db.executemany(
        "UPDATE object SET x = ?, y = ?, z = ?, qx = ?, qy = ?, qz = ?, qw = ? WHERE room = ? AND id = ?",
        [(*pose.p, *pose.q, room, object_id) for object_id, pose in moved],
    )


def _read_kept(db: sqlite3.Connection, path: Path, now: int) -> tuple[bytes, dict[str, KeptRoom]]:
    """The salt of the makers' hashes, made at the first call, and the rooms. Those of older relays are used now."""
    try:
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT value FROM salt").fetchone()
        salt = row[0] if row else secrets.token_bytes(SALT_BYTES)
        if not isinstance(salt, bytes) or len(salt) != SALT_BYTES:
            raise ValueError("its salt is damaged")
        if not row:
            db.execute("INSERT INTO salt VALUES (?)", (salt,))
        db.execute("INSERT INTO use SELECT name, '', ? FROM room WHERE name NOT IN (SELECT room FROM use)", (now,))
        rooms = {str(name): KeptRoom(str(maker), int(used)) for name, maker, used in db.execute("SELECT * FROM use")}
        db.execute("COMMIT")
    except (sqlite3.Error, TypeError, ValueError) as error:
        db.close()
        raise StoreError(
            f"{path}: cannot be used: {error}; restore a backup, or move the file away to start without stored objects"
        ) from None
    return salt, rooms


def _write_use(db: sqlite3.Connection, room: str, kept: KeptRoom) -> None:
    db.execute(
        "INSERT INTO use VALUES (?, ?, ?) ON CONFLICT (room) DO UPDATE SET used = excluded.used",
        (room, kept.maker, kept.used),
    )


def _touch(db: sqlite3.Connection, room: str, used: int) -> None:
    db.execute("UPDATE use SET used = ? WHERE room = ?", (used, room))


def delete_room(db: sqlite3.Connection, room: str) -> None:
    for statement in ("room WHERE name", "object WHERE room", "use WHERE room"):
        db.execute(f"DELETE FROM {statement} = ?", (room,))


def _probe(db: sqlite3.Connection) -> None:
    """Write and delete a large record, because an almost full disk may still have space for a small one."""
    db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
    db.execute("DELETE FROM probe")


def read_room(db: sqlite3.Connection, room: str) -> SavedRoom:
    """The objects of a room. Raises sqlite3.Error if they cannot be read, and ValueError if a value is impossible."""
    counters = db.execute("SELECT rev, last_id FROM room WHERE name = ?", (room,)).fetchone()
    if counters is None:
        return SavedRoom()
    rows = db.execute(
        "SELECT id, asset, x, y, z, qx, qy, qz, qw, scale, epoch FROM object WHERE room = ? ORDER BY id", (room,)
    )
    objects = tuple(
        SharedObject(object_id, asset, Point((x, y, z), (qx, qy, qz, qw)), scale, None, epoch)
        for object_id, asset, x, y, z, qx, qy, qz, qw, scale, epoch in rows
    )
    rev, last_id = counters
    # Below the largest numbers, since the next event counts on.
    if not (isinstance(rev, int) and isinstance(last_id, int) and 0 <= rev < MAX_REV and 0 <= last_id < MAX_U32):
        raise ValueError("its counters are damaged")
    for each in objects:
        if not is_valid_object(each) or each.id > last_id:
            raise ValueError(f"object {each.id!r} is damaged")
    return SavedRoom(rev, last_id, objects)
