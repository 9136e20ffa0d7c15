"""Who is told of which poses in a tick: everyone of all, or, in a large room, each cell of its surroundings. Pure.

In **full mode** one frame goes to everyone: what changed since the last, and once a second a keyframe.

A large room would drown its people: a thousand at 30 Hz are 8 Mbit/s for each. In **cell mode** everyone still
hears of everyone, but of most of them at 5 Hz. The participants take turns by pid: each tick carries the *far
block*, those whose turn it is, the same bytes for all, so that somebody who changes cells is never missed and
needs no bookkeeping. To it each cell's frame adds what changed in the near cells, as far as the budget goes.
The budget is of bytes per client, not of metres, so it holds in a crowd too. A client sees ordinary ticks
with fewer records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ..frames import BINARY, Frame
from ..protocol.poses import RECORD_HEADER_BYTES, tick_header, to_tick_ms
from .cells import Cell, Standing, divide
from .latest_poses import Bodies

KEYFRAME_INTERVAL_S: Final = 1.0  # repairs whatever a delta missed, and shows a client that the relay lives
FAR_HZ: Final = 5.0
FAR_SHARE: Final = 0.92  # of the budget; beyond it the far rate falls, so that people at hand stay smooth
DIVIDE_INTERVAL_S: Final = 0.5  # one walks half a metre in that time
FRAME_OVERHEAD_BYTES: Final = 12  # WebSocket and tick header
HYSTERESIS: Final = 0.9  # a room leaves cell mode when it is this much below the limit


@dataclass(frozen=True, slots=True)
class Ticked:
    """The frames of one tick, None where there is nothing to say."""

    shared: Frame | None
    of_pid: dict[int, Frame | None] = field(default_factory=dict)  # in place of `shared`


class Fanout:
    """The ticks of one audience. `full_up_to`: participants; `client_bps`: what one may be sent in cell mode."""

    def __init__(self, bodies: Bodies, full_up_to: int, client_bps: int) -> None:
        self.in_cells = False
        self._bodies = bodies
        self._full_up_to = full_up_to
        self._client_bps = client_bps
        self._sent = 0  # serial of the newest change that was sent
        self._keyframe_at = -math.inf
        self._keyframe: Frame | None = None  # of this tick
        self._cells: list[Cell] = []
        self._divided_at = -math.inf
        self._turn = 0
        self._far_sent = [0]  # by turn, as `_sent`
        self._refreshed_at = [-math.inf]  # by turn, as `_keyframe_at`

    def tick(self, now: float, people: int, hz: float) -> Ticked:
        """The frames of this tick. `people`: how many are present; `hz`: how often this is called."""
        self._keyframe = None
        limit = self._full_up_to * (HYSTERESIS if self.in_cells else 1.0)
        if (people > limit) != self.in_cells:
            self.in_cells = not self.in_cells
            self._divided_at = -math.inf
            self._far_sent, self._refreshed_at = [self._bodies.serial], [now]
            return Ticked(self._start_over(now))
        if self.in_cells:
            return self._tick_of_cells(now, hz)
        if now - self._keyframe_at >= KEYFRAME_INTERVAL_S:
            return Ticked(self._start_over(now))
        records = self._bodies.changed_since(self._sent, now)
        self._sent = self._bodies.serial
        return Ticked(_frame(now, records) if records else None)

    def keyframe(self, now: float) -> Frame:
        """Everyone's pose, for whoever joined or missed a tick. Call it after `tick`, at the same time."""
        self._keyframe = self._keyframe or _frame(now, self._bodies.everyone(now))
        return self._keyframe

    def _start_over(self, now: float) -> Frame:
        self._keyframe_at = now
        self._sent = self._bodies.serial
        return self.keyframe(now)

    def _tick_of_cells(self, now: float, hz: float) -> Ticked:
        if now - self._divided_at >= DIVIDE_INTERVAL_S:
            self._divide(hz)
            self._divided_at = now
        turns = len(self._far_sent)
        turn = self._turn = (self._turn + 1) % turns
        refresh = now - self._refreshed_at[turn] >= KEYFRAME_INTERVAL_S
        since = -1 if refresh else self._far_sent[turn]
        far: list[bytes] = []
        fresh: dict[int, bytes] = {}
        for placed in self._bodies:
            if placed.pid % turns == turn:
                if placed.serial > since:
                    far.append(placed.record(now))
            elif placed.serial > self._sent:
                fresh[placed.pid] = placed.record(now)
        self._sent = self._far_sent[turn] = self._bodies.serial
        if refresh:
            self._refreshed_at[turn] = now

        shared = _frame(now, far) if far or (refresh and turn == 0) else None
        block = b"".join(far)
        chunks = [[fresh[pid] for pid in cell.pids if pid in fresh] for cell in self._cells]
        of_pid: dict[int, Frame | None] = {}
        for cell in self._cells:
            near = [record for index in cell.near for record in chunks[index]]
            if near:
                header = tick_header(to_tick_ms(now), len(far) + len(near))
                frame = Frame(BINARY, (header, block, *near))
                of_pid.update(dict.fromkeys(cell.pids, frame))
        return Ticked(shared, of_pid)

    def _divide(self, hz: float) -> None:
        people = [
            Standing(placed.pid, *placed.ground, RECORD_HEADER_BYTES + len(placed.body)) for placed in self._bodies
        ]
        total = sum(standing.size for standing in people)
        budget = self._client_bps / 8.0 / hz - FRAME_OVERHEAD_BYTES
        turns = max(round(hz / FAR_HZ), math.ceil(total / (FAR_SHARE * budget)), 1)
        if turns != len(self._far_sent):
            # Who has which turn changes, so all are told what the most patient of them was not.
            self._far_sent = [min(self._far_sent)] * turns
            self._refreshed_at = [min(self._refreshed_at)] * turns
        self._cells = divide(people, near_bytes=budget - total / turns)


def _frame(now: float, records: Sequence[bytes]) -> Frame:
    return Frame(BINARY, (tick_header(to_tick_ms(now), len(records)), *records))
