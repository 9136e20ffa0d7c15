"""The queue that edge collapse takes its edges from, the cheapest first.

Costs that differ by less than 0.8 % are one bucket, in which the first to come is the first to go: so a flat surface,
where nothing costs anything, is thinned out evenly. With a heap's exact order a collapse takes a third longer, and is
no nearer to its source.

Entries are never looked for and removed: each holds the stamps that its vertices had when it was made, and is passed
over once one of them has changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from .compiled import compiled, compiled_inner, int64
from .quadrics import State

FINER = 16  # bits of a float32 that a bucket does not see: sign and exponent are nine of the others
BUCKETS = (0x7F800000 >> FINER) + 1  # infinity has the last one


class Queue(NamedTuple):
    """first, last: (BUCKETS,) entries of each bucket, or −1; following: (r,) the next one in its bucket, or among those
    not in use, or −1; ends: (r, 4) both vertices and their stamps.

    unused, lowest: (1,) the first entry not in use, or −1; no bucket below has entries. cost: (1,) float32.
    """

    first: AnyArray
    last: AnyArray
    following: AnyArray
    ends: AnyArray
    unused: AnyArray
    lowest: AnyArray
    cost: AnyArray


@compiled
def queue_with_room(room: int) -> Queue:
    following = np.arange(1, room + 1).astype(np.int32)
    following[room - 1] = -1
    return Queue(
        np.full(BUCKETS, -1, np.int32),
        np.full(BUCKETS, -1, np.int32),
        following,
        np.empty((room, 4), np.int32),
        np.zeros(1, np.int64),
        np.full(1, BUCKETS),
        np.empty(1, np.float32),
    )


@compiled_inner
def clear(queue: Queue) -> None:
    for bucket in range(BUCKETS):
        while queue.first[bucket] >= 0:
            _take_first(queue, bucket)


@compiled_inner
def push(queue: Queue, cost: float, a: int, b: int, state: State) -> None:
    """Put an edge where its cost belongs. Without room, stale entries go; if there are none, the edge does."""
    if queue.unused[0] < 0:
        _drop_stale(queue, state)
    entry = int64(queue.unused[0])
    if entry < 0:
        return
    queue.unused[0] = queue.following[entry]
    ends = queue.ends[entry]
    ends[0], ends[1], ends[2], ends[3] = a, b, state.stamp[a], state.stamp[b]
    queue.cost[0] = cost
    bucket = int64(queue.cost.view(np.uint32)[0] >> np.uint32(FINER))
    _put_last(queue, bucket, entry)


@compiled_inner
def pop(queue: Queue) -> int:
    """The first entry of the lowest bucket, or −1. What it says stands until the next push."""
    while queue.lowest[0] < BUCKETS:
        if queue.first[queue.lowest[0]] >= 0:
            return _take_first(queue, queue.lowest[0])
        queue.lowest[0] += 1
    return -1


@compiled_inner
def fresh(queue: Queue, entry: int, state: State) -> bool:
    """Whether neither end of an entry's edge has changed since it was made."""
    a, b, stamp_a, stamp_b = queue.ends[entry]
    return state.stamp[a] == stamp_a and state.stamp[b] == stamp_b and not state.gone[a] and not state.gone[b]


@compiled_inner
def _put_last(queue: Queue, bucket: int, entry: int) -> None:
    queue.following[entry] = -1
    if queue.first[bucket] < 0:
        queue.first[bucket] = entry
    else:
        queue.following[queue.last[bucket]] = entry
    queue.last[bucket] = entry
    queue.lowest[0] = min(queue.lowest[0], bucket)


@compiled_inner
def _take_first(queue: Queue, bucket: int) -> int:
    entry: int = queue.first[bucket]
    queue.first[bucket] = queue.following[entry]
    queue.following[entry] = queue.unused[0]
    queue.unused[0] = entry
    return entry


@compiled_inner
def _drop_stale(queue: Queue, state: State) -> None:
    for bucket in range(BUCKETS):
        entry, queue.first[bucket] = int64(queue.first[bucket]), -1
        while entry >= 0:
            after = int64(queue.following[entry])
            if fresh(queue, entry, state):
                _put_last(queue, bucket, entry)
            else:
                queue.following[entry] = queue.unused[0]
                queue.unused[0] = entry
            entry = after
