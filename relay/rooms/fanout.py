"""Selects the poses that each client gets in a tick. Pure.

In **full mode** all clients get the same frame: the poses that changed since the last tick, and once per second a
keyframe with all poses.

A large room would overload its clients: 1,000 participants at 30 Hz are 8 Mbit/s for each of them. In **cell mode**
clients still get all participants, but most of them at 5 Hz. For that the participants take turns by pid: each tick
contains the *far block*, the records of those whose turn it is. The far block is the same for all clients, so a
participant who moves to another cell is never missed and needs no bookkeeping. To the far block, the frame of each cell
adds the changed poses of its near cells, within a budget. The budget is in bytes per client instead of metres, so it
also holds in a dense crowd. Clients see ordinary ticks with fewer records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ..frames import BINARY, Frame
from ..protocol.poses import RECORD_HEADER, TICK_HEADER, tick_header, to_tick_ms
from .cells import Cell, GroundPosition, divide
from .latest_poses import LatestPoses

KEYFRAME_INTERVAL_S: Final = 1.0  # repairs poses that a delta missed, and shows a client that the relay is alive
FAR_HZ: Final = 5.0
MAX_FAR_SHARE: Final = 0.92  # of the budget; beyond it the far rate falls, so that near participants stay smooth
DIVIDE_INTERVAL_S: Final = 0.5  # a participant walks half a metre in that time
FRAME_OVERHEAD_BYTES: Final = 4 + TICK_HEADER.size  # WebSocket header and tick header
HYSTERESIS: Final = 0.9  # a room leaves cell mode below this share of the limit


@dataclass(frozen=True, slots=True)
class TickFrames:
    """The frames of one tick. None stands for a tick without records, which need not be sent."""

    shared: Frame | None
    by_pid: dict[int, Frame | None] = field(default_factory=dict)  # instead of `shared`


class Fanout:
    """Makes the ticks of a room, or of one half of it.

    `full_up_to` is the number of participants up to which the room is in full mode, `client_bps` the budget in cell
    mode.
    """

    def __init__(self, poses: LatestPoses, full_up_to: int, client_bps: int) -> None:
        self.in_cells = False
        self._poses = poses
        self._full_up_to = full_up_to
        self._client_bps = client_bps
        self._sent = 0  # serial of the newest change that was sent
        self._keyframe_at = -math.inf
        self._keyframe: Frame | None = None  # of this tick
        self._cells: list[Cell] = []
        self._divided_at = -math.inf
        self._turn = 0
        self._far_sent = [0]  # by turn: serial of the newest change that was sent in its far block
        self._refreshed_at = [-math.inf]  # by turn: time of the last far block with all its poses

    def tick(self, now: float, participants: int, hz: float) -> TickFrames:
        """The frames of this tick. `participants` is the number of those present, `hz` the rate of the calls."""
        self._keyframe = None
        limit = self._full_up_to * (HYSTERESIS if self.in_cells else 1.0)
        if (participants > limit) != self.in_cells:
            self.in_cells = not self.in_cells
            self._divided_at = -math.inf
            self._far_sent, self._refreshed_at = [self._poses.serial], [now]
            return TickFrames(self._restart(now))
        if self.in_cells:
            return self._cell_tick(now, hz)
        if now - self._keyframe_at >= KEYFRAME_INTERVAL_S:
            return TickFrames(self._restart(now))
        records = self._poses.changed_since(self._sent, now)
        self._sent = self._poses.serial
        return TickFrames(_frame(now, records) if records else None)

    def keyframe(self, now: float) -> Frame:
        """A frame with all poses, for clients that joined or missed a tick. Call it after `tick`, at the same time."""
        self._keyframe = self._keyframe or _frame(now, self._poses.all_records(now))
        return self._keyframe

    def _restart(self, now: float) -> Frame:
        """A keyframe for all clients, after which ticks contain only changes again."""
        self._keyframe_at = now
        self._sent = self._poses.serial
        return self.keyframe(now)

    def _cell_tick(self, now: float, hz: float) -> TickFrames:
        if now - self._divided_at >= DIVIDE_INTERVAL_S:
            self._divide(hz)
            self._divided_at = now
        turns = len(self._far_sent)
        turn = self._turn = (self._turn + 1) % turns
        refresh = now - self._refreshed_at[turn] >= KEYFRAME_INTERVAL_S
        since = -1 if refresh else self._far_sent[turn]
        far: list[bytes] = []
        changed: dict[int, bytes] = {}  # by pid, of those whose turn it is not
        for slot in self._poses:
            if slot.pid % turns == turn:
                if slot.serial > since:
                    far.append(slot.record(now))
            elif slot.serial > self._sent:
                changed[slot.pid] = slot.record(now)
        self._sent = self._far_sent[turn] = self._poses.serial
        if refresh:
            self._refreshed_at[turn] = now

        # An empty far block is still sent once per second (in turn 0), to show clients that the relay is alive.
        shared = _frame(now, far) if far or (refresh and turn == 0) else None
        far_block = b"".join(far)
        records_of_cells = [[changed[pid] for pid in cell.pids if pid in changed] for cell in self._cells]
        by_pid: dict[int, Frame | None] = {}
        for cell in self._cells:
            near = [record for index in cell.near for record in records_of_cells[index]]
            if near:
                header = tick_header(to_tick_ms(now), len(far) + len(near))
                frame = Frame(BINARY, (header, far_block, *near))
                by_pid.update(dict.fromkeys(cell.pids, frame))
        return TickFrames(shared, by_pid)

    def _divide(self, hz: float) -> None:
        """Divide the room into cells, and adapt the number of turns to the number of participants."""
        positions = [
            GroundPosition(slot.pid, *slot.ground_position, RECORD_HEADER.size + len(slot.body)) for slot in self._poses
        ]
        total = sum(position.record_bytes for position in positions)
        budget = self._client_bps / 8.0 / hz - FRAME_OVERHEAD_BYTES  # bytes per tick
        turns = max(round(hz / FAR_HZ), math.ceil(total / (MAX_FAR_SHARE * budget)), 1)
        if turns != len(self._far_sent):
            # Participants change turns, so each far block must repeat the changes that any turn still has to send.
            self._far_sent = [min(self._far_sent)] * turns
            self._refreshed_at = [min(self._refreshed_at)] * turns
        self._cells = divide(positions, near_bytes=budget - total / turns)


def _frame(now: float, records: Sequence[bytes]) -> Frame:
    return Frame(BINARY, (tick_header(to_tick_ms(now), len(records)), *records))
