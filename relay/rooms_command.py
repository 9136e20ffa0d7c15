"""The command `streamxr-relay rooms`: lists, exports and deletes the rooms of a state file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from .rooms.store import DAY_S, StoreError, delete_room, open_database, read_room

EXAMPLES: Final = """\b
Examples:
  streamxr-relay rooms list --state state.db
  streamxr-relay rooms list --state state.db --json | jq '.rooms[].name'
  streamxr-relay rooms export --state state.db lobby > lobby.json
  streamxr-relay rooms delete --state state.db lobby attic
  streamxr-relay rooms delete --state state.db --unused-days 30
"""
WAIT_S: Final = 1.0  # for a relay that is just stopping


@dataclass(frozen=True)
class StoredRoom:
    """A row of the list. used: seconds since 1970; None if it is unknown. rev: events of its objects so far."""

    name: str
    objects: int
    rev: int
    used: int | None

    def unused_days(self, now: float) -> int:
        return 0 if self.used is None else int((now - self.used) // DAY_S)


_state = click.option(
    "--state",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    envvar="STREAMXR_RELAY_STATE",
    show_envvar=True,
    help="State file of the relay.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


@click.group(epilog=EXAMPLES)
def rooms() -> None:
    """List, export and delete the rooms that a relay keeps in its state file.

    A running relay has the file for itself; stop it first. Its clients come back by themselves.
    """


@rooms.command("list")
@_state
@_json
def list_rooms(state: Path, as_json: bool) -> None:
    """List the rooms, those that were used last first."""
    with _database(state) as db:
        found = _rooms(db)
    if as_json:
        click.echo(json.dumps({"rooms": [asdict(room) for room in found]}, indent=1))
        return
    width = max([len("room"), *(len(room.name) for room in found)])
    click.echo(f"{'room':{width}}  objects  last used (UTC)")
    for room in found:
        used = "unknown" if room.used is None else time.strftime("%Y-%m-%d %H:%M", time.gmtime(room.used))
        click.echo(f"{room.name:{width}}  {room.objects:7,}  {used}")
    click.echo(f"{len(found):,} rooms, {sum(room.objects for room in found):,} objects")


@rooms.command()
@click.argument("names", nargs=-1, metavar="[ROOM]...")
@_state
def export(names: tuple[str, ...], state: Path) -> None:
    """Print rooms with their objects as JSON: those named, or all."""
    with _database(state) as db:
        chosen = _chosen(db, names)
        content = [{**asdict(room), "objects": _objects(db, room.name)} for room in chosen]
    click.echo(json.dumps({"format": "streamxr/rooms", "version": 1, "rooms": content}, ensure_ascii=False, indent=1))


@rooms.command()
@click.argument("names", nargs=-1, metavar="[ROOM]...")
@click.option("--unused-days", type=click.IntRange(1), help="Delete all rooms that nobody used for this many days.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_state
@_json
def delete(names: tuple[str, ...], unused_days: int | None, yes: bool, state: Path, as_json: bool) -> None:
    """Delete rooms with all their objects. `export` keeps a copy."""
    if bool(names) == (unused_days is not None):
        raise click.UsageError("name the rooms to delete, or give --unused-days")
    with _database(state) as db:
        if unused_days is None:
            chosen = _chosen(db, names)
        else:
            chosen = [room for room in _rooms(db) if room.unused_days(time.time()) >= unused_days]
        objects = sum(room.objects for room in chosen)
        if chosen and not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("confirm with --yes")
            click.confirm(f"Delete {len(chosen)} rooms with {objects} objects?", abort=True, err=True)
        db.execute("BEGIN IMMEDIATE")
        for room in chosen:
            delete_room(db, room.name)
        db.execute("COMMIT")
    deleted = [room.name for room in chosen]
    click.echo(json.dumps({"deleted": deleted}) if as_json else f"deleted {len(deleted)} rooms with {objects} objects")


@contextlib.contextmanager
def _database(state: Path) -> Iterator[sqlite3.Connection]:
    try:
        db = open_database(state, WAIT_S)
    except StoreError as error:
        raise click.ClickException(f"{error}; if a relay is running on it, stop that first") from None
    try:
        yield db
    except (sqlite3.Error, ValueError) as error:
        raise click.ClickException(f"{state}: {error}") from None
    finally:
        db.close()


def _rooms(db: sqlite3.Connection) -> list[StoredRoom]:
    rows = db.execute(
        "SELECT name, (SELECT count(*) FROM object WHERE room = name), rev, used "
        "FROM room LEFT JOIN use ON use.room = name ORDER BY used DESC, name"
    )
    return [StoredRoom(str(name), objects, rev, used) for name, objects, rev, used in rows]


def _chosen(db: sqlite3.Connection, names: tuple[str, ...]) -> list[StoredRoom]:
    """The rooms of these names, or all. Raises ClickException for a name without a room."""
    found = {room.name: room for room in _rooms(db)}
    missing = [name for name in names if name not in found]
    if missing:
        raise click.ClickException(f"there is no room {', '.join(missing)}; nothing was changed")
    return [found[name] for name in dict.fromkeys(names)] if names else list(found.values())


def _objects(db: sqlite3.Connection, room: str) -> list[dict[str, Any]]:
    return [
        {"id": o.id, "asset": o.asset, "pose": {"p": list(o.pose.p), "q": list(o.pose.q)}, "scale": o.scale}
        for o in read_room(db, room).objects
    ]
