"""Output of `streamxr build`: progress while it runs, then a table, or JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .asset_report import AssetReport
from .build import BuildReport
from .events import Event, Failure, Notice, StageProgress

if TYPE_CHECKING:
    from .gltf.document import Json


class LiveProgress:
    """A progress bar for each asset at work, and a permanent line for each that is done or has failed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[stage]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Callable[[Event], None]:
        self._bars.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def _show(self, event: Event) -> None:
        if isinstance(event, Notice):
            self._console.print(event.text, style="dim", highlight=False, soft_wrap=True)
            return
        if isinstance(event, StageProgress):
            if event.asset not in self._tasks:
                self._tasks[event.asset] = self._bars.add_task(event.asset, stage="", total=None)
            stage = f"{event.stage} {event.done}/{event.total}"
            self._bars.update(self._tasks[event.asset], completed=event.done, total=event.total, stage=stage)
            return
        if event.asset in self._tasks:
            self._bars.remove_task(self._tasks.pop(event.asset))
        if isinstance(event, Failure):
            line = Text.assemble(("✗ ", "bold red"), (f"{event.source}: ", "bold"), event.text)
        else:
            line = Text.assemble(("✓ ", "green"), event.asset, (f"  {_size(event.bytes)}", "dim"))
            for note in event.notes:
                line.append(f"\n  note: {note}", "yellow")
        self._console.print(line, highlight=False, soft_wrap=True)


def print_table(report: BuildReport) -> None:
    """Print tier, regions, triangles, error and bytes of every asset."""
    if not report.built and not report.kept:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("asset", no_wrap=True)
    table.add_column("tier", no_wrap=True)
    for heading in ("regions", "triangles", "error", "bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for asset in sorted([*report.built, *report.kept], key=lambda a: a.asset):
        for number, row in enumerate(asset.rows):
            table.add_row(
                asset.asset if number == 0 else "",
                row.name,
                f"{row.regions:,}",
                f"{row.triangles:,}" if row.triangles else "–",
                _length(row.error),
                _size(row.bytes),
            )
        total = f"{_size(asset.bytes)} [dim]of {_size(asset.source_bytes)}[/dim]"
        table.add_row("", "[bold]all[/bold]", "", "", "", total)
        table.add_section()
    Console().print(table)


def summary(report: BuildReport) -> str:
    """One line: the numbers of assets that were built, were up to date, and failed."""
    parts = [f"{len(report.built)} built", f"{len(report.kept)} up to date"]
    if report.failed:
        parts.append(f"{len(report.failed)} failed")
    return ", ".join(parts)


def as_json(report: BuildReport) -> str:
    """The report as one JSON document."""

    def asset(a: AssetReport, state: str) -> Json:
        return {
            "asset": a.asset,
            "state": state,
            "source": a.source,
            "sourceBytes": a.source_bytes,
            "bytes": a.bytes,
            "tiers": [
                {"tier": r.name, "regions": r.regions, "triangles": r.triangles, "error": r.error, "bytes": r.bytes}
                for r in a.rows
            ],
            "notes": list(a.notes),
        }

    document = {
        "assets": [asset(a, "built") for a in report.built] + [asset(a, "kept") for a in report.kept],
        "failures": [{"asset": f.asset, "source": f.source, "error": f.text} for f in report.failed],
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    return f"{count / 1e6:,.2f} MB" if count >= 1_000_000 else f"{count / 1e3:,.1f} KB"


def _length(metres: float | None) -> str:
    if metres is None:
        return "–"
    for factor, unit in ((1, "m"), (1e3, "mm"), (1e6, "µm")):
        if metres * factor >= 1 or unit == "µm":
            return f"{metres * factor:.3g} {unit}"
    return "0"
