"""Generate load: many clients in one process on raw sockets, at little cost.

Most clients read only the headers of messages, and count poses. A few, the probes, parse every pose and record its
age: a pose carries the time when it was sent, in microseconds, in place of the head's quaternion (any 32 bits are a
valid one). Every pose moves head and hands. The masking key is 0, which costs the server as much as any other.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from client_protocols import PROTOCOLS, ClientProtocol

SETTLE_S = 0.5  # between the last join and the warm-up
SLOW_READ_S = 0.01  # between two reads of a slow client
PROBES = 8  # clients, about, that measure the ages of poses


@dataclass(frozen=True)
class LoadSettings:
    """The load, as JSON on the command line.

    protocol: a key of `PROTOCOLS`. stalled, slow: the first clients, which read nothing or little.
    pid: the process of the server, whose CPU time and memory are measured.
    """

    protocol: str
    port: int
    people: int
    rooms: int = 1
    prefix: str = "bench"  # of the rooms' names
    hz: float = 30.0
    warm_s: float = 2.0
    measure_s: float = 5.0
    side_m: float = 40.0  # of the square in which all stand
    stalled: int = 0
    slow: int = 0
    slow_bytes_per_s: float = 50_000.0
    idle: bool = False  # join and send no poses
    pid: int = 0


@dataclass
class Client:
    index: int
    socket: socket.socket
    room: str
    x: float
    z: float
    participant: int = 0  # its number in the room
    frame: bytearray = field(default_factory=bytearray)  # the pose to send, masked with 0
    tick: int = 0
    sent: int = 0
    skip: int = 0  # remaining bytes of a payload that is not parsed
    unparsed: bytearray = field(default_factory=bytearray)
    is_probe: bool = False
    is_slow: bool = False
    is_stalled: bool = False
    closed: bool = False
    joined: bool = False


class LoadGenerator:
    """All clients, and the counts of the measured interval."""

    def __init__(self, load: LoadSettings) -> None:
        self.load = load
        self.protocol: ClientProtocol = PROTOCOLS[load.protocol]()
        self.poll = select.epoll()
        self.clients: list[Client] = []
        self.by_fd: dict[int, Client] = {}
        self.buffer = memoryview(bytearray(1 << 20))
        self.measuring = False
        self.ages: list[np.ndarray] = []
        self.slow_ages: list[np.ndarray] = []
        self.records = self.frames = self.received = self.sent = self.unsent = 0
        self.late_s = 0.0

    def run(self) -> dict[str, Any]:
        """Join, send poses for the warm-up and the measured interval, and return the measurements."""
        load = self.load
        self.join()
        self.process_until(time.perf_counter() + SETTLE_S)
        start = time.perf_counter()
        if not load.idle:
            self.process_until(start + load.warm_s, sending=True)
        self.slow_down()
        self.measuring = True
        start, server_cpu, load_cpu = time.perf_counter(), cpu_seconds(load.pid), time.process_time()
        memory = [resident_bytes(load.pid)]
        while time.perf_counter() < start + load.measure_s:
            self.process_until(min(time.perf_counter() + 1.0, start + load.measure_s), sending=not load.idle)
            memory.append(resident_bytes(load.pid))
        seconds = time.perf_counter() - start
        server_cpu, load_cpu = cpu_seconds(load.pid) - server_cpu, time.process_time() - load_cpu
        self.measuring = False
        delivered = self.protocol.poses_of_others(self.records, self.sent)
        expected = self.sent * (load.people / load.rooms - 1)
        return {
            "people": load.people,
            "rooms": load.rooms,
            "delivered_per_s": delivered / seconds,
            "delivered_share": delivered / expected if expected else 0.0,
            "sent_share": self.sent / (load.people * load.hz * seconds),
            "frames_per_s": self.frames / seconds,
            "bits_per_s": self.received * 8 / seconds / max(1, load.people - load.stalled - load.slow),
            **quantiles("", self.ages),
            **quantiles("slow_", self.slow_ages),
            "cpu_share": server_cpu / seconds,
            "cpu_us_per_pose": server_cpu / delivered * 1e6 if delivered else 0.0,
            "load_cpu_share": load_cpu / seconds,
            "load_late_ms": self.late_s * 1e3,
            "closed": sum(client.closed for client in self.clients),
            "memory_bytes": memory,
        }

    def join(self) -> None:
        """Connect all clients, spread evenly over a square, and wait until all have joined.

        Raises TimeoutError if some have not joined after 20 s.
        """
        load = self.load
        side = int(np.ceil(np.sqrt(load.people)))
        for index in range(load.people):
            connection = socket.create_connection(("127.0.0.1", load.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            x = (index % side / side - 0.5) * load.side_m
            z = (index // side / side - 0.5) * load.side_m
            client = Client(index, connection, f"{load.prefix}-{index % load.rooms}", x, z)
            # Probes are spread evenly, since a server may serve its clients in order.
            client.is_probe = index % max(1, load.people // PROBES) == 0 and index >= load.stalled + load.slow
            self.protocol.connect(client, load.port)
            connection.setblocking(False)
            self.poll.register(connection, select.EPOLLIN)
            self.clients.append(client)
            self.by_fd[connection.fileno()] = client
            if index % 8 == 0:
                self.read_all(0)
        deadline = time.perf_counter() + 20.0
        while not all(client.joined for client in self.clients):
            self.read_all(0.05)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{sum(not c.joined for c in self.clients)} clients could not join")
        for client in self.clients:
            client.frame = self.protocol.pose_frame(client)

    def slow_down(self) -> None:
        """Let the first clients stop reading, or read slowly, from now on."""
        for client in self.clients[: self.load.stalled + self.load.slow]:
            client.is_stalled = client.index < self.load.stalled
            client.is_slow = not client.is_stalled
            client.is_probe = client.is_slow
            self.poll.unregister(client.socket)

    def process_until(self, end: float, *, sending: bool = False) -> None:
        """Read messages, and send the clients' poses in turn, spread evenly over each period."""
        load = self.load
        step = 1.0 / load.hz / load.people
        due, turn = time.perf_counter(), 0
        slow_due = due
        slow = [client for client in self.clients if client.is_slow]
        while (now := time.perf_counter()) < end:
            if sending:
                if self.measuring:
                    self.late_s = max(self.late_s, now - due)
                for _ in range(min(int((now - due) / step) + 1, 64) if now >= due else 0):
                    self.send_pose(self.clients[turn])
                    turn = (turn + 1) % load.people
                    due += step
            if slow and now >= slow_due:
                slow_due = now + SLOW_READ_S
                for client in slow:
                    self.read(client, int(load.slow_bytes_per_s * SLOW_READ_S))
            wait = min(end, due if sending else end, slow_due if slow else end) - time.perf_counter()
            self.read_all(max(0.0, wait))

    def send_pose(self, client: Client) -> None:
        if client.closed:
            return
        self.protocol.update_pose(client, int(time.perf_counter() * 1e6) & 0xFFFFFFFF)
        try:
            client.socket.send(client.frame)
        except BlockingIOError:
            self.unsent += self.measuring
        except OSError:
            self.lose(client)
        else:
            client.sent += 1
            self.sent += self.measuring

    def read_all(self, timeout: float) -> None:
        for fd, _ in self.poll.poll(timeout, 64):
            self.read(self.by_fd[fd], len(self.buffer))

    def read(self, client: Client, most: int) -> None:
        if client.closed:
            return
        try:
            size = client.socket.recv_into(self.buffer, most)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size == 0:
            self.lose(client)
            return
        if self.measuring:
            self.received += size
        if client.is_probe or not client.joined:
            client.unparsed += self.buffer[:size]
            self.parse(client)
        else:
            self.skim(client, size)

    def skim(self, client: Client, size: int) -> None:
        """Read headers only: count the poses of each message and skip its payload."""
        view, at = self.buffer, 0
        if client.skip:
            if client.skip >= size:
                client.skip -= size
                return
            at, client.skip = client.skip, 0
        if client.unparsed:
            client.unparsed += view[at:size]
            rest = bytes(client.unparsed)
            client.unparsed.clear()
            view, at, size = memoryview(rest), 0, len(rest)
        while at < size:
            if size - at < 12:
                client.unparsed += view[at:size]
                return
            body, length = header(view, at)
            self.receive(client, view, at, body, length)
            at = body + length
        client.skip = at - size

    def parse(self, client: Client) -> None:
        """Parse whole messages, for probes and for clients that have not joined yet."""
        unparsed, at = client.unparsed, 0
        while len(unparsed) - at >= 2:
            if len(unparsed) - at < 10 and unparsed[at + 1] & 127 >= 126:
                break
            view = memoryview(unparsed)
            body, length = header(view, at)
            if body + length > len(unparsed):
                view.release()
                break
            payload = bytes(view[body : body + length])
            try:
                self.receive(client, view, at, body, length)
            finally:
                view.release()
            opcode = unparsed[at] & 15
            if opcode in (1, 2) and client.joined and self.measuring:
                ages = self.protocol.ages(client, payload, int(time.perf_counter() * 1e6) & 0xFFFFFFFF)
                (self.slow_ages if client.is_slow else self.ages).append(ages)
            elif not client.joined:
                client.joined = self.protocol.is_welcome(client, opcode, payload)
            at = body + length
        del unparsed[:at]

    def receive(self, client: Client, view: memoryview, at: int, body: int, length: int) -> None:
        opcode = view[at] & 15
        if opcode == 9:
            client.socket.send(bytes((0x8A, 0x80 | length, 0, 0, 0, 0)) + view[body : body + length])
        elif opcode in (1, 2):
            records = self.protocol.count_poses(client, view, body, length)
            if self.measuring:
                self.records += records
                self.frames += 1

    def lose(self, client: Client) -> None:
        client.closed = True
        client.socket.close()


def header(view: memoryview, at: int) -> tuple[int, int]:
    """The start of the payload of the frame at `at`, and its length."""
    short = view[at + 1] & 127
    if short < 126:
        return at + 2, short
    if short == 126:
        return at + 4, view[at + 2] << 8 | view[at + 3]
    return at + 10, int.from_bytes(view[at + 2 : at + 10], "big")


def quantiles(name: str, ages: list[np.ndarray]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds, from ages in microseconds; none without ages."""
    every = np.concatenate(ages) if ages else np.zeros(0)
    if not len(every):
        return {}
    p50, p99 = np.percentile(every, [50, 99])
    return {f"{name}p50_ms": float(p50) / 1e3, f"{name}p99_ms": float(p99) / 1e3}


def cpu_seconds(pid: int) -> float:
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def resident_bytes(pid: int) -> int:
    if not pid:
        return 0
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    print(json.dumps(LoadGenerator(LoadSettings(**json.loads(sys.argv[1]))).run()))
