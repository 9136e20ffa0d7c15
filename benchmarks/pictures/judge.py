"""Judge candidates of models: the pipeline's own and those of other tools."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import ours
import peers
from draw import DrawError, Drawn, Studio
from measures import Measures, measure
from sheet import Cell
from sources import Model
from streamxr.pipeline.errors import ModelError

HERE = Path(__file__).parent
LEVELS = (1_500, 6_000, 15_000, 50_000)
OURS = "ours"
BASE, BYTES, TIERS = "base", "base, equal bytes", "tiers"
# Goals are rounded up, so that a slightly different base is compared with the same files of the other tools.
TRIANGLE_STEP, BYTE_STEP = 50, 500


@dataclass(frozen=True)
class Row:
    """A candidate. part: BASE, BYTES, TIERS, or a number of triangles. reason: why it has no measures."""

    model: str
    part: str
    tool: str
    triangles: int = 0
    bytes: int = 0
    calls: int = 0
    measures: Measures | None = None
    reason: str = ""

    def as_json(self) -> dict[str, object]:
        found = {name: value for name, value in asdict(self).items() if name != "measures" and value != ""}
        rounded = {k: round(v, 5) for k, v in asdict(self.measures).items()} if self.measures else {}
        return {**found, **rounded}


@dataclass(frozen=True)
class Plan:
    """levels: numbers of triangles. tools: names of peers. bundle: to judge instead of a new build."""

    levels: tuple[int, ...]
    tools: tuple[str, ...]
    tiers: bool
    equal_bytes: bool
    bundle: Path | None


class Judge:
    """Judges models one by one. sheets: by part, a row of cells for each model."""

    def __init__(self, studio: Studio, cache: Path, scratch: Path, plan: Plan) -> None:
        self._studio, self._cache, self._scratch, self._plan = studio, cache, scratch, plan
        self._recipe = hashlib.sha256((HERE / "measures.py").read_bytes()).hexdigest()
        self._given = ours.assets(plan.bundle) if plan.bundle else {}
        self.sheets: dict[str, list[tuple[str, list[Cell]]]] = {}

    def judge(self, model: Model) -> Iterator[Row]:
        """The rows of a model. Failures are rows with a reason."""
        try:
            path = model.as_glb(self._scratch / "sources")
            drawn, key = self._studio.draw_with_key(path)
        except (ModelError, peers.PeerError, DrawError) as error:
            yield Row(model.name, BASE, OURS, reason=f"no source: {error}")
            return
        yield from _OneModel(self, model, path, drawn, key).rows()

    # The following are for _OneModel.

    @property
    def plan(self) -> Plan:
        return self._plan

    def scratch(self, model: Model) -> Path:
        folder = self._scratch / model.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def asset(self, model: Model, triangles: int | None = None) -> ours.Asset:
        """The asset of a default build or, in one unsplit tree each, with that many triangles. Raises BuildError."""
        if self._plan.bundle:
            if model.path.name not in self._given or triangles is not None:
                raise ours.BuildError("not in the bundle")
            return self._given[model.path.name]
        # Without splits, the root of a tree may have any number of triangles.
        options = [] if triangles is None else ["--depth", "0", "--base-triangles", str(triangles)]
        return ours.built(model.path, self._cache / "builds", *options)

    def peer(self, tool: str, source: peers.Source, goal: peers.Goal) -> Path:
        return peers.candidate(tool, source, goal, self._cache / "peers")

    def measured(self, reference: Drawn, key: str, path: Path) -> tuple[Drawn, Measures]:
        """Draw and measure a candidate. Measures are kept by the names of both sets of pictures. Raises DrawError."""
        drawn, own = self._studio.draw_with_key(path, reference.box)
        kept = self._cache / "measures" / f"{hashlib.sha256((self._recipe + key + own).encode()).hexdigest()[:32]}.json"
        if kept.is_file():
            return drawn, Measures(**json.loads(kept.read_text()))
        found = measure(reference.pictures, drawn.pictures)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(asdict(found)))
        return drawn, found


class _OneModel:
    def __init__(self, judge: Judge, model: Model, path: Path, drawn: Drawn, key: str) -> None:
        self._judge, self._model, self._drawn, self._key = judge, model, drawn, key
        self._source = peers.Source(path, judge.scratch(model))

    def rows(self) -> Iterator[Row]:
        plan = self._judge.plan
        try:
            asset = self._judge.asset(self._model)
        except ours.BuildError as error:
            yield Row(self._model.name, BASE, OURS, reason=str(error))
            asset = None
        if asset:
            base = self._row(BASE, OURS, lambda: asset.base)
            yield base
            yield from self._peers(BASE, peers.Goal(triangles=up(base.triangles, TRIANGLE_STEP)))
            if plan.equal_bytes:
                yield self._row(BYTES, OURS, lambda: asset.base)
                goal = peers.Goal(bytes=up(base.bytes, BYTE_STEP), pixels=asset.base_pixels)
                yield from self._peers(BYTES, goal)
            if plan.tiers:
                for tier in asset.tiers:
                    row = self._row(TIERS, f"tier {tier}", lambda tier=tier: asset.cut(tier))
                    yield replace(row, bytes=asset.bytes_to(tier))
        for level in plan.levels:
            if level < self._drawn.triangles:
                yield from self._level(level)

    def _level(self, level: int) -> Iterator[Row]:
        def cut() -> Path:
            asset = self._judge.asset(self._model, level)
            return asset.cut(0)

        if not self._judge.plan.bundle:
            yield self._row(f"{level:,}", OURS, cut)
        yield from self._peers(f"{level:,}", peers.Goal(triangles=level))

    def _peers(self, part: str, goal: peers.Goal) -> Iterator[Row]:
        for tool in self._judge.plan.tools:
            yield self._row(part, tool, lambda tool=tool: self._judge.peer(tool, self._source, goal))

    def _row(self, part: str, tool: str, make: Callable[[], Path]) -> Row:
        start = time.monotonic()
        path, drawn, found, reason = None, None, None, ""
        try:
            path = make()
            drawn, found = self._judge.measured(self._drawn, self._key, path)
        except (peers.PeerError, ours.BuildError, DrawError) as error:
            reason = str(error)
        counts = (drawn.triangles, path.stat().st_size, drawn.calls) if drawn and path else (0, 0, 0)
        row = Row(self._model.name, part, tool, *counts, found, reason)
        cells = self._sheet_row(part)
        cells.append(Cell(tool, drawn, found, reason))
        say(f"{row.model}, {part}, {tool}: {found or reason}, {time.monotonic() - start:.1f} s")
        return row

    def _sheet_row(self, part: str) -> list[Cell]:
        rows = self._judge.sheets.setdefault(part, [])
        if not rows or rows[-1][0] != self._model.name:
            rows.append((self._model.name, [Cell("source", self._drawn)]))
        return rows[-1][1]


def up(value: int, step: int) -> int:
    """The next multiple of `step` that is at least `value`."""
    return -(-value // step) * step


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def judged(judge: Judge, models: Sequence[Model]) -> list[Row]:
    rows = []
    for number, model in enumerate(models, 1):
        say(f"{model.name} ({number} of {len(models)})")
        rows += list(judge.judge(model))
    return rows
