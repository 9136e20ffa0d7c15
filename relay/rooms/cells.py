"""Spatial cells of a large room: groups of participants who stand together, and the cells near each cell. Pure.

Cells hold equal numbers of participants instead of equal areas: a kd-tree, split at the median until cells are small
enough. In a uniform grid, most cells would be empty, and a dense crowd would fall into a single one.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_CELL_PARTICIPANTS: Final = 8  # small enough for the budget of near cells; each cell costs one frame per tick


@dataclass(frozen=True, slots=True)
class GroundPosition:
    """The position of a participant on the ground in metres, and the bytes of their record in a tick."""

    pid: int
    x: float
    z: float
    record_bytes: int


@dataclass(frozen=True, slots=True)
class Cell:
    pids: tuple[int, ...]
    near: tuple[int, ...]  # indices of the cells sent to its participants at the full rate, its own first


def divide(positions: Sequence[GroundPosition], near_bytes: float) -> list[Cell]:
    """Divide participants into cells. The records of the `near` cells of each cell have at most `near_bytes` in total.

    The near cells are the cell itself, then the nearest other cells, until the next one would exceed the limit.
    """
    groups = _split(list(positions)) if positions else []
    centres = [(_mean([p.x for p in group]), _mean([p.z for p in group])) for group in groups]
    sizes = [sum(p.record_bytes for p in group) for group in groups]
    smallest = min(sizes, default=1)
    cells = []
    for index, (group, (x, z)) in enumerate(zip(groups, centres, strict=True)):
        distances = [((cx - x) ** 2 + (cz - z) ** 2, i) for i, (cx, cz) in enumerate(centres)]
        distances[index] = (-1.0, index)
        near, remaining = [], near_bytes
        for _, i in heapq.nsmallest(int(near_bytes // smallest), distances):
            remaining -= sizes[i]
            if remaining < 0.0:
                break
            near.append(i)
        cells.append(Cell(tuple(p.pid for p in group), tuple(near)))
    return cells


def _split(positions: list[GroundPosition]) -> list[list[GroundPosition]]:
    if len(positions) <= MAX_CELL_PARTICIPANTS:
        return [positions]
    xs = [p.x for p in positions]
    zs = [p.z for p in positions]
    # A split across the longer side keeps cells about as long as they are wide.
    if max(xs) - min(xs) > max(zs) - min(zs):
        positions.sort(key=lambda p: p.x)
    else:
        positions.sort(key=lambda p: p.z)
    middle = len(positions) // 2
    return _split(positions[:middle]) + _split(positions[middle:])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
