"""How each relay is spoken to: what a client sends, what it counts, and how old the poses are that it gets."""

from __future__ import annotations

import json
import socket
import struct
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


WIRES: dict[str, type[Wire]] = {"streamxr": StreamXR}


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
