"""A simulated client: joins a room, walks, grabs and throws objects, and reconnects after a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..protocol.messages import VERSION
from ..protocol.moves import Move, encode_moves
from ..protocol.poses import (
    POINT_MM,
    RECORD_HEADER,
    RECORD_MM_BYTES,
    TICK_DOWN,
    TICK_HEADER,
    encode_pose_up,
    pack_quaternion,
)
from .client_socket import NO_CLOSE_FRAME, ClientSocket
from .statistics import LoadStatistics
from .throws import CARRY_STEPS, Carry
from .walks import FLAGS, STEPS_PER_S, Walk

KEPT_STEPS: Final = 128  # own poses kept to measure the age of poses that others received: 4 s at 30 Hz
BACKOFF_S: Final = 0.5  # doubles with each attempt
MAX_BACKOFF_S: Final = 15.0
JOIN_TIMEOUT_S: Final = 20.0
MISSED_TICKS: Final = 1.75  # a gap of more tick periods than this has a missed tick
SETTLED_S: Final = 5.0  # after a connection of this length, the backoff starts again at BACKOFF_S
FINAL_CODES: Final = frozenset((1008, 1009, 4401, 4403, 4404, 4409, 4426))  # docs/protocol.md: do not reconnect

_unpack_tick_header = TICK_HEADER.unpack_from
_IDENTITY = pack_quaternion((0.0, 0.0, 0.0, 1.0))
_STRIDE: Final = 40_503  # a prime, so that over time all records of a frame are sampled, at the front and at the end


@dataclass(slots=True)
class ObjectState:
    owner: int | None
    epoch: int


@dataclass(slots=True)
class SimulatedRoom:
    """State that the simulated clients of one room share. Each object event is applied once, by its `rev`."""

    name: str
    clients: dict[int, SimulatedClient] = field(default_factory=dict)  # by pid
    objects: dict[int, ObjectState] = field(default_factory=dict)  # by id
    incarnation: object = None
    rev: int = -1

    def apply(self, event: dict[str, Any]) -> None:
        """Apply an object event, unless another client has already applied it."""
        rev = event["rev"]
        if rev <= self.rev:
            return
        self.rev = rev
        match event["type"]:
            case "spawned":
                self.objects[event["id"]] = ObjectState(None, 0)
            case "grabbed":
                self.objects[event["id"]] = ObjectState(event["owner"], event["epoch"])
            case "released":
                self.objects[event["id"]] = ObjectState(None, event["epoch"])
            case "deleted":
                self.objects.pop(event["id"], None)


Connect = Callable[["SimulatedClient"], Awaitable[ClientSocket]]


class SimulatedClient:
    """`spawns` is the number of objects that the client brings into its room."""

    def __init__(
        self,
        room: SimulatedRoom,
        name: str,
        walk: Walk,
        statistics: LoadStatistics,
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
        self.present: set[int] = set()  # pids of the other participants
        self.tick_hz = 30
        self.ended = False  # it left, or the relay does not allow it to reconnect
        self._walk = walk
        self._statistics = statistics
        self._rng = random.Random(seed)
        self._token = token
        self._asset = asset
        self._spawns = spawns
        self._clock = clock
        self._socket: ClientSocket | None = None
        self._closed: asyncio.Future[tuple[int, str]] | None = None  # of this connection: code and reason
        self._settled: asyncio.Future[None] | None = None  # of this connection: in the room, or closed
        self._leaving = asyncio.Event()
        self._resume: str | None = None
        self._ticket: str | None = None
        self._retry_s: float | None = None
        self._step = 0
        self._sent: list[tuple[bytes, float]] = [(b"", 0.0)] * KEPT_STEPS  # the latest bodies and their times
        self._tick_ms = 0
        self._sampled: list[float] = []  # times at which the sampled poses of this frame were sent
        self._frames_until_sample = 1
        self._cursor = seed
        self._carry: Carry | None = None
        self._requested: int | None = None  # id of the object that it tries to grab
        self.next_grab = self._pause()  # step

    async def run(self, connect: Connect, arrivals: asyncio.Semaphore) -> None:
        """Stay in the room until `leave` is called, or until the relay does not allow to reconnect.

        `connect` opens the socket of this client and may raise OSError. `arrivals` limits the number of clients that
        connect at the same time.
        """
        attempt = 0
        while not self._leaving.is_set():
            started_at = self._clock()
            code, reason = await self._run_connection(connect, arrivals)
            if self._leaving.is_set():
                break
            self._statistics.lost(code, reason)
            if code in FINAL_CODES:
                break
            attempt = 0 if self._clock() - started_at > SETTLED_S else attempt + 1
            wait, self._retry_s = self._retry_s, None
            if wait is None:
                wait = min(BACKOFF_S * 2.0**attempt, MAX_BACKOFF_S) * self._rng.uniform(0.5, 1.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._leaving.wait()
        self.ended = True

    async def _run_connection(self, connect: Connect, arrivals: asyncio.Semaphore) -> tuple[int, str]:
        """Run one connection to its end. Returns the close code and the reason."""
        loop = asyncio.get_running_loop()
        self._closed = loop.create_future()
        self._settled = loop.create_future()
        socket: ClientSocket | None = None
        try:
            async with arrivals, asyncio.timeout(JOIN_TIMEOUT_S):
                socket = await connect(self)
                await self._settled
            return await self._closed
        except (OSError, TimeoutError) as error:  # TLS errors are OSErrors too
            return NO_CLOSE_FRAME, str(error) or "no answer in time"
        finally:
            if socket and not self._closed.done():
                socket.abort()
            self._socket = None

    def leave(self) -> bool:
        """Send a close frame; `run` ends when the relay has answered. Returns False if there is no connection."""
        self._leaving.set()
        if self._socket:
            self._socket.close(1000)
        return self._socket is not None

    def abort(self) -> None:
        if self._socket:
            self._socket.abort()

    def step(self, now: float) -> None:
        """Send the next pose, then grab, move or release an object if it is time."""
        socket = self._socket
        if not socket or not self.pid:
            return
        step = self._step
        self._step = step + 1
        body = self._walk.body(step)
        self._sent[step % KEPT_STEPS] = (body, now)
        socket.send_binary(encode_pose_up(FLAGS, step, self._tick_ms, body))
        self._statistics.poses_sent += 1
        if self._asset:
            self._handle_objects(socket, step)

    # --- client_socket.SocketListener

    def opened(self, socket: ClientSocket) -> None:
        self._socket = socket
        hello = {"type": "hello", "v": VERSION, "name": self.name, "color": self._color()}
        if self._token:
            hello["token"] = self._token
        if self._resume:
            hello["resume"] = self._resume
        if self._ticket:
            hello["ticket"] = self._ticket
        self._send(hello)

    def text_received(self, payload: bytes) -> None:
        message = json.loads(payload)
        match message["type"]:
            case "joined":
                self.present.add(message["pid"])
            case "left":
                self.present.discard(message["pid"])
            case "spawned" | "grabbed" | "released" | "deleted":
                self._handle_event(message)
            case "welcome":
                self._enter(message)
            case "pace":
                self.tick_hz = message["tick_hz"]
            case "drain":
                self._retry_s = message["retry_ms"] / 1000.0
            case "denied":
                self._requested = None
                self._statistics.denied += 1
            case "error":
                self._statistics.errors[message["code"]] += 1

    def binary_started(self, buffer: bytes | bytearray, start: int, end: int, size: int) -> None:
        if size < TICK_HEADER.size or buffer[start] != TICK_DOWN:
            return
        _, _, count, tick_ms = _unpack_tick_header(buffer, start)
        statistics = self._statistics
        statistics.poses_received += count
        if tick_ms != self._tick_ms:
            gap_s = ((tick_ms - self._tick_ms) & 0xFFFFFFFF) * 0.001
            # Clients send STEPS_PER_S poses per second, so some ticks of a faster relay have no changes and are not
            # sent.
            expected = gap_s * min(self.tick_hz, STEPS_PER_S)
            if self._tick_ms and expected > MISSED_TICKS:
                statistics.ticks_missed += round(expected) - 1
            statistics.ticks_received += 1
            self._tick_ms = tick_ms
        self._frames_until_sample -= 1
        if self._frames_until_sample <= 0:
            self._frames_until_sample = statistics.sample_every
            # Simulated clients only send millimetres. Frames with a float32 body are not sampled, because finding a
            # record in them would take a search.
            if count and size == TICK_HEADER.size + count * RECORD_MM_BYTES:
                self._cursor += _STRIDE
                self._sample(buffer, start + TICK_HEADER.size + RECORD_MM_BYTES * (self._cursor % count), end)

    def binary_ended(self) -> None:
        if self._sampled:
            now = self._clock()
            for sent_at in self._sampled:
                self._statistics.ages.add(now - sent_at)
            self._sampled.clear()

    def lost(self, code: int, reason: str) -> None:
        if self.pid:
            if self.room.clients.get(self.pid) is self:
                del self.room.clients[self.pid]
            self._statistics.present -= 1
        self.pid = 0
        self.present.clear()
        self._carry = self._requested = None
        self._socket = None
        if self._closed and not self._closed.done():
            self._closed.set_result((code, reason))
        if self._settled and not self._settled.done():
            self._settled.set_result(None)

    # ---

    def _enter(self, welcome: dict[str, Any]) -> None:
        room = self.room
        self.pid = welcome["pid"]
        self.tick_hz = welcome["tick_hz"]
        self._tick_ms = 0
        self._resume = welcome.get("resume")
        self._ticket = welcome.get("ticket", self._ticket)
        self.present = {other["pid"] for other in welcome["participants"]}
        self._statistics.entered()
        incarnation = welcome.get("incarnation")
        if not room.clients or incarnation != room.incarnation:
            room.incarnation = incarnation
            room.objects.clear()
            room.rev = welcome.get("rev", -1)
            for obj in welcome.get("objects") or ():
                room.objects[obj["id"]] = ObjectState(obj["owner"], obj["epoch"])
        room.clients[self.pid] = self
        if self._settled and not self._settled.done():
            self._settled.set_result(None)
        for ref in range(self._spawns - len(room.objects) if self._asset else 0):
            x, _, z = self._walk.right_hand_mm(ref * CARRY_STEPS)
            pose = {"p": [x / 1000.0, 0.1, z / 1000.0], "q": [0, 0, 0, 1]}
            self._send({"type": "spawn", "ref": ref, "asset": self._asset, "pose": pose, "scale": 0.25})

    def _sample(self, buffer: bytes | bytearray, at: int, end: int) -> None:
        """Note when the record at this offset was sent, if its sender is simulated."""
        if at + RECORD_MM_BYTES > end:
            return  # this part of a large frame has not arrived
        pid, _, _ = RECORD_HEADER.unpack_from(buffer, at)
        sender = self.room.clients.get(pid)
        if sender and sender is not self:
            sent_at = sender.sent_at(bytes(buffer[at + RECORD_HEADER.size : at + RECORD_MM_BYTES]))
            if sent_at is not None:
                self._sampled.append(sent_at)

    def sent_at(self, body: bytes) -> float | None:
        """The time at which this client sent a body.

        The oldest known time if the body is older than all kept ones; None if the body is unknown.
        """
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
            point = POINT_MM.pack(x, y, z, _IDENTITY)
            socket.send_binary(encode_moves(self._tick_ms, (Move(carry.id, carry.epoch, 0, 0, point),)))
            if carry.landed:
                self._carry = None
                self._statistics.thrown += 1
                pose = {"p": [x / 1000.0, y / 1000.0, z / 1000.0], "q": [0, 0, 0, 1]}
                self._send({"type": "release", "id": carry.id, "epoch": carry.epoch, "pose": pose})
        elif step >= self.next_grab:
            self.next_grab = step + self._pause()
            free = [object_id for object_id, state in self.room.objects.items() if state.owner is None]
            if free:
                self._requested = self._rng.choice(free)
                self._send({"type": "grab", "id": self._requested})

    def _handle_event(self, event: dict[str, Any]) -> None:
        self.room.apply(event)
        if event["type"] == "grabbed" and event["owner"] == self.pid and event["id"] == self._requested:
            self._requested = None
            self._carry = Carry(
                event["id"], event["epoch"], self._step, self._walk.right_hand_mm(self._step + CARRY_STEPS)
            )
        elif self._carry and event.get("id") == self._carry.id and event.get("owner") != self.pid:
            self._carry = None

    def _pause(self) -> int:
        """Steps until the next grab."""
        return int(self._rng.uniform(60, 600))

    def _color(self) -> str:
        return f"#{random.Random(self.name).randrange(0x404040, 0xFFFFFF):06x}"

    def _send(self, message: dict[str, Any]) -> None:
        if self._socket:
            self._socket.send_text(json.dumps(message, separators=(",", ":"), ensure_ascii=False))


async def end_all(clients: list[SimulatedClient], tasks: list[asyncio.Task[None]], timeout_s: float) -> None:
    """Let all clients leave. Connections that are still open after `timeout_s` are aborted."""
    for client, task in zip(clients, tasks, strict=True):
        if not client.leave():
            task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=timeout_s)
    for client in clients:
        client.abort()
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
