"""One simulated participant: joins, walks, grabs and throws, comes back when the line is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.messages import VERSION
from ..protocol.moves import Move, encode_moves
from ..protocol.poses import POSE_UP, TICK_DOWN, pack_quaternion
from .client_socket import NO_CLOSE_FRAME, ClientSocket
from .statistics import Tally
from .throws import CARRY_STEPS, Carry
from .walks import FLAGS, STEPS_PER_S, Walk

KEPT_STEPS: Final = 128  # of one's own, to tell how old a pose is that somebody received: 4 s at 30 Hz
BACKOFF_S: Final = 0.5  # doubles with each attempt
MOST_BACKOFF_S: Final = 15.0
ARRIVAL_S: Final = 20.0
LATE_TICKS: Final = 1.75  # a gap of more ticks than this has one missing
SETTLED_S: Final = 5.0  # in for this long: the next loss is waited for from the start
FINAL_CODES: Final = frozenset((1008, 1009, 4401, 4403, 4404, 4409, 4426))

_POSE_HEADER = struct.Struct("<BBHI")
_TICK_HEADER = struct.Struct("<xxHI")  # count, tick_ms
_RECORD_HEADER = struct.Struct("<HBB")
_RECORD_MM_BYTES: Final = 34
_IDENTITY = struct.pack("<I", pack_quaternion((0.0, 0.0, 0.0, 1.0)))
_STRIDE: Final = 40_503  # a prime: over time every record of a frame is sampled, near the front and near the end


@dataclass(slots=True)
class Shared:
    """An object as the room knows it."""

    owner: int | None
    epoch: int


@dataclass(slots=True)
class SimulatedRoom:
    """What all walkers in one room know together; each event counts once, by its `rev`."""

    name: str
    walkers: dict[int, Walker] = field(default_factory=dict)  # by pid
    objects: dict[int, Shared] = field(default_factory=dict)
    incarnation: object = None
    rev: int = -1

    def hear(self, message: dict[str, Any]) -> None:
        rev = message["rev"]
        if rev <= self.rev:
            return
        self.rev = rev
        match message["type"]:
            case "spawned":
                self.objects[message["id"]] = Shared(None, 0)
            case "grabbed":
                self.objects[message["id"]] = Shared(message["owner"], message["epoch"])
            case "released":
                self.objects[message["id"]] = Shared(None, message["epoch"])
            case "deleted":
                self.objects.pop(message["id"], None)


Connect = Callable[["Walker"], Awaitable[ClientSocket]]


class Walker:
    """`spawns`: how many objects this one brings into its room."""

    def __init__(
        self,
        room: SimulatedRoom,
        name: str,
        walk: Walk,
        tally: Tally,
        *,
        seed: int,
        token: str | None = None,
        asset: str = "",
        spawns: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.room = room
        self.name = name
        self.pid = 0  # 0: not in the room
        self.present: set[int] = set()  # the others
        self.tick_hz = 30
        self.over = False  # it left, or was told to stay away
        self._walk = walk
        self._tally = tally
        self._chance = random.Random(seed)
        self._token = token
        self._asset = asset
        self._spawns = spawns
        self._clock = clock
        self._socket: ClientSocket | None = None
        self._gone: asyncio.Future[tuple[int, str]] | None = None
        self._settled: asyncio.Future[None] | None = None  # in the room, or gone
        self._leaving = asyncio.Event()
        self._resume: str | None = None
        self._retry_s: float | None = None
        self._step = 0
        self._sent: list[tuple[bytes, float]] = [(b"", 0.0)] * KEPT_STEPS
        self._tick_ms = 0
        self._sampled: list[float] = []
        self._until_sample = 1
        self._cursor = seed
        self._carry: Carry | None = None
        self._asked_for: int | None = None
        self.next_grab = self._pause()  # step

    async def live(self, connect: Connect, door: asyncio.Semaphore) -> None:
        """Be in the room until `leave`, or until the relay says to stay away.

        `connect` opens the socket: it is given this walker and may raise OSError. Only so many as `door` lets
        through are on their way in at once.
        """
        attempt = 0
        while not self._leaving.is_set():
            started_at = self._clock()
            code, reason = await self._stay(connect, door)
            if self._leaving.is_set():
                break
            self._tally.lost(code, reason)
            if code in FINAL_CODES:
                break
            attempt = 0 if self._clock() - started_at > SETTLED_S else attempt + 1
            wait, self._retry_s = self._retry_s, None
            if wait is None:
                wait = min(BACKOFF_S * 2.0**attempt, MOST_BACKOFF_S) * self._chance.uniform(0.5, 1.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._leaving.wait()
        self.over = True

    async def _stay(self, connect: Connect, door: asyncio.Semaphore) -> tuple[int, str]:
        """One connection, to its end: close code and reason."""
        loop = asyncio.get_running_loop()
        self._gone = loop.create_future()
        self._settled = loop.create_future()
        socket: ClientSocket | None = None
        try:
            async with door, asyncio.timeout(ARRIVAL_S):
                socket = await connect(self)
                await self._settled
            return await self._gone
        except (OSError, TimeoutError) as error:  # also what TLS complains of
            return NO_CLOSE_FRAME, str(error) or "no answer in time"
        finally:
            if socket and not self._gone.done():
                socket.abort()
            self._socket = None

    def leave(self) -> bool:
        """Close the line, properly; `live` ends when the relay has answered. False: there is no line."""
        self._leaving.set()
        if self._socket:
            self._socket.close(1000)
        return self._socket is not None

    def cut(self) -> None:
        if self._socket:
            self._socket.abort()

    def step(self, now: float) -> None:
        """Send the next pose, and whatever is to be done with objects."""
        socket = self._socket
        if not socket or not self.pid:
            return
        step = self._step
        self._step = step + 1
        body = self._walk.body(step)
        self._sent[step % KEPT_STEPS] = (body, now)
        socket.send_binary(_POSE_HEADER.pack(POSE_UP, FLAGS, step & 0xFFFF, self._tick_ms) + body)
        self._tally.poses_sent += 1
        if self._asset:
            self._handle_objects(socket, step)

    # --- what comes from the socket

    def opened(self, socket: ClientSocket) -> None:
        self._socket = socket
        hello = {"type": "hello", "v": VERSION, "name": self.name, "color": self._color()}
        if self._token:
            hello["token"] = self._token
        if self._resume:
            hello["resume"] = self._resume
        self._say(hello)

    def heard_text(self, payload: bytes) -> None:
        message = json.loads(payload)
        match message["type"]:
            case "joined":
                self.present.add(message["pid"])
            case "left":
                self.present.discard(message["pid"])
            case "spawned" | "grabbed" | "released" | "deleted":
                self._hear_object(message)
            case "welcome":
                self._enter(message)
            case "pace":
                self.tick_hz = message["tick_hz"]
            case "drain":
                self._retry_s = message["retry_ms"] / 1000.0
            case "denied":
                self._asked_for = None
                self._tally.denied += 1
            case "error":
                self._tally.errors[message["code"]] += 1

    def heard_binary(self, buffer: bytes | bytearray, start: int, end: int, size: int) -> None:
        if size < 8 or buffer[start] != TICK_DOWN:
            return
        count, tick_ms = _TICK_HEADER.unpack_from(buffer, start)
        tally = self._tally
        tally.poses_received += count
        if tick_ms != self._tick_ms:
            gap_s = ((tick_ms - self._tick_ms) & 0xFFFFFFFF) * 0.001
            # Steps are taken at STEPS_PER_S, so of faster ticks some may have nothing to say.
            expected = gap_s * min(self.tick_hz, STEPS_PER_S)
            if self._tick_ms and expected > LATE_TICKS:
                tally.ticks_missed += round(expected) - 1
            tally.ticks_received += 1
            self._tick_ms = tick_ms
        self._until_sample -= 1
        if self._until_sample <= 0:
            self._until_sample = tally.sample_every
            # Frames with a body in float32 are not of walkers alone, and are not worth the search.
            if count and size == 8 + count * _RECORD_MM_BYTES:
                self._cursor += _STRIDE
                self._sample(buffer, start + 8 + _RECORD_MM_BYTES * (self._cursor % count), end)

    def heard_all(self) -> None:
        if self._sampled:
            now = self._clock()
            for sent_at in self._sampled:
                self._tally.ages.add(now - sent_at)
            self._sampled.clear()

    def lost(self, code: int, reason: str) -> None:
        if self.pid:
            if self.room.walkers.get(self.pid) is self:
                del self.room.walkers[self.pid]
            self._tally.present -= 1
        self.pid = 0
        self.present.clear()
        self._carry = self._asked_for = None
        self._socket = None
        if self._gone and not self._gone.done():
            self._gone.set_result((code, reason))
        if self._settled and not self._settled.done():
            self._settled.set_result(None)

    # ---

    def _enter(self, welcome: dict[str, Any]) -> None:
        room = self.room
        self.pid = welcome["pid"]
        self.tick_hz = welcome["tick_hz"]
        self._tick_ms = 0
        self._resume = welcome.get("resume")
        self.present = {other["pid"] for other in welcome["participants"]}
        self._tally.entered()
        incarnation = welcome.get("incarnation")
        if not room.walkers or incarnation != room.incarnation:
            room.incarnation = incarnation
            room.objects.clear()
            room.rev = welcome.get("rev", -1)
            for each in welcome.get("objects") or ():
                room.objects[each["id"]] = Shared(each["owner"], each["epoch"])
        room.walkers[self.pid] = self
        if self._settled and not self._settled.done():
            self._settled.set_result(None)
        for ref in range(self._spawns - len(room.objects) if self._asset else 0):
            x, _, z = self._walk.right_hand_mm(ref * CARRY_STEPS)
            pose = {"p": [x / 1000.0, 0.1, z / 1000.0], "q": [0, 0, 0, 1]}
            self._say({"type": "spawn", "ref": ref, "asset": self._asset, "pose": pose, "scale": 0.25})

    def _sample(self, buffer: bytes | bytearray, at: int, end: int) -> None:
        if at + _RECORD_MM_BYTES > end:
            return  # of a large frame, only the part that is here
        pid, _, _ = _RECORD_HEADER.unpack_from(buffer, at)
        sender = self.room.walkers.get(pid)
        if sender and sender is not self:
            sent_at = sender.sent_at(bytes(buffer[at + 4 : at + _RECORD_MM_BYTES]))
            if sent_at is not None:
                self._sampled.append(sent_at)

    def sent_at(self, body: bytes) -> float | None:
        """When this walker sent that body; if it is older than what is kept, the oldest time that is."""
        newest = self._step
        for step in range(newest - 1, max(newest - KEPT_STEPS, 0) - 1, -1):
            kept, at = self._sent[step % KEPT_STEPS]
            if kept == body:
                return at
        return self._sent[newest % KEPT_STEPS][1] if newest >= KEPT_STEPS else None

    def _handle_objects(self, socket: ClientSocket, step: int) -> None:
        carry = self._carry
        if carry:
            hand = self._walk.right_hand_mm(step)
            x, y, z = carry.at(step, hand)
            point = struct.pack("<hhh", x, y, z) + _IDENTITY
            socket.send_binary(encode_moves(self._tick_ms, (Move(carry.id, carry.epoch, 0, 0, point),)))
            if carry.landed:
                self._carry = None
                self._tally.thrown += 1
                pose = {"p": [x / 1000.0, y / 1000.0, z / 1000.0], "q": [0, 0, 0, 1]}
                self._say({"type": "release", "id": carry.id, "epoch": carry.epoch, "pose": pose})
        elif step >= self.next_grab:
            self.next_grab = step + self._pause()
            free = [key for key, shared in self.room.objects.items() if shared.owner is None]
            if free:
                self._asked_for = self._chance.choice(free)
                self._say({"type": "grab", "id": self._asked_for})

    def _hear_object(self, message: dict[str, Any]) -> None:
        self.room.hear(message)
        if message["type"] == "grabbed" and message["owner"] == self.pid and message["id"] == self._asked_for:
            self._asked_for = None
            self._carry = Carry(
                message["id"], message["epoch"], self._step, self._walk.right_hand_mm(self._step + CARRY_STEPS)
            )
        elif self._carry and message.get("id") == self._carry.id and message.get("owner") != self.pid:
            self._carry = None

    def _pause(self) -> int:
        """Steps until one reaches for something again."""
        return int(self._chance.uniform(60, 600))

    def _color(self) -> str:
        return f"#{random.Random(self.name).randrange(0x404040, 0xFFFFFF):06x}"

    def _say(self, message: dict[str, Any]) -> None:
        if self._socket:
            self._socket.send_text(json.dumps(message, separators=(",", ":"), ensure_ascii=False))


async def end_all(walkers: list[Walker], tasks: list[asyncio.Task[None]], patience_s: float) -> None:
    """Everyone leaves; after `patience_s` whoever has not gets their line cut."""
    for walker, task in zip(walkers, tasks, strict=True):
        if not walker.leave():
            task.cancel()
    _, waiting = await asyncio.wait(tasks, timeout=patience_s)
    for walker in walkers:
        walker.cut()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
