"""Spatial cells of a large room: who stands together, and which cells are near to which. Pure.

Cells hold equally many people, not equally much ground: a kd split at the median, as often as needed. A grid
would have most cells empty and, where a crowd stands, one that holds everybody.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CELL_PEOPLE: Final = 8  # few enough that a cell fits the budget of near ones; each cell costs one frame per tick


@dataclass(frozen=True, slots=True)
class Standing:
    """A participant on the ground: metres, and the bytes of their record in a tick."""

    pid: int
    x: float
    z: float
    size: int


@dataclass(frozen=True, slots=True)
class Cell:
    pids: tuple[int, ...]
    near: tuple[int, ...]  # indices of the cells that its people see at the full rate, its own first


def divide(people: Sequence[Standing], near_bytes: float) -> list[Cell]:
    """Everyone in one cell each; `near` cells together have records of at most `near_bytes`.

    A cell's own people come first, then the nearest cells, until the next would be too much.
    """
    groups = _split(list(people)) if people else []
    centres = [(_mean([p.x for p in group]), _mean([p.z for p in group])) for group in groups]
    sizes = [sum(p.size for p in group) for group in groups]
    least = min(sizes, default=1)
    cells = []
    for index, (group, (x, z)) in enumerate(zip(groups, centres, strict=True)):
        distances = [((cx - x) ** 2 + (cz - z) ** 2, i) for i, (cx, cz) in enumerate(centres)]
        distances[index] = (-1.0, index)
        near, left = [], near_bytes
        for _, i in heapq.nsmallest(int(near_bytes // least), distances):
            left -= sizes[i]
            if left < 0.0:
                break
            near.append(i)
        cells.append(Cell(tuple(p.pid for p in group), tuple(near)))
    return cells


def _split(people: list[Standing]) -> list[list[Standing]]:
    if len(people) <= CELL_PEOPLE:
        return [people]
    xs = [p.x for p in people]
    zs = [p.z for p in people]
    # Across the longer side, so that cells stay about as long as they are wide.
    if max(xs) - min(xs) > max(zs) - min(zs):
        people.sort(key=lambda p: p.x)
    else:
        people.sort(key=lambda p: p.z)
    middle = len(people) // 2
    return _split(people[:middle]) + _split(people[middle:])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
