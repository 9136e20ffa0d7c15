"""How each relay is spoken to: what a client sends, what it counts, and how old the poses are that it gets."""

# ruff: noqa: ARG002 (each speaks in its own way through the same methods)
from __future__ import annotations

import json
import re
import socket
import struct
import urllib.request
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from swarm import Client

NONE = np.zeros(0, dtype=np.uint32)
SMALLEST_THREE = 0xE0080200


class Wire(Protocol):
    def connect(self, client: Client, port: int) -> None:
        """Shake hands and say hello; blocking."""

    def greet(self, client: Client, opcode: int, payload: bytes) -> bool:
        """Look at a message; whether the client is in now."""

    def template(self, client: Client) -> bytearray:
        """The frame of a pose, to be completed by `move`."""

    def move(self, client: Client, now_us: int) -> None: ...

    def count(self, client: Client, view: memoryview, body: int, length: int) -> float:
        """How many poses a message holds; `view` may end 8 bytes after `body`."""

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        """Microseconds, of the poses of others."""

    def others(self, records: float, sent: int) -> float:
        """How many of the counted poses were of others."""


class StreamXR:
    """streamxr.v1; ticks are acknowledged in poses."""

    RECORD = np.dtype([("pid", "<u2"), ("flags", "u1"), ("age", "u1"), ("p", "<i2", 3), ("t", "<u4"), ("rest", "V20")])

    def connect(self, client: Client, port: int) -> None:
        shake_hands(client.socket, port, f"/ws/{client.room}", "streamxr.v1")
        hello = {"type": "hello", "v": 1, "name": f"Bot {client.index}", "color": "#4477aa"}
        client.socket.send(masked(0x81, json.dumps(hello).encode()))

    def greet(self, client: Client, opcode: int, payload: bytes) -> bool:
        if opcode == 8:
            raise ConnectionError(f"the relay closed: {payload!r}")
        if opcode == 1:
            message = json.loads(payload)
            if message["type"] == "welcome":
                client.own = message["pid"]
                return True
        return False

    def template(self, client: Client) -> bytearray:
        head = struct.pack("<hhhI", int(client.x * 1000), 1600, int(client.z * 1000), 0)
        hand = struct.pack("<hhhI", int(client.x * 1000), 1100, int(client.z * 1000), SMALLEST_THREE)
        return bytearray(masked(0x82, struct.pack("<BBHI", 1, 3, 0, 0) + head + 2 * hand))

    def move(self, client: Client, now_us: int) -> None:
        frame = client.frame
        struct.pack_into("<HI", frame, 8, client.sent & 0xFFFF, client.tick)
        struct.pack_into("<I", frame, 20, now_us)
        struct.pack_into("<h", frame, 26, 1100 + client.sent % 200)
        struct.pack_into("<h", frame, 36, 1300 - client.sent % 200)

    def count(self, client: Client, view: memoryview, body: int, length: int) -> float:
        if length < 8 or view[body] != 2:
            return 0
        _, _, count, client.tick = struct.unpack_from("<BBHI", view, body)
        return count

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        if payload[0] != 2:
            return NONE
        records = np.frombuffer(payload, self.RECORD, offset=8)
        sent = records["t"][(records["pid"] != client.own) & (records["t"] != 0)]
        return np.uint32(now_us) - sent

    def others(self, records: float, sent: int) -> float:
        return records - sent


class Original:
    """JSON, one message per pose; numbers of as many digits as a browser writes."""

    TIME = re.compile(rb'"timestamp":(\d+)')
    FIRST = 1_000_000_000  # so that times have ten digits

    def connect(self, client: Client, port: int) -> None:
        shake_hands(client.socket, port, f"/{client.room}")

    def greet(self, client: Client, opcode: int, payload: bytes) -> bool:
        return opcode == 1 and b'"welcome"' in payload

    def template(self, client: Client) -> bytearray:
        pose = {
            "type": "position-update",
            "position": [client.x + 0.1234567890123, 1.6234567890123457, client.z + 0.2345678901234],
            "rotation": [0.1234567890123456, 1.2345678901234567, 0.0123456789012345],
            "quaternion": [0.0512345678901234, 0.3812345678901234, 0.0212345678901234, 0.9212345678901234],
            "timestamp": self.FIRST,
        }
        return bytearray(masked(0x81, json.dumps(pose, separators=(",", ":")).encode()))

    def move(self, client: Client, now_us: int) -> None:
        client.frame[-11:-1] = b"%010d" % (self.FIRST + now_us)

    def count(self, client: Client, view: memoryview, body: int, length: int) -> float:
        return length > 150

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        found = self.TIME.search(payload)
        if not found:
            return NONE
        return np.array([now_us - (int(found[1]) - self.FIRST) & 0xFFFFFFFF], dtype=np.uint32)

    def others(self, records: float, sent: int) -> float:
        return records


