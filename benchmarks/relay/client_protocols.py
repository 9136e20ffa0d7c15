"""The protocols of the servers from the client's side: joining, sending poses, counting them and reading their ages."""

# ruff: noqa: ARG002 (the methods of one interface; not every protocol uses all arguments)
from __future__ import annotations

import json
import re
import socket
import struct
import urllib.request
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from load_generator import Client

NO_AGES = np.zeros(0, dtype=np.uint32)
SMALLEST_THREE = 0xE0080200  # a quaternion in 32 bits


class ClientProtocol(Protocol):
    """One client's side of a protocol; see LoadGenerator."""

    def connect(self, client: Client, port: int) -> None:
        """Do the WebSocket handshake and send the first message. Blocks."""

    def is_welcome(self, client: Client, opcode: int, payload: bytes) -> bool:
        """Whether this message completes joining; answers it if needed."""

    def pose_frame(self, client: Client) -> bytearray:
        """A frame with a pose, which `update_pose` completes."""

    def update_pose(self, client: Client, now_us: int) -> None:
        """Write the next pose and the time into the client's frame."""

    def count_poses(self, client: Client, view: memoryview, body: int, length: int) -> float:
        """The number of poses in a message. `view` may end 8 bytes after `body`."""

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        """The ages in microseconds of the poses of other clients in a message."""

    def poses_of_others(self, records: float, sent: int) -> float:
        """The number of poses of other clients among all counted ones. sent: poses that all clients have sent."""


class StreamXR:
    """streamxr.v1; a pose acknowledges the last tick."""

    RECORD = np.dtype([("pid", "<u2"), ("flags", "u1"), ("age", "u1"), ("p", "<i2", 3), ("t", "<u4"), ("rest", "V20")])

    def connect(self, client: Client, port: int) -> None:
        open_websocket(client.socket, port, f"/ws/{client.room}", "streamxr.v1")
        hello = {"type": "hello", "v": 1, "name": f"Bot {client.index}", "color": "#4477aa"}
        client.socket.send(masked_frame(0x81, json.dumps(hello).encode()))

    def is_welcome(self, client: Client, opcode: int, payload: bytes) -> bool:
        if opcode == 8:
            raise ConnectionError(f"the relay closed: {payload!r}")
        if opcode == 1:
            message = json.loads(payload)
            if message["type"] == "welcome":
                client.participant = message["pid"]
                return True
        return False

    def pose_frame(self, client: Client) -> bytearray:
        head = struct.pack("<hhhI", int(client.x * 1000), 1600, int(client.z * 1000), 0)
        hand = struct.pack("<hhhI", int(client.x * 1000), 1100, int(client.z * 1000), SMALLEST_THREE)
        return bytearray(masked_frame(0x82, struct.pack("<BBHI", 1, 3, 0, 0) + head + 2 * hand))

    def update_pose(self, client: Client, now_us: int) -> None:
        frame = client.frame
        struct.pack_into("<HI", frame, 8, client.sent & 0xFFFF, client.tick)
        struct.pack_into("<I", frame, 20, now_us)
        struct.pack_into("<h", frame, 26, 1100 + client.sent % 200)
        struct.pack_into("<h", frame, 36, 1300 - client.sent % 200)

    def count_poses(self, client: Client, view: memoryview, body: int, length: int) -> float:
        if length < 8 or view[body] != 2:
            return 0
        _, _, count, client.tick = struct.unpack_from("<BBHI", view, body)
        return count

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        if payload[0] != 2:
            return NO_AGES
        records = np.frombuffer(payload, self.RECORD, offset=8)
        sent = records["t"][(records["pid"] != client.participant) & (records["t"] != 0)]
        return np.uint32(now_us) - sent

    def poses_of_others(self, records: float, sent: int) -> float:
        return records - sent


