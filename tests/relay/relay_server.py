"""A relay for tests: uvicorn on a free port in a thread, and clients that use the `websockets` library."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pose_codec import Body, Tick, decode_tick, encode_pose, unpack_body
from streamxr.relay.protocol.messages import Point
from streamxr.relay.server import RelayServer, listen
from streamxr.relay.settings import RelaySettings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

TIMEOUT_S = 20.0  # long enough that only a hang exceeds it, never a slow machine


class RunningRelay:
    def __init__(self, settings: RelaySettings, *, fast_path: bool) -> None:
        self._socket = listen("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        metrics = listen("127.0.0.1", 0)
        self.metrics_port: int = metrics.getsockname()[1]
        self.server = RelayServer(settings, fast_path=fast_path, metrics=metrics)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        eventually(lambda: self.server.started)

    @property
    def relay(self) -> Any:
        return self.server.relay

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """Status and text of an answer; without `port`, from the public one."""
        address = f"http://127.0.0.1:{port or self.port}{path}"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> str:
        return self.get("/metrics", self.metrics_port)[1]

    def metric(self, series: str) -> float:
        """The value of one series, named as in the output of /metrics."""
        for line in self.metrics().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise KeyError(series)

    def connect(self, room: str = "hall", **options: Any) -> ClientConnection:
        # Without a limit of its queue, a client reads at any time, also while the test does something else.
        options = {"subprotocols": ["streamxr.v1"], "compression": None, "max_queue": None} | options
        return connect(f"ws://127.0.0.1:{self.port}/ws/{room}", open_timeout=TIMEOUT_S, **options)

    @contextlib.contextmanager
    def join(self, room: str = "hall", name: str = "Ada", **options: Any) -> Iterator[Client]:
        with self.connect(room, **options) as socket:
            client = Client(socket)
            client.send({"type": "hello", "v": 1, "name": name, "color": "#ff8800"})
            client.welcome = client.receive("welcome")
            yield client

    def away(self, room: str = "hall") -> list[int]:
        """The pids of the participants of a room who are away."""
        with self.join(room, "Observer") as observer:
            return [profile["pid"] for profile in observer.welcome["participants"] if profile["away"]]

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


class Client:
    """One participant. Messages that arrive while it waits for another one are kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []  # control messages
        self.ticks: list[Tick] = []
        self._seq = 0

    @property
    def pid(self) -> int:
        return int(self.welcome["pid"])

    def send(self, message: dict[str, Any] | str) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def flood(self, frame: str | bytes, times: int) -> None:
        """Send the same frame many times, or until the relay closes the connection."""
        with contextlib.suppress(ConnectionClosed):
            for _ in range(times):
                self.socket.send(frame)

    def move(self, x: float, y: float = 1.6, z: float = 0.0) -> None:
        self._seq += 1
        self.socket.send(encode_pose(Body(Point((x, y, z), (0.0, 0.0, 0.0, 1.0))), self._seq))

    def receive(self, kind: str) -> dict[str, Any]:
        """The next control message of that type. Others stay in `received`."""
        while True:
            for message in self.received:
                if message["type"] == kind:
                    self.received.remove(message)
                    return message
            self._take(self.socket.recv(TIMEOUT_S))

    def wait_for_pose(self, pid: int, x: float) -> None:
        """Wait for a tick in which the head of that participant is at `x`."""

        def matches(tick: Tick) -> bool:
            return any(
                record.pid == pid and abs(unpack_body(record.flags, record.body).head.p[0] - x) < 0.001
                for record in tick.records
            )

        while not any(matches(tick) for tick in self.ticks):
            self.ticks.clear()
            self._take(self.socket.recv(TIMEOUT_S))

    def close_code(self) -> int | None:
        """Read everything until the relay closes the connection. Returns its close code."""
        try:
            while True:
                self._take(self.socket.recv(TIMEOUT_S))
        except ConnectionClosed:
            return self.socket.close_code

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            self.received.append(json.loads(frame))
        else:
            self.ticks.append(decode_tick(frame))


@contextlib.contextmanager
def running_relay(*, fast_path: bool = True, **settings: Any) -> Iterator[RunningRelay]:
    """A relay with these settings. Without `fast_path` it uses plain ASGI."""
    running = RunningRelay(replace(RelaySettings(drain_s=0.0), **settings), fast_path=fast_path)
    try:
        yield running
    finally:
        running.stop()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"the condition does not hold after {TIMEOUT_S:g} s"
        time.sleep(0.005)