class Colyseus:
    """A room's state as a schema, and patches of it: for each body that changed its number, then all its fields,
    each with an index: 47 bytes. Clients that only skim count by length."""

    FIELDS_BYTES = 47
    JOIN, POSE, STATE, PATCH = 10, 13, 14, 15

    def __init__(self) -> None:
        self._highest = 3  # number of the newest body: the state and the map have the first two

    def connect(self, client: Client, port: int) -> None:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/matchmake/joinOrCreate/hall",
            json.dumps({"hall": client.room}).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        with urllib.request.urlopen(asked) as answer:
            seat = json.load(answer)
        path = f"/{seat['processId']}/{seat['roomId']}?sessionId={seat['sessionId']}"
        shake_hands(client.socket, port, path)
        self._highest += 1

    def greet(self, client: Client, opcode: int, payload: bytes) -> bool:
        if opcode == 2 and payload[0] == self.JOIN:
            client.socket.send(masked(0x82, bytes((self.JOIN,))))
            return True
        return False

    def template(self, client: Client) -> bytearray:
        numbers = [b"\xce" + bytes(4)]
        for part in range(3):
            numbers += [b"\xd1" + struct.pack(">h", value) for value in (1000 + part, 1600, 900)]
            numbers.append(b"\xce" + struct.pack(">I", SMALLEST_THREE))
        return bytearray(masked(0x82, bytes((self.POSE,)) + b"\xa4pose" + b"\x9d" + b"".join(numbers)))

    def move(self, client: Client, now_us: int) -> None:
        frame = client.frame
        struct.pack_into(">I", frame, 14, now_us)
        wave = client.sent % 200
        at = 18
        for _ in range(3):  # a headset that is worn changes every number in every pose
            for axis in range(3):
                struct.pack_into(">h", frame, at + 1, 1000 + wave + axis)
                at += 3
            struct.pack_into(">I", frame, at + 1, SMALLEST_THREE + wave)
            at += 5

    def count(self, client: Client, view: memoryview, body: int, length: int) -> float:
        if view[body] != self.PATCH:
            return 0
        return (length - 1) / (self.FIELDS_BYTES + 1 + 1 + (self._highest > 127) + (self._highest > 255))

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        if payload[0] != self.PATCH:
            return NONE
        times = []
        at, end = 1, len(payload)
        while at + self.FIELDS_BYTES < end:
            if payload[at] != 255:
                break
            number = payload[at + 1]
            at += 2 if number < 128 else 3 if number == 0xCC else 4
            if payload[at] != 0x80:
                break
            times.append(int.from_bytes(payload[at + 1 : at + 5], "little"))
            at += self.FIELDS_BYTES
        return np.uint32(now_us) - np.array(times, dtype=np.uint32)

    def others(self, records: float, sent: int) -> float:
        return records - sent


WIRES: dict[str, type[Wire]] = {"streamxr": StreamXR, "original": Original, "colyseus": Colyseus}


def shake_hands(line: socket.socket, port: int, path: str, subprotocol: str = "") -> None:
    wanted = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    line.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{wanted}\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows is frames
        answer += line.recv(1) or b"gone\r\n\r\n"
    if not answer.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(answer.decode(errors="replace"))


def masked(head: int, payload: bytes) -> bytes:
    """A client's frame with the masking key 0."""
    size = len(payload)
    lengths = bytes((0x80 | size,)) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return bytes((head,)) + lengths + bytes(4) + payload
