"""The load: many clients in one process that costs little, on raw sockets.

Most clients read no more than the headers of what they get, and count. A few, the probes, take every pose apart
and note its age: every pose carries the time it was sent, in microseconds, where the quaternion of the head would
be (any 32 bits are one). Everyone moves head and hands in every pose. The masking key is 0, which a server
has to apply like any other.
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
from wires import WIRES, Wire

SETTLE_S = 0.5
SLOW_READ_S = 0.01
PROBES = 8


@dataclass(frozen=True)
class Load:
    """What to do, as JSON on the command line. `reads`: bytes per second of client 0, 0 none (stalled)."""

    wire: str
    port: int
    people: int
    rooms: int = 1
    prefix: str = "bench"  # of the rooms' names
    hz: float = 30.0
    warm_s: float = 2.0
    measure_s: float = 5.0
    side_m: float = 40.0  # everyone stands in a square of this side
    stalled: int = 0
    slow: int = 0
    slow_bytes_per_s: float = 50_000.0
    idle: bool = False  # join, and then only stay
    pid: int = 0  # the server's process, to read its CPU time and memory


@dataclass
class Client:
    index: int
    socket: socket.socket
    room: str
    x: float
    z: float
    own: int = 0  # pid
    frame: bytearray = field(default_factory=bytearray)  # the pose to send, masked with 0
    tick: int = 0
    sent: int = 0
    skip: int = 0  # bytes left of a frame that nobody looks into
    kept: bytearray = field(default_factory=bytearray)  # what came and is not yet parsed
    is_probe: bool = False
    is_slow: bool = False
    is_stalled: bool = False
    closed: bool = False
    greeted: bool = False


class Swarm:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.wire: Wire = WIRES[load.wire]()
        self.poll = select.epoll()
        self.clients: list[Client] = []
        self.by_fd: dict[int, Client] = {}
        self.view = memoryview(bytearray(1 << 20))
        self.measuring = False
        self.ages: list[np.ndarray] = []
        self.slow_ages: list[np.ndarray] = []
        self.records = self.frames = self.received = self.sent = self.unsent = 0
        self.late_s = 0.0

    def run(self) -> dict[str, Any]:
        load = self.load
        self.join()
        self.spin(time.perf_counter() + SETTLE_S)
        start = time.perf_counter()
        if not load.idle:
            self.spin(start + load.warm_s, sending=True)
        self.hold_up()
        self.measuring = True
        before, cpu, own = time.perf_counter(), cpu_seconds(load.pid), time.process_time()
        memory = [rss_bytes(load.pid)]
        while time.perf_counter() < before + load.measure_s:
            self.spin(min(time.perf_counter() + 1.0, before + load.measure_s), sending=not load.idle)
            memory.append(rss_bytes(load.pid))
        took = time.perf_counter() - before
        cpu, own = cpu_seconds(load.pid) - cpu, time.process_time() - own
        self.measuring = False
        delivered = self.wire.others(self.records, self.sent)
        expected = self.sent * (load.people / load.rooms - 1)
        return {
            "people": load.people,
            "rooms": load.rooms,
            "delivered_per_s": delivered / took,
            "delivered_share": delivered / expected if expected else 0.0,
            "sent_share": self.sent / (load.people * load.hz * took),
            "frames_per_s": self.frames / took,
            "bits_per_s": self.received * 8 / took / max(1, load.people - load.stalled - load.slow),
            **quantiles("", self.ages),
            **quantiles("slow_", self.slow_ages),
            "cpu_share": cpu / took,
            "cpu_us_per_pose": cpu / delivered * 1e6 if delivered else 0.0,
            "load_cpu_share": own / took,
            "load_late_ms": self.late_s * 1e3,
            "closed": sum(client.closed for client in self.clients),
            "memory_bytes": memory,
        }

    def join(self) -> None:
        """Everyone connects and says who they are; places are spread evenly over a square."""
        load = self.load
        side = int(np.ceil(np.sqrt(load.people)))
        for index in range(load.people):
            line = socket.create_connection(("127.0.0.1", load.port))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            x = (index % side / side - 0.5) * load.side_m
            z = (index // side / side - 0.5) * load.side_m
            client = Client(index, line, f"{load.prefix}-{index % load.rooms}", x, z)
            # Probes are spread over the order in which the server serves its clients.
            client.is_probe = index % max(1, load.people // PROBES) == 0 and index >= load.stalled + load.slow
            self.wire.connect(client, load.port)
            line.setblocking(False)
            self.poll.register(line, select.EPOLLIN)
            self.clients.append(client)
            self.by_fd[line.fileno()] = client
            if index % 8 == 0:
                self.read_all(0)
        deadline = time.perf_counter() + 20.0
        while not all(client.greeted for client in self.clients):
            self.read_all(0.05)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{sum(not c.greeted for c in self.clients)} clients were never greeted")
        for client in self.clients:
            client.frame = self.wire.template(client)

    def hold_up(self) -> None:
        """The first clients stop reading, or read slowly from now on."""
        for client in self.clients[: self.load.stalled + self.load.slow]:
            client.is_stalled = client.index < self.load.stalled
            client.is_slow = not client.is_stalled
            client.is_probe = client.is_slow
            self.poll.unregister(client.socket)

    def spin(self, until: float, *, sending: bool = False) -> None:
        """Read what comes, and send everyone's poses in turn, spread over each period."""
        load = self.load
        step = 1.0 / load.hz / load.people
        due, turn = time.perf_counter(), 0
        slow_due = due
        slow = [client for client in self.clients if client.is_slow]
        while (now := time.perf_counter()) < until:
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
            wait = min(until, due if sending else until, slow_due if slow else until) - time.perf_counter()
            self.read_all(max(0.0, wait))

    def send_pose(self, client: Client) -> None:
        if client.closed:
            return
        self.wire.move(client, int(time.perf_counter() * 1e6) & 0xFFFFFFFF)
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
            self.read(self.by_fd[fd], len(self.view))

    def read(self, client: Client, most: int) -> None:
        if client.closed:
            return
        try:
            size = client.socket.recv_into(self.view, most)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size == 0:
            self.lose(client)
            return
        if self.measuring:
            self.received += size
        if client.is_probe or not client.greeted:
            client.kept += self.view[:size]
            self.parse(client)
        else:
            self.skim(client, size)

    def skim(self, client: Client, size: int) -> None:
        """Headers only: skip the payload, count what it says it holds."""
        view, at = self.view, 0
        if client.skip:
            if client.skip >= size:
                client.skip -= size
                return
            at, client.skip = client.skip, 0
        if client.kept:
            client.kept += view[at:size]
            rest = bytes(client.kept)
            client.kept.clear()
            view, at, size = memoryview(rest), 0, len(rest)
        while at < size:
            if size - at < 12:
                client.kept += view[at:size]
                return
            body, length = header(view, at)
            self.take(client, view, at, body, length)
            at = body + length
        client.skip = at - size

    def parse(self, client: Client) -> None:
        """Everything: for probes, and until everyone is greeted."""
        kept, at = client.kept, 0
        while len(kept) - at >= 2:
            if len(kept) - at < 10 and kept[at + 1] & 127 >= 126:
                break
            view = memoryview(kept)
            body, length = header(view, at)
            if body + length > len(kept):
                view.release()
                break
            payload = bytes(view[body : body + length])
            try:
                self.take(client, view, at, body, length)
            finally:
                view.release()
            opcode = kept[at] & 15
            if opcode in (1, 2) and client.greeted and self.measuring:
                ages = self.wire.ages(client, payload, int(time.perf_counter() * 1e6) & 0xFFFFFFFF)
                (self.slow_ages if client.is_slow else self.ages).append(ages)
            elif not client.greeted:
                client.greeted = self.wire.greet(client, opcode, payload)
            at = body + length
        del kept[:at]

    def take(self, client: Client, view: memoryview, at: int, body: int, length: int) -> None:
        opcode = view[at] & 15
        if opcode == 9:
            client.socket.send(bytes((0x8A, 0x80 | length, 0, 0, 0, 0)) + view[body : body + length])
        elif opcode in (1, 2):
            records = self.wire.count(client, view, body, length)
            if self.measuring:
                self.records += records
                self.frames += 1

    def lose(self, client: Client) -> None:
        client.closed = True
        client.socket.close()


def header(view: memoryview, at: int) -> tuple[int, int]:
    """Where the payload starts, and its length."""
    short = view[at + 1] & 127
    if short < 126:
        return at + 2, short
    if short == 126:
        return at + 4, view[at + 2] << 8 | view[at + 3]
    return at + 10, int.from_bytes(view[at + 2 : at + 10], "big")


def quantiles(name: str, ages: list[np.ndarray]) -> dict[str, float]:
    """Milliseconds."""
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


def rss_bytes(pid: int) -> int:
    if not pid:
        return 0
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    print(json.dumps(Swarm(Load(**json.loads(sys.argv[1]))).run()))
