"""Hostile clients: random streams of malformed and unusual frames, from a seed."""

from __future__ import annotations

import json
import random
import socket
import struct

from pose_codec import encode_ack
from raw_websocket import BINARY, CLOSE, HELLO, PING, PONG, TEXT, RawWebSocket, frame
from streamxr.relay.protocol.moves import Move, encode_moves
from streamxr.relay.protocol.poses import BODY_MM, BOTH_HANDS, encode_pose_up

CONTINUATION = 0
POSE = encode_pose_up(BOTH_HANDS, 0, 0, BODY_MM.pack(*3 * (100, 1600, -200, 0xE0080200)))
MOVES = encode_moves(1, [Move(1, 1, 0, 0, bytes(10))])
TEXTS: tuple[dict[str, object], ...] = (
    HELLO,
    HELLO | {"v": 2},
    HELLO | {"resume": "A" * 22},
    {"type": "update", "name": "Mallory"},
    {"type": "stats", "bandwidth_bps": 1e6, "cdn_bytes": 1},
    {"type": "spawn", "ref": 1, "asset": "chair", "pose": {"p": [0, 0, 0], "q": [0, 0, 0, 1]}, "scale": 1},
    {"type": "grab", "id": 1},
    {"type": "release", "id": 1, "epoch": 1, "pose": {"p": [0, 0, 0], "q": [0, 0, 0, 1]}},
    {"type": "signal", "to": 1, "data": "x"},
    {"type": "welcome", "pid": 1},
)
ODD_VALUES = (  # JSON, or nearly
    "NaN",
    "1e999",
    "-0",
    "null",
    "[]",
    "{}",
    '"\\ud800"',
    '"\u202e"',
    "9" * 400,
    "[" * 2000,
    '"' + "x" * 70 + '"',
)


def random_frames(rng: random.Random) -> list[bytes]:
    """One message in one or several frames, valid or malformed."""
    match rng.randrange(14):
        case 0:
            return [frame(BINARY, POSE)]
        case 1:
            return [frame(BINARY, _damaged(rng, rng.choice((POSE, MOVES, encode_ack(7)))))]
        case 2:
            return [frame(BINARY, rng.randbytes(rng.choice((0, 1, 8, 37, 38, 39, 56, 125, 126, 300))))]
        case 3:
            return [frame(TEXT, json.dumps(rng.choice(TEXTS)).encode())]
        case 4:
            message = {**rng.choice(TEXTS)}
            message[rng.choice(list(message))] = None
            return [frame(TEXT, json.dumps(message).replace("null", rng.choice(ODD_VALUES)).encode("utf-8", "replace"))]
        case 5:
            return [frame(TEXT, _damaged(rng, json.dumps(rng.choice(TEXTS)).encode()))]
        case 6:
            return [frame(TEXT, rng.randbytes(rng.randrange(60)))]
        case 7:  # fragments, complete or not, with or without a ping between them
            cut = rng.randrange(len(POSE))
            parts = [frame(BINARY, POSE[:cut], fin=False), frame(CONTINUATION, POSE[cut:])]
            if rng.random() < 0.5:
                parts.insert(1, frame(PING, b"between"))
            return parts if rng.random() < 0.8 else parts[:-1]
        case 8:
            return [frame(rng.choice((PING, PONG)), rng.randbytes(rng.randrange(140)), fin=rng.random() < 0.9)]
        case 9:
            return [frame(rng.randrange(16), POSE, rsv=rng.choice((0, 0, 1, 4)), masked=rng.random() < 0.8)]
        case 10:
            return [frame(BINARY, b"", announced=rng.choice((126, 65535, 65537, 1 << 31, 1 << 63)))]
        case 11:
            return [frame(TEXT, b'{"type":"' + b"x" * rng.choice((16_000, 17_000, 66_000)) + b'"}')]
        case 12:
            return [frame(CLOSE, rng.choice((b"", b"\x03", struct.pack("!H", rng.randrange(65536)) + b"bye")))]
        case _:
            return [rng.randbytes(rng.randrange(1, 20))]


def attack(port: int, rng: random.Random, frame_count: int) -> int:
    """Run one hostile connection to its end. Returns the number of frames that it sent."""
    if rng.random() < 0.05:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(
                rng.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"GET /ws/x HTTP/1.1\r\n", rng.randbytes(300)))
            )
        return 1
    raw = RawWebSocket(port, rng.choice(("den", "lair")))
    if rng.random() < 0.8:
        raw.hello()
    # Most frames are valid poses; otherwise the relay would close connections before they reach interesting states.
    frames: list[bytes] = []
    while len(frames) < frame_count:
        frames += [frame(BINARY, POSE)] if rng.random() < 0.7 else random_frames(rng)
    stream = b"".join(frames) + frame(PING, b"over")
    try:
        while stream:
            size = rng.choice((len(stream), rng.randint(1, 400), rng.randint(1, 4000)))
            raw.send(stream[:size])
            stream = stream[size:]
        if rng.random() < 0.7:
            raw.socket.shutdown(socket.SHUT_WR)  # the rest of an announced frame never arrives
            while (message := raw.receive()) != (PONG, b"over") and message[0] != CLOSE:
                pass
    except OSError:
        pass  # the relay closed the connection, as it should
    finally:
        raw.abort()
    return len(frames)


def _damaged(rng: random.Random, payload: bytes) -> bytes:
    """The payload with a flipped bit or an extra byte, or truncated."""
    damaged = bytearray(payload)
    match rng.randrange(3):
        case 0:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        case 1:
            damaged.insert(rng.randrange(len(damaged)), rng.randrange(256))
        case _:
            del damaged[rng.randrange(len(damaged)) :]
    return bytes(damaged)
