"""Median"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner


@compiled
def split_at_medians(points: FloatArray, levels: int) -> tuple[IntArray, IntArray]:
    """Cut (n, 3) points so many times at the median, each part along its longest side: their order, in which parts
    stand one after the other, and the bounds (2^levels + 1,) of the parts."""
    orders, room = sort_along_axes(points), partition_scratch(len(points))
    bounds = np.array([0, len(points)])
    for _ in range(levels):
        finer = np.empty(2 * len(bounds) - 1, np.int64)
        finer[0] = 0
        for i in range(len(bounds) - 1):
            low, high = bounds[i], bounds[i + 1]
            finer[2 * i + 1], finer[2 * i + 2] = (low + high) >> 1, high
            part_at_median(points, orders, room, low, (low + high) >> 1, high)
        bounds = finer
    return orders[0].astype(np.int64), bounds


@compiled
def sort_along_axes(points: FloatArray) -> AnyArray:
    """The numbers of (n, 3) points in the order of each coordinate (3, n), rounded to float32; equal ones as they come.

    Radix sort, three digits of eleven bits: parts of equal size need no comparisons after that. Each number moves with
    its coordinate, in the lower half of an integer: it is read in sequence, not from wherever the number points.
    """
    count = len(points)
    orders, values = np.empty((3, count), np.int32), np.empty(count, np.float32)
    raw = values.view(np.uint32)
    keys, spare = np.empty(count, np.uint64), np.empty(count, np.uint64)
    for axis in range(3):
        for i in range(count):
            values[i] = points[i, axis]
        starts = np.zeros((3, 2049), np.int64)
        for i in range(count):  # so that unsigned integers sort as floats do
            bits = raw[i] ^ (np.uint32(0xFFFFFFFF) if raw[i] >> np.uint32(31) else np.uint32(0x80000000))
            keys[i] = (np.uint64(bits) << np.uint64(32)) | np.uint64(i)
            for digit in range(3):
                starts[digit, 1 + ((bits >> np.uint32(11 * digit)) & np.uint32(2047))] += 1
        for digit in range(3):
            for value in range(2048):
                starts[digit, value + 1] += starts[digit, value]
            for i in range(count):
                value = (keys[i] >> np.uint64(32 + 11 * digit)) & np.uint64(2047)
                spare[starts[digit, value]] = keys[i]
                starts[digit, value] += 1
            keys, spare = spare, keys
        for i in range(count):
            orders[axis, i] = np.int32(keys[i] & np.uint64(0xFFFFFFFF))
    return orders


class PartitionScratch(NamedTuple):
    """upper: (n,) which points go to the upper part; spare: (n,) those, on their way."""

    upper: AnyArray
    spare: AnyArray


@compiled
def partition_scratch(count: int) -> PartitionScratch:
    return PartitionScratch(np.empty(count, np.uint8), np.empty(count, np.int32))


@compiled_inner
def part_at_median(
    points: FloatArray, orders: AnyArray, room: PartitionScratch, low: int, half: int, high: int
) -> None:
    """Cut orders[:, low … high − 1] at `half` along the longest side of these points; all three stay sorted."""
    axis, widest = 0, -1.0
    for k in range(3):
        spread = points[orders[k, high - 1], k] - points[orders[k, low], k]
        if spread > widest:
            axis, widest = k, spread
    upper, spare = room
    for place in range(low, high):
        upper[orders[axis, place]] = place >= half
    for k in range(3):
        if k == axis:
            continue
        below, above = low, 0
        for place in range(low, high):  # both are written, one counts: nothing to mispredict
            one = orders[k, place]
            orders[k, below], spare[above] = one, one
            below += 1 - upper[one]
            above += upper[one]
        for i in range(above):
            orders[k, half + i] = spare[i]
