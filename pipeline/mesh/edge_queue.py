"""The priority queue of edge collapse: a bucket queue that yields the cheapest edges first.

Costs that differ by less than 0.8 % share a bucket, and within a bucket entries are first in, first out: so a flat
surface, where no collapse has a cost, is thinned out evenly. With the exact order of a heap a collapse takes a third
longer, and its result is no nearer to its source.

Entries are never searched and removed. Each holds the stamps that its vertices had when it was pushed, and collapse
skips it if one of them has changed since.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray
from .compiled import compiled, compiled_inner, int64
from .quadrics import CollapseState

DROPPED_BITS = 16  # of a float32's 32 bits: a bucket's index is the others, nine of which are sign and exponent
BUCKETS = (0x7F800000 >> DROPPED_BITS) + 1  # the last bucket is that of infinity


class Queue(NamedTuple):
    """Linked lists of entries, one list for each bucket and one for unused entries.

    first, last: (BUCKETS,) first and last entry of each bucket; first is −1 if it is empty.
    following: (r,) the next entry in the list, or −1; ends: (r, 4) both vertices of the edge and their stamps;
    final: (r,) whether the entry's cost is complete.
    unused: (1,) the first unused entry, or −1; lowest: (1,) no bucket below it has entries; cost: (1,) float32 scratch.
    """

    first: AnyArray
    last: AnyArray
    following: AnyArray
    ends: AnyArray
    final: AnyArray
    unused: AnyArray
    lowest: AnyArray
    cost: AnyArray


@compiled
def make_queue(capacity: int) -> Queue:
    following = np.arange(1, capacity + 1).astype(np.int32)
    following[capacity - 1] = -1
    return Queue(
        np.full(BUCKETS, -1, np.int32),
        np.full(BUCKETS, -1, np.int32),
        following,
        np.empty((capacity, 4), np.int32),
        np.zeros(capacity, np.bool_),
        np.zeros(1, np.int64),
        np.full(1, BUCKETS),
        np.empty(1, np.float32),
    )


@compiled_inner
def push(queue: Queue, cost: float, a: int, b: int, state: CollapseState, final: bool) -> None:
    """Add an edge to the bucket of its cost. A full queue first drops outdated entries; if it has none, it ignores the
    edge."""
    if queue.unused[0] < 0:
        _drop_outdated(queue, state)
    entry = int64(queue.unused[0])
    if entry < 0:
        return
    queue.unused[0] = queue.following[entry]
    ends = queue.ends[entry]
    ends[0], ends[1], ends[2], ends[3] = a, b, state.stamp[a], state.stamp[b]
    queue.final[entry] = final
    queue.cost[0] = cost
    bucket = int64(queue.cost.view(np.uint32)[0] >> np.uint32(DROPPED_BITS))
    _append(queue, bucket, entry)


@compiled_inner
def pop(queue: Queue) -> int:
    """Remove and return the first entry of the lowest bucket, or −1. Its `ends` are valid until the next push."""
    while queue.lowest[0] < BUCKETS:
        if queue.first[queue.lowest[0]] >= 0:
            return _take_first(queue, queue.lowest[0])
        queue.lowest[0] += 1
    return -1


@compiled_inner
def is_current(queue: Queue, entry: int, state: CollapseState) -> bool:
    """Whether neither end of an entry's edge has changed since it was pushed."""
    a, b, stamp_a, stamp_b = queue.ends[entry]
    return state.stamp[a] == stamp_a and state.stamp[b] == stamp_b and not state.gone[a] and not state.gone[b]


@compiled_inner
def _append(queue: Queue, bucket: int, entry: int) -> None:
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
def _drop_outdated(queue: Queue, state: CollapseState) -> None:
    for bucket in range(BUCKETS):
        entry, queue.first[bucket] = int64(queue.first[bucket]), -1
        while entry >= 0:
            after = int64(queue.following[entry])
            if is_current(queue, entry, state):
                _append(queue, bucket, entry)
            else:
                queue.following[entry] = queue.unused[0]
                queue.unused[0] = entry
            entry = after
