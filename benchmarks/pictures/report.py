"""The tables of judged pictures."""

from __future__ import annotations

from collections.abc import Sequence

from judge import BASE, BYTES, OURS, TIERS, Row
from reporting import table

TOLERANCE = 0.03  # of a count: a difference that the table does not mention
SEEN = 0.5  # ΔE: less is not seen, so it counts as this much in ratios


def tables(rows: Sequence[Row]) -> str:
    """A table for each part, as Markdown."""
    text = []
    for part in dict.fromkeys(row.part for row in rows):
        chosen = [row for row in rows if row.part == part]
        text.append(_tiers(chosen) if part == TIERS else _part(part, chosen))
    failures = [f"- {row.model}, {row.part}, {row.tool}: {row.reason}" for row in rows if row.reason]
    if failures:
        text.append("\n".join(["## Without measures", "", *failures, ""]))
    return "\n".join(text)


def _part(part: str, rows: Sequence[Row]) -> str:
    tools = list(dict.fromkeys(row.tool for row in rows))
    models = list(dict.fromkeys(row.model for row in rows))
    found = {(row.model, row.tool): row for row in rows}
    lines = []
    for model in models:
        own = found.get((model, OURS))
        goal = own.bytes if own and part == BYTES else own.triangles if own and part == BASE else _number(part)
        others = [row for row in rows if row.model == model and row.tool != OURS]
        cells = [_cell(found.get((model, tool)), goal, in_bytes=part == BYTES) for tool in tools]
        lines.append(
            [model, _count(goal, in_bytes=part == BYTES), *cells, _ratio(own, others, goal, in_bytes=part == BYTES)]
        )
    unit = "KB" if part == BYTES else "triangles"
    title = part if part in (BASE, BYTES) else f"{part} triangles"
    head = ["model", unit, *tools, "our ΔE ÷ best other"]
    return "\n".join([f"## {title[0].upper()}{title[1:]}", "", *table(head, lines), ""])


def _cell(row: Row | None, goal: int, *, in_bytes: bool) -> str:
    if row is None or row.measures is None:
        return "–"
    m = row.measures
    text = f"{m.overlap:.3f} / {m.colour:.1f} / {m.flip:.3f}"
    amount = row.bytes if in_bytes else row.triangles
    return text if abs(amount - goal) <= TOLERANCE * goal else f"{text} ({_count(amount, in_bytes=in_bytes)})"


def _count(value: int, *, in_bytes: bool) -> str:
    return f"{value / 1000:,.1f}" if in_bytes else f"{value:,}"


def _ratio(own: Row | None, others: Sequence[Row], goal: int, *, in_bytes: bool) -> str:
    """Our ΔE divided by the least of the other tools that keep within the goal, where ΔE is at least SEEN."""
    within = [
        row.measures.colour
        for row in others
        if row.measures and (row.bytes if in_bytes else row.triangles) <= (1 + TOLERANCE) * goal
    ]
    if not own or not own.measures or not within:
        return "–"
    return f"{max(own.measures.colour, SEEN) / max(min(within), SEEN):.2f}"


def _tiers(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        m = row.measures
        values = [f"{m.overlap:.3f}", f"{m.colour:.1f}", f"{m.far:.1%}", f"{m.flip:.3f}"] if m else ["–"] * 4
        lines.append(
            [row.model, row.tool.removeprefix("tier "), f"{row.triangles:,}", f"{row.bytes / 1000:,.0f}", *values]
        )
    head = ["model", "tier", "triangles", "KB to here", "overlap", "ΔE", "over 10", "FLIP"]
    return "\n".join(["## Cuts through the trees", "", *table(head, lines), ""])


def _number(part: str) -> int:
    return int(part.replace(",", ""))
