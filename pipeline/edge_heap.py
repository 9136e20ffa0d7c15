"""The heap that edge collapse takes its edges from, the cheapest first.

Entries are never looked for and removed: each holds the stamps that its vertices had when it was made, and is passed
over once one of them has changed.
"""

from __future__ import annotations

from typing import NamedTuple

from .arrays import AnyArray, FloatArray
from .compiled import compiled_inner
from .quadrics import State


class Heap(NamedTuple):
    """cost: (h,); entry: (h, 4) both vertices and their stamps."""

    cost: FloatArray
    entry: AnyArray


@compiled_inner
def fresh(heap: Heap, i: int, state: State) -> bool:
    """Whether neither end of an entry's edge has changed since it was made."""
    a, b = heap.entry[i, 0], heap.entry[i, 1]
    unchanged = state.stamp[a] == heap.entry[i, 2] and state.stamp[b] == heap.entry[i, 3]
    return unchanged and not state.gone[a] and not state.gone[b]


@compiled_inner
def without_stale(heap: Heap, size: int, state: State) -> int:
    kept = 0
    for i in range(size):
        if fresh(heap, i, state):
            move(heap, i, kept)
            kept += 1
    for i in range(kept // 2 - 1, -1, -1):
        sink(heap, i, kept)
    return kept


@compiled_inner
def rise(heap: Heap, i: int) -> None:
    costs, entries = heap.cost, heap.entry
    cost, a, b, c, d = costs[i], entries[i, 0], entries[i, 1], entries[i, 2], entries[i, 3]
    while i > 0 and costs[(i - 1) >> 1] > cost:
        above = (i - 1) >> 1
        costs[i] = costs[above]
        for k in range(4):
            entries[i, k] = entries[above, k]
        i = above
    costs[i] = cost
    entries[i, 0], entries[i, 1], entries[i, 2], entries[i, 3] = a, b, c, d


@compiled_inner
def sink(heap: Heap, i: int, size: int) -> None:
    costs, entries = heap.cost, heap.entry
    cost, a, b, c, d = costs[i], entries[i, 0], entries[i, 1], entries[i, 2], entries[i, 3]
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and costs[child + 1] < costs[child]:
            child += 1
        if costs[child] >= cost:
            break
        costs[i] = costs[child]
        for k in range(4):
            entries[i, k] = entries[child, k]
        i = child
    costs[i] = cost
    entries[i, 0], entries[i, 1], entries[i, 2], entries[i, 3] = a, b, c, d


@compiled_inner
def move(heap: Heap, source: int, target: int) -> None:
    heap.cost[target] = heap.cost[source]
    for k in range(4):
        heap.entry[target, k] = heap.entry[source, k]
