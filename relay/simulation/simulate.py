"""`streamxr-relay simulate`: simulated participants for a demo or as a load, and a report of their measurements."""

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

from .load import Load, Plan
from .statistics import AgeHistogram

DEFAULT_URL: Final = "ws://127.0.0.1:8787"
REPORT_INTERVAL_S: Final = 1.0
HINTS: Final = {
    4401: "the relay requires a join token; see --token",
    4403: "the token is for another room",
    4413: "the relay is full, or has its maximum of connections from one address; see serve --max-participants, "
    "--max-connections, --max-per-address and --rooms-per-address",
}

EPILOG: Final = """\b
Examples:
  streamxr-relay simulate
      eight participants in the room `lobby` of a relay on this machine
  streamxr-relay simulate wss://xr.example --participants 200 --rooms 10 --duration 60
      a load of 200 participants for one minute
  streamxr-relay simulate --json | jq .age_p99_ms
      one figure of the JSON report
"""


@click.command(epilog=EPILOG)
@click.argument("url", default=DEFAULT_URL)
@click.option(
    "--participants",
    "-n",
    default=8,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Number of participants in all rooms.",
)
@click.option(
    "--rooms",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rooms, which get equal numbers of participants.",
)
@click.option(
    "--room", default="lobby", show_default=True, help="Name of the room; with several rooms, the start of their names."
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds to run. Default: until Ctrl-C.")
@click.option("--seed", default=1, show_default=True, help="Seed of the random motion; equal seeds give equal motion.")
@click.option(
    "--objects",
    default=2,
    show_default=True,
    type=click.IntRange(0, 64),
    help="Number of objects to throw in each room.",
)
@click.option("--asset", default="ball", show_default=True, help="Asset id of the objects to throw.")
@click.option("--token", envvar="STREAMXR_RELAY_TOKEN", show_envvar=True, help="Join token, if the relay requires one.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one line of JSON per second. Default if the output is not a terminal.",
)
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
    """Simulate participants who walk, look around, and grab and throw objects, in the rooms of a relay.

    URL is ws://HOST[:PORT] or wss://HOST[:PORT]. The last line is a summary. The exit status is 1 if no participant
    could join.
    """
    if rooms > participants:
        raise click.UsageError(f"--rooms {rooms}: must not exceed --participants {participants}")
    plan = Plan(url, participants, rooms, room, seed, objects, asset)
    try:
        joined = _run(lambda: _simulate(plan, token, duration, as_json=as_json or not sys.stdout.isatty()))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not joined:
        sys.exit(1)


@dataclass(slots=True)
class Report:
    """Turns the statistics into figures: of the time since the last report, or of the whole run."""

    load: Load
    started_at: float = field(default_factory=time.monotonic)
    all_ages: AgeHistogram = field(default_factory=AgeHistogram)
    _at: float = 0.0
    _before: tuple[int, int, float] = (0, 0, 0.0)

    def __post_init__(self) -> None:
        self._at = self.started_at
        self._before = (0, 0, time.process_time())

    def latest(self) -> dict[str, Any]:
        now = time.monotonic()
        statistics, before = self.load.statistics, self._before
        current = (statistics.poses_received, self.load.received_bytes, time.process_time())
        elapsed = max(now - self._at, 1e-6)
        self._at, self._before = now, current
        figures = self._figures(statistics.ages, now)
        statistics.ages.move_to(self.all_ages)
        return figures | {
            "present": statistics.present,
            "poses_per_s": round((current[0] - before[0]) / elapsed),
            "mbit_per_s": round((current[1] - before[1]) * 8e-6 / elapsed, 2),
            "own_cpu": round((current[2] - before[2]) / elapsed, 2),
        }

    def total(self) -> dict[str, Any]:
        statistics = self.load.statistics
        statistics.ages.move_to(self.all_ages)
        return self._figures(self.all_ages, time.monotonic()) | {
            "joins": statistics.joins,
            "poses_sent": statistics.poses_sent,
            "poses_received": statistics.poses_received,
            "ages_sampled": self.all_ages.count,
        }

    def _figures(self, ages: AgeHistogram, now: float) -> dict[str, Any]:
        statistics = self.load.statistics
        ticks = statistics.ticks_received + statistics.ticks_missed
        return {
            "seconds": round(now - self.started_at, 1),
            "age_p50_ms": ages.quantile_ms(0.50),
            "age_p99_ms": ages.quantile_ms(0.99),
            "ticks_missed_percent": round(100.0 * statistics.ticks_missed / ticks, 3) if ticks else None,
            "thrown": statistics.thrown,
            "denied": statistics.denied,
            "reconnects": max(statistics.joins - len(self.load.clients), 0),
            "closes": {str(code): count for code, count in sorted(statistics.losses.items())},
            "errors": dict(sorted(statistics.errors.items())),
        }


async def _simulate(plan: Plan, token: str | None, duration: float | None, *, as_json: bool) -> bool:
    load = Load(plan, lambda _room, _name: token)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the process and with it the connections
            loop.add_signal_handler(stop_signal, stop.set)
    if duration:
        loop.call_later(duration, stop.set)
    report = Report(load)
    running = asyncio.create_task(load.run(stop))
    stopping = asyncio.create_task(stop.wait())
    console = Console(highlight=False)
    last: dict[str, Any] = {}
    with contextlib.nullcontext() if as_json else Live(console=console, auto_refresh=False, transient=True) as live:
        while not load.has_ended:
            done, _ = await asyncio.wait(
                [running, stopping], timeout=REPORT_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                break
            last = report.latest()
            if live is None:
                click.echo(json.dumps(last))
            else:
                live.update(_table(plan, last, load.statistics.last_reason), refresh=True)
    total = report.total()
    stop.set()
    await running
    if as_json:
        click.echo(json.dumps({"total": total}))
    else:
        console.print(_table(plan, last | total, load.statistics.last_reason))
    for code, hint in HINTS.items():
        if load.statistics.losses[code]:
            click.echo(f"{load.statistics.losses[code]} × {code}: {hint}", err=True)
    if not load.statistics.joins:
        click.echo(f"no participant could join {plan.url}: {load.statistics.last_reason or 'no answer'}", err=True)
    return load.statistics.joins > 0


def _table(plan: Plan, figures: dict[str, Any], reason: str) -> Table:
    table = Table(title=f"{plan.participants} participants in {plan.rooms} room(s) of {plan.url}", title_justify="left")
    table.add_column("figure")
    table.add_column("now", justify="right")
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{count} × {key}" for key, count in value.items()) or "none"
        table.add_row(name.replace("_", " "), "–" if value is None else str(value))
    if reason:
        table.add_row("last reason", reason)
    return table


def _run(main: Callable[[], Any]) -> Any:
    """Run on uvloop if it is installed, otherwise on asyncio."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())
