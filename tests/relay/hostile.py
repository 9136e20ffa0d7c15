"""Clients that mean no good: seeded streams of frames that are malformed in one way or another, or merely odd."""

from __future__ import annotations

import json
import random
import socket
import struct

from raw_websocket import BINARY, CLOSE, HELLO, PING, PONG, TEXT, RawWebSocket, frame

CONTINUATION = 0
POSE = struct.pack("<BBHI", 1, 3, 0, 0) + 3 * struct.pack("<hhhI", 100, 1600, -200, 0xE0080200)
MOVES = struct.pack("<BBHI", 3, 1, 1, 0) + struct.pack("<IIBB", 1, 1, 0, 0) + bytes(10)
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
ODDITIES = (
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


def some_frames(dice: random.Random) -> list[bytes]:
    """One message, or something that claims to be one, as one frame or several."""
    match dice.randrange(14):
        case 0:
            return [frame(BINARY, POSE)]
        case 1:
            return [frame(BINARY, _bent(dice, dice.choice((POSE, MOVES, struct.pack("<BBHI", 4, 0, 0, 7)))))]
        case 2:
            return [frame(BINARY, dice.randbytes(dice.choice((0, 1, 8, 37, 38, 39, 56, 125, 126, 300))))]
        case 3:
            return [frame(TEXT, json.dumps(dice.choice(TEXTS)).encode())]
        case 4:
            message = {**dice.choice(TEXTS)}
            message[dice.choice(list(message))] = json.loads("null")
            return [frame(TEXT, json.dumps(message).replace("null", dice.choice(ODDITIES)).encode("utf-8", "replace"))]
        case 5:
            return [frame(TEXT, _bent(dice, json.dumps(dice.choice(TEXTS)).encode()))]
        case 6:
            return [frame(TEXT, dice.randbytes(dice.randrange(60)))]
        case 7:  # fragments, whole or left open, with or without a ping between
            cut = dice.randrange(len(POSE))
            parts = [frame(BINARY, POSE[:cut], fin=False), frame(CONTINUATION, POSE[cut:])]
            if dice.random() < 0.5:
                parts.insert(1, frame(PING, b"between"))
            return parts if dice.random() < 0.8 else parts[:-1]
        case 8:
            return [frame(dice.choice((PING, PONG)), dice.randbytes(dice.randrange(140)), fin=dice.random() < 0.9)]
        case 9:
            return [frame(dice.randrange(16), POSE, rsv=dice.choice((0, 0, 1, 4)), masked=dice.random() < 0.8)]
        case 10:
            return [frame(BINARY, b"", announced=dice.choice((126, 65535, 65537, 1 << 31, 1 << 63)))]
        case 11:
            return [frame(TEXT, b'{"type":"' + b"x" * dice.choice((16_000, 17_000, 66_000)) + b'"}')]
        case 12:
            return [frame(CLOSE, dice.choice((b"", b"\x03", struct.pack("!H", dice.randrange(65536)) + b"bye")))]
        case _:
            return [dice.randbytes(dice.randrange(1, 20))]


def attack(port: int, dice: random.Random, most: int) -> int:
    """One hostile connection, to its end; how many frames it sent."""
    if dice.random() < 0.05:
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(dice.choice((b"", b"GET / HTTP/1.1\r\n\r\n", b"GET /ws/x HTTP/1.1\r\n", dice.randbytes(300))))
        return 1
    raw = RawWebSocket(port, dice.choice(("den", "lair")))
    if dice.random() < 0.8:
        raw.hello()
    # Odd frames are rare at first, or no connection would live long enough for a state worth attacking.
    frames: list[bytes] = []
    while len(frames) < most:
        frames += [frame(BINARY, POSE)] if dice.random() < 0.7 else some_frames(dice)
    stream = b"".join(frames) + frame(PING, b"over")
    try:
        while stream:
            size = dice.choice((len(stream), dice.randint(1, 400), dice.randint(1, 4000)))
            raw.send(stream[:size])
            stream = stream[size:]
        if dice.random() < 0.7:
            raw.socket.shutdown(socket.SHUT_WR)  # the rest of a frame that was announced will never come
            while (message := raw.receive()) != (PONG, b"over") and message[0] != CLOSE:
                pass
    except OSError:
        pass  # thrown out, as it should be
    finally:
        raw.cut()
    return len(frames)


def _bent(dice: random.Random, payload: bytes) -> bytes:
    """With a bit turned, a byte too many, or cut short."""
    bent = bytearray(payload)
    match dice.randrange(3):
        case 0:
            bent[dice.randrange(len(bent))] ^= 1 << dice.randrange(8)
        case 1:
            bent.insert(dice.randrange(len(bent)), dice.randrange(256))
        case _:
            del bent[dice.randrange(len(bent)) :]
    return bytes(bent)
