"""A minimal WebSocket client that can send malformed frames, which client libraries cannot."""

from __future__ import annotations

import json
import os
import socket
import struct

TIMEOUT_S = 20.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HELLO = {"type": "hello", "v": 1, "name": "Mallory", "color": "#ff8800"}


class RawWebSocket:
    def __init__(self, port: int, room: str = "hall", *, version: int = 13) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.socket.sendall(
            f"GET /ws/{room} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Protocol: streamxr.v1\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._received:
            got = self.socket.recv(4096)
            assert got, "the relay closed the connection during the handshake"
            self._received += got
        response, _, self._received = self._received.partition(b"\r\n\r\n")
        self.status = int(response.split()[1])

    def hello(self, name: str = "Mallory") -> int:
        """Send hello and wait for welcome. Returns the pid."""
        self.socket.sendall(frame(TEXT, json.dumps(HELLO | {"name": name}).encode()))
        while True:
            opcode, payload = self.receive()
            assert opcode != CLOSE, f"closed instead of welcomed: {payload!r}"
            if opcode == TEXT and json.loads(payload)["type"] == "welcome":
                return int(json.loads(payload)["pid"])

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next message; CLOSE with an empty payload if the connection is lost."""
        while (message := self._message()) is None:
            try:
                got = self.socket.recv(65536)
            except ConnectionError:
                got = b""
            if not got:
                return CLOSE, b""
            self._received += got
        return message

    def receive_until(self, opcode: int) -> bytes:
        """The payload of the next message of that kind. Fails if the relay closes the connection before."""
        while True:
            got, payload = self.receive()
            if got == opcode:
                return payload
            assert got != CLOSE, f"closed: {payload!r}"

    def close_code(self) -> int:
        """Read everything until the relay closes the connection. Returns its close code; 1006 without a code."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1006

    def abort(self) -> None:
        self.socket.close()

    def _message(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        size, start = data[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            return None
        self._received = data[start + size :]
        return data[0] & 15, data[start : start + size]


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    masked: bool = True,
    announced: int | None = None,
) -> bytes:
    """A frame of a client, malformed if the arguments say so. `announced` is the length in its header."""
    size = len(payload) if announced is None else announced
    first_byte = fin << 7 | rsv << 4 | opcode
    mask_bit = masked << 7
    if size < 126:
        header = bytes((first_byte, mask_bit | size))
    elif size < 1 << 16:
        header = struct.pack("!BBH", first_byte, mask_bit | 126, size)
    else:
        header = struct.pack("!BBQ", first_byte, mask_bit | 127, size)
    if not masked:
        return header + payload
    key = mask or os.urandom(4)
    return header + key + bytes(byte ^ key[at & 3] for at, byte in enumerate(payload))
