"""`streamxr-relay simulate`: company for a demo, load for a relay, and what it saw of the others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .load import Crowd, Plan
from .statistics import Ages

DEFAULT_URL: Final = "ws://127.0.0.1:8787"
REPORT_S: Final = 1.0
HINTS: Final = {
    4401: "the relay asks for a token; see --token",
    4403: "the token is for another room",
    4413: "the relay is full, or lets in no more from one address; see serve --max-participants, --max-connections "
    "and --max-per-address",
}

EPILOG: Final = """\b
Examples:
  streamxr-relay simulate
      eight people in the room `lobby` of a relay on this machine
  streamxr-relay simulate wss://xr.example --participants 200 --rooms 10 --duration 60
      a load, for a minute
  streamxr-relay simulate --json | jq .age_p99_ms
      for programs
"""


@click.command(epilog=EPILOG)
@click.argument("url", default=DEFAULT_URL)
@click.option("--participants", "-n", default=8, show_default=True, type=click.IntRange(1, 65535), help="In all.")
@click.option("--rooms", default=1, show_default=True, type=click.IntRange(1), help="Rooms to spread them over.")
@click.option("--room", default="lobby", show_default=True, help="Its name, or with several how they begin.")
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds; without, until Ctrl-C.")
@click.option("--seed", default=1, show_default=True, help="The same seed walks the same ways.")
@click.option("--objects", default=2, show_default=True, type=click.IntRange(0, 64), help="To throw, in each room.")
@click.option("--asset", default="ball", show_default=True, help="What they throw: an asset's id.")
@click.option("--token", envvar="STREAMXR_RELAY_TOKEN", show_envvar=True, help="Join token, where needed.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON a second; so it is when output is no terminal.")
def simulate(
    url: str,
    participants: int,
    rooms: int,
    room: str,
    duration: float | None,
    seed: int,
    objects: int,
    asset: str,
    token: str | None,
    as_json: bool,
) -> None:
    """People who walk, look, grab and throw, in the rooms of a relay.

    URL is ws://HOST[:PORT] or wss://HOST[:PORT]. The last line sums up; exit status 1 if nobody got in.
    """
    if rooms > participants:
        raise click.UsageError(f"{participants} participants cannot be in {rooms} rooms")
    plan = Plan(url, participants, rooms, room, seed, objects, asset)
    try:
        joined = _run(lambda: _simulate(plan, token, duration, as_json=as_json or not sys.stdout.isatty()))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not joined:
        sys.exit(1)


@dataclass(slots=True)
class Report:
    """Turns the tally into figures: of the last second, or of all the time."""

    crowd: Crowd
    started_at: float = field(default_factory=time.monotonic)
    all_ages: Ages = field(default_factory=Ages)
    _at: float = 0.0
    _before: tuple[int, int, float] = (0, 0, 0.0)

    def __post_init__(self) -> None:
        self._at = self.started_at
        self._before = (0, 0, time.process_time())

    def latest(self) -> dict[str, Any]:
        now = time.monotonic()
        tally, before = self.crowd.tally, self._before
        current = (tally.poses_received, self.crowd.received_bytes, time.process_time())
        elapsed = max(now - self._at, 1e-6)
        self._at, self._before = now, current
        figures = self._figures(tally.ages, now)
        tally.ages.pour_into(self.all_ages)
        return figures | {
            "present": tally.present,
            "poses_per_s": round((current[0] - before[0]) / elapsed),
            "mbit_per_s": round((current[1] - before[1]) * 8e-6 / elapsed, 2),
            "own_cpu": round((current[2] - before[2]) / elapsed, 2),
        }

    def total(self) -> dict[str, Any]:
        tally = self.crowd.tally
        tally.ages.pour_into(self.all_ages)
        return self._figures(self.all_ages, time.monotonic()) | {
            "joins": tally.joins,
            "poses_sent": tally.poses_sent,
            "poses_received": tally.poses_received,
            "ages_sampled": self.all_ages.count,
        }

    def _figures(self, ages: Ages, now: float) -> dict[str, Any]:
        tally = self.crowd.tally
        ticks = tally.ticks_received + tally.ticks_missed
        return {
            "seconds": round(now - self.started_at, 1),
            "age_p50_ms": ages.quantile_ms(0.50),
            "age_p99_ms": ages.quantile_ms(0.99),
            "ticks_missed_percent": round(100.0 * tally.ticks_missed / ticks, 3) if ticks else None,
            "thrown": tally.thrown,
            "denied": tally.denied,
            "reconnects": max(tally.joins - len(self.crowd.walkers), 0),
            "closes": {str(code): count for code, count in sorted(tally.losses.items())},
            "errors": dict(sorted(tally.errors.items())),
        }


async def _simulate(plan: Plan, token: str | None, duration: float | None, *, as_json: bool) -> bool:
    crowd = Crowd(plan, lambda _room, _name: token)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C then cuts the lines
            loop.add_signal_handler(each, stop.set)
    if duration:
        loop.call_later(duration, stop.set)
    report = Report(crowd)
    running = asyncio.create_task(crowd.run(stop))
    stopping = asyncio.create_task(stop.wait())
    console = Console(highlight=False)
    last: dict[str, Any] = {}
    with contextlib.nullcontext() if as_json else Live(console=console, auto_refresh=False, transient=True) as live:
        while not crowd.is_over:
            done, _ = await asyncio.wait([running, stopping], timeout=REPORT_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                break
            last = report.latest()
            if live is None:
                click.echo(json.dumps(last))
            else:
                live.update(_table(plan, last, crowd.tally.last_reason), refresh=True)
    total = report.total()
    stop.set()
    await running
    if as_json:
        click.echo(json.dumps({"total": total}))
    else:
        console.print(_table(plan, last | total, crowd.tally.last_reason))
    for code, hint in HINTS.items():
        if crowd.tally.losses[code]:
            click.echo(f"{crowd.tally.losses[code]} × {code}: {hint}", err=True)
    if not crowd.tally.joins:
        click.echo(f"nobody got into {plan.url}: {crowd.tally.last_reason or 'no answer'}", err=True)
    return crowd.tally.joins > 0


def _table(plan: Plan, figures: dict[str, Any], reason: str) -> Table:
    table = Table(title=f"{plan.participants} participants in {plan.rooms} room(s) of {plan.url}", title_justify="left")
    table.add_column("what")
    table.add_column("now", justify="right")
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count} × {key}" for key, count in value.items()) or "none"
        table.add_row(name.replace("_", " "), "–" if value is None else str(value))
    if reason:
        table.add_row("last reason", reason)
    return table


def _run(main: Callable[[], Any]) -> Any:
    """On uvloop where it is installed."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())
