"""Find the share of triangles with which a tool comes closest to a goal."""

from __future__ import annotations

from collections.abc import Callable
from math import log

TRIES = 7
NEAR = 0.97  # of the goal: close enough
AIM = 0.985
FLOOR = 0.02  # the least change by which a much smaller share still counts


def best_share(amount_of: Callable[[float], int], goal: int, first: float, tries: int = TRIES) -> float:
    """The share whose amount is the largest that is at most `goal`; if none is, the share of the least amount.

    amount_of: the triangles or bytes that a tool makes with a share of the triangles from 0 to 1. Tools miss their
    targets in both directions, and their amounts grow in steps. first: the first share to try.
    """
    found: dict[float, int] = {}
    share = min(first, 1.0)
    for attempt in range(tries):
        amount = found[share] = amount_of(share)
        if NEAR * goal <= amount <= goal or (share == 1.0 and amount <= goal):
            break
        low = max((s for s, a in found.items() if a <= goal), default=None)
        high = min((s for s, a in found.items() if a > goal), default=None)
        if high is None:
            share = min(1.0, share * min(max(AIM * goal / max(amount, 1), 1.05), 8.0))
        elif low is None:
            if len(found) > 1 and min(found.values()) > (1 - FLOOR) * sorted(found.values())[1]:
                break  # the tool comes no lower
            share = high * min(AIM * goal / amount, 0.7)
        elif high < 1.01 * low:
            break
        else:
            share = low * (high / low) ** _part(found[low], found[high], goal, bisect=attempt % 2 == 1)
    within = [(amount, -share) for share, amount in found.items() if amount <= goal]
    if within:
        return -max(within)[1]
    return min(found, key=lambda share: (found[share], share))


def _part(low: int, high: int, goal: int, *, bisect: bool) -> float:
    """The part of the way between the shares of two amounts at which to try next, from 0 to 1.

    bisect: take the middle, since amounts that jump would hold the interpolation at one end.
    """
    if bisect or low <= 0:
        return 0.5
    return min(max(log(AIM * goal / low) / log(high / low), 0.1), 0.9)
