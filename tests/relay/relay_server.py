"""A real relay for tests: uvicorn on a free port in a thread, and clients that speak through `websockets`."""

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

PATIENCE_S = 20.0  # a hang, not a slow machine


class RunningRelay:
    def __init__(self, settings: RelaySettings, *, fast_path: bool) -> None:
        self.server = RelayServer(settings, fast_path=fast_path)
        self._socket = listen("127.0.0.1", 0)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        eventually(lambda: self.server.started)

    @property
    def relay(self) -> Any:
        return self.server.relay

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def metric(self, series: str) -> float:
        """The value of one series, written as Prometheus writes it."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise KeyError(series)

    def connect(self, room: str = "hall", **how: Any) -> ClientConnection:
        # Without a bound on the queue a client always reads, even while the test looks elsewhere.
        how = {"subprotocols": ["streamxr.v1"], "compression": None, "max_queue": None} | how
        return connect(f"ws://127.0.0.1:{self.port}/ws/{room}", open_timeout=PATIENCE_S, **how)

    @contextlib.contextmanager
    def join(self, room: str = "hall", name: str = "Ada", **how: Any) -> Iterator[Client]:
        with self.connect(room, **how) as socket:
            client = Client(socket)
            client.say({"type": "hello", "v": 1, "name": name, "color": "#ff8800"})
            client.welcome = client.hear("welcome")
            yield client

    def away(self, room: str = "hall") -> list[int]:
        """The pids of those in a room whose lines are lost."""
        with self.join(room, "Onlooker") as onlooker:
            return [one["pid"] for one in onlooker.welcome["participants"] if one["away"]]

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


class Client:
    """One participant. What arrives while it looks for something else is kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}
        self.heard: list[dict[str, Any]] = []
        self.seen: list[Tick] = []
        self._seq = 0

    @property
    def pid(self) -> int:
        return int(self.welcome["pid"])

    def say(self, message: dict[str, Any] | str) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def flood(self, frame: str | bytes, times: int) -> None:
        """Send the same again and again, or until the relay has had enough."""
        with contextlib.suppress(ConnectionClosed):
            for _ in range(times):
                self.socket.send(frame)

    def move(self, x: float, y: float = 1.6, z: float = 0.0) -> None:
        self._seq += 1
        self.socket.send(encode_pose(Body(Point((x, y, z), (0.0, 0.0, 0.0, 1.0))), self._seq, 0))

    def hear(self, kind: str) -> dict[str, Any]:
        """The next control message of that type; others stay in `heard`."""
        while True:
            for message in self.heard:
                if message["type"] == kind:
                    self.heard.remove(message)
                    return message
            self._take(self.socket.recv(PATIENCE_S))

    def see(self, pid: int, x: float) -> None:
        """Wait until that participant's head is at `x`."""

        def shows(tick: Tick) -> bool:
            return any(
                record.pid == pid and abs(unpack_body(record.flags, record.body).head.p[0] - x) < 0.001
                for record in tick.records
            )

        while not any(shows(tick) for tick in self.seen):
            self.seen.clear()
            self._take(self.socket.recv(PATIENCE_S))

    def hear_close(self) -> int | None:
        """The code the relay closes with, after everything that came before it."""
        try:
            while True:
                self._take(self.socket.recv(PATIENCE_S))
        except ConnectionClosed:
            return self.socket.close_code

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            self.heard.append(json.loads(frame))
        else:
            self.seen.append(decode_tick(frame))


@contextlib.contextmanager
def running_relay(*, fast_path: bool = True, **settings: Any) -> Iterator[RunningRelay]:
    """A relay with these settings, for the time of a `with` block. Without `fast_path` it is on plain ASGI."""
    running = RunningRelay(replace(RelaySettings(drain_s=0.0), **settings), fast_path=fast_path)
    try:
        yield running
    finally:
        running.stop()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