class Original:
    """JSON with one message per pose, and numbers with as many digits as browsers write."""

    TIME = re.compile(rb'"timestamp":(\d+)')
    FIRST = 1_000_000_000  # so that times have ten digits

    def connect(self, client: Client, port: int) -> None:
        open_websocket(client.socket, port, f"/{client.room}")

    def is_welcome(self, client: Client, opcode: int, payload: bytes) -> bool:
        return opcode == 1 and b'"welcome"' in payload

    def pose_frame(self, client: Client) -> bytearray:
        pose = {
            "type": "position-update",
            "position": [client.x + 0.1234567890123, 1.6234567890123457, client.z + 0.2345678901234],
            "rotation": [0.1234567890123456, 1.2345678901234567, 0.0123456789012345],
            "quaternion": [0.0512345678901234, 0.3812345678901234, 0.0212345678901234, 0.9212345678901234],
            "timestamp": self.FIRST,
        }
        return bytearray(masked_frame(0x81, json.dumps(pose, separators=(",", ":")).encode()))

    def update_pose(self, client: Client, now_us: int) -> None:
        client.frame[-11:-1] = b"%010d" % (self.FIRST + now_us)

    def count_poses(self, client: Client, view: memoryview, body: int, length: int) -> float:
        return length > 150

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        found = self.TIME.search(payload)
        if not found:
            return NO_AGES
        return np.array([now_us - (int(found[1]) - self.FIRST) & 0xFFFFFFFF], dtype=np.uint32)

    def poses_of_others(self, records: float, sent: int) -> float:
        return records


class Colyseus:
    """The state of a room as a schema, and patches of it.

    A patch holds, for each changed body, its number and then all its fields with their indices: 47 bytes. Clients that
    skim compute the number of bodies from the length.
    """

    FIELDS_BYTES = 47
    JOIN, POSE, STATE, PATCH = 10, 13, 14, 15

    def __init__(self) -> None:
        self._highest = 3  # the number of the newest body; the state and the map have the first two

    def connect(self, client: Client, port: int) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/matchmake/joinOrCreate/hall",
            json.dumps({"hall": client.room}).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            seat = json.load(response)
        path = f"/{seat['processId']}/{seat['roomId']}?sessionId={seat['sessionId']}"
        open_websocket(client.socket, port, path)
        self._highest += 1

    def is_welcome(self, client: Client, opcode: int, payload: bytes) -> bool:
        if opcode == 2 and payload[0] == self.JOIN:
            client.socket.send(masked_frame(0x82, bytes((self.JOIN,))))
            return True
        return False

    def pose_frame(self, client: Client) -> bytearray:
        numbers = [b"\xce" + bytes(4)]
        for part in range(3):
            numbers += [b"\xd1" + struct.pack(">h", value) for value in (1000 + part, 1600, 900)]
            numbers.append(b"\xce" + struct.pack(">I", SMALLEST_THREE))
        return bytearray(masked_frame(0x82, bytes((self.POSE,)) + b"\xa4pose" + b"\x9d" + b"".join(numbers)))

    def update_pose(self, client: Client, now_us: int) -> None:
        frame = client.frame
        struct.pack_into(">I", frame, 14, now_us)
        wave = client.sent % 200
        at = 18
        for _ in range(3):  # a worn headset changes every number in every pose
            for axis in range(3):
                struct.pack_into(">h", frame, at + 1, 1000 + wave + axis)
                at += 3
            struct.pack_into(">I", frame, at + 1, SMALLEST_THREE + wave)
            at += 5

    def count_poses(self, client: Client, view: memoryview, body: int, length: int) -> float:
        if view[body] != self.PATCH:
            return 0
        return (length - 1) / (self.FIELDS_BYTES + 1 + 1 + (self._highest > 127) + (self._highest > 255))

    def ages(self, client: Client, payload: bytes, now_us: int) -> np.ndarray:
        if payload[0] != self.PATCH:
            return NO_AGES
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

    def poses_of_others(self, records: float, sent: int) -> float:
        return records - sent


PROTOCOLS: dict[str, type[ClientProtocol]] = {"streamxr": StreamXR, "original": Original, "colyseus": Colyseus}


def open_websocket(connection: socket.socket, port: int, path: str, subprotocol: str = "") -> None:
    """Do the handshake of RFC 6455. Raises ConnectionError if the server refuses."""
    offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n".encode()
    )
    response = b""
    while not response.endswith(b"\r\n\r\n"):  # byte by byte, since frames follow
        response += connection.recv(1) or b"gone\r\n\r\n"
    if not response.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(response.decode(errors="replace"))


def masked_frame(first_byte: int, payload: bytes) -> bytes:
    """A client's WebSocket frame with the masking key 0."""
    size = len(payload)
    lengths = bytes((0x80 | size,)) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
    return bytes((first_byte,)) + lengths + bytes(4) + payload
