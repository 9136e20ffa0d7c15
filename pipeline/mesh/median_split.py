"""Cut points into equal parts at the median of their longest axis, for region trees and bounding volume hierarchies.

The points are sorted along each axis once. Each cut keeps all three orders sorted within both parts, so that finding a
median needs no comparisons.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from .compiled import compiled, compiled_inner


class PartitionScratch(NamedTuple):
    """Scratch arrays of `part_at_median`, both (n,): whether a point goes to the upper part; upper points to copy."""

    upper: AnyArray
    spare: AnyArray


@compiled
def split_at_medians(points: FloatArray, levels: int) -> tuple[IntArray, IntArray]:
    """Cut (n, 3) points `levels` times at the median, each part along its longest side.

    Returns an order (n,) of the points in which each part is contiguous, and the bounds (2^levels + 1,) of the parts.
    """
    orders, scratch = sort_along_axes(points), partition_scratch(len(points))
    bounds = np.array([0, len(points)])
    for _ in range(levels):
        finer = np.empty(2 * len(bounds) - 1, np.int64)
        finer[0] = 0
        for i in range(len(bounds) - 1):
            low, high = bounds[i], bounds[i + 1]
            finer[2 * i + 1], finer[2 * i + 2] = (low + high) >> 1, high
            part_at_median(points, orders, scratch, low, (low + high) >> 1, high)
        bounds = finer
    return orders[0].astype(np.int64), bounds


@compiled
def sort_along_axes(points: FloatArray) -> AnyArray:
    """The indices (3, n) of (n, 3) points sorted by each coordinate, rounded to float32; equal coordinates keep order.

    A radix sort with three digits of eleven bits. Each index is the lower half of an integer whose upper half is its
    coordinate, so that the sort reads memory in sequence.
    """
    count = len(points)
    orders, values = np.empty((3, count), np.int32), np.empty(count, np.float32)
    raw = values.view(np.uint32)
    keys, spare = np.empty(count, np.uint64), np.empty(count, np.uint64)
    for axis in range(3):
        for i in range(count):
            values[i] = points[i, axis]
        starts = np.zeros((3, 2049), np.int64)
        for i in range(count):
            # With these bits flipped, unsigned integers sort as floats do.
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


@compiled
def partition_scratch(count: int) -> PartitionScratch:
    return PartitionScratch(np.empty(count, np.uint8), np.empty(count, np.int32))


@compiled_inner
def part_at_median(
    points: FloatArray, orders: AnyArray, scratch: PartitionScratch, low: int, half: int, high: int
) -> None:
    """Cut orders[:, low … high − 1] at `half` along the longest side of these points; all three orders stay sorted."""
    axis, longest = 0, -1.0
    for k in range(3):
        length = points[orders[k, high - 1], k] - points[orders[k, low], k]
        if length > longest:
            axis, longest = k, length
    upper, spare = scratch
    for place in range(low, high):
        upper[orders[axis, place]] = place >= half
    for k in range(3):
        if k == axis:
            continue
        lower_end, upper_count = np.int64(low), np.int64(0)
        for place in range(low, high):  # writes to both parts and advances one: no branch to mispredict
            point = orders[k, place]
            is_upper = np.int64(upper[point])
            orders[k, lower_end], spare[upper_count] = point, point
            lower_end += 1 - is_upper
            upper_count += is_upper
        for i in range(upper_count):
            orders[k, half + i] = spare[i]
