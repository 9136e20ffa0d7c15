"""The client's end of a WebSocket (RFC 6455) for load: asyncio's buffered protocol, and nothing looked at twice.

One buffer serves all sockets of a process, since asyncio fills it and hands it over in one go. Large binary
messages are announced with what has come of them and then passed over, never put together.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from typing import Final, Protocol, cast

BUFFER_BYTES: Final = 256 * 1024
HANDSHAKE_BYTES: Final = 16 * 1024  # more than that is no answer to ours
NO_CLOSE_FRAME: Final = 1006  # RFC 6455, 7.1.5

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_FIN = 0x80
# The mask keeps browsers from writing what they like through proxies. A key of zero is as valid as any other
# and leaves the payload as it is; the server has the same work with it.
_MASKED = 0x80
_ZERO_KEY = bytes(4)

_shared = bytearray(BUFFER_BYTES)
_view = memoryview(_shared)


class Ears(Protocol):
    """Who listens to a socket."""

    def opened(self, socket: ClientSocket) -> None: ...

    def heard_text(self, payload: bytes) -> None: ...

    def heard_binary(self, buffer: bytes | bytearray, start: int, end: int, size: int) -> None:
        """A binary message of `size` bytes begins; `buffer[start:end]`, 8 bytes at least if it has them, are here."""

    def heard_all(self) -> None:
        """The binary message that began is complete."""

    def lost(self, code: int, reason: str) -> None:
        """The line is gone, with the peer's close code or NO_CLOSE_FRAME."""


class ClientSocket(asyncio.BufferedProtocol):
    """One socket. It ends itself where the peer breaks RFC 6455 or fragments, which a relay never does."""

    def __init__(self, ears: Ears, host: str, path: str, subprotocol: str) -> None:
        self._ears = ears
        self._key = base64.b64encode(os.urandom(16))
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {self._key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        ).encode()
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._kept = b""  # the start of something that is not all here yet
        self._passing = 0  # bytes of a binary message still to come
        self._end: tuple[int, str] = (NO_CLOSE_FRAME, "")
        self.received_bytes = 0

    def send_text(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def send_binary(self, payload: bytes) -> None:
        self._send(BINARY, payload)

    def close(self, code: int) -> None:
        """Say goodbye; `lost` is called when the peer has answered and gone."""
        self._send(CLOSE, struct.pack("!H", code))

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return _view

    def buffer_updated(self, nbytes: int) -> None:
        self.received_bytes += nbytes
        if self._kept:
            data: bytes | bytearray = self._kept + _shared[:nbytes]
            self._kept = b""
            nbytes = len(data)
        else:
            data = _shared
        at = 0 if self._open else self._take_handshake(data, nbytes)
        if at >= 0:
            self._take_frames(data, at, nbytes)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._ears.lost(*self._end)

    # --- what came

    def _take_handshake(self, data: bytes | bytearray, end: int) -> int:
        """Where frames begin; −1 while they do not."""
        blank = data.find(b"\r\n\r\n", 0, end)
        if blank < 0:
            self._kept = bytes(data[:end])
            if end > HANDSHAKE_BYTES:
                self._give_up("an answer without end")
            return -1
        status, *lines = bytes(data[:blank]).split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        if status.split(b" ")[1:2] != [b"101"] or headers.get(b"sec-websocket-accept") != accept:
            self._give_up(f"no WebSocket there: {status.decode('latin-1')}")
            return -1
        self._open = True
        self._ears.opened(self)
        return blank + 4

    def _take_frames(self, data: bytes | bytearray, at: int, end: int) -> None:
        while at < end:
            if self._passing:
                passed = min(self._passing, end - at)
                at += passed
                self._passing -= passed
                if self._passing:
                    return
                self._ears.heard_all()
                continue
            start = at + 2
            if start <= end:
                size = data[at + 1]
                if size == 126:
                    start += 2
                    size = data[at + 2] << 8 | data[at + 3] if start <= end else 0
                elif size == 127:
                    start += 8
                    size = int.from_bytes(data[at + 2 : start], "big") if start <= end else 0
            if start > end:
                break
            first = data[at]
            binary = first == _FIN | BINARY
            if end - start < (min(size, 8) if binary else size):
                break
            at = start
            if binary:
                self._ears.heard_binary(data, start, min(end, start + size), size)
                self._passing = size
                if not size:
                    self._ears.heard_all()
            else:
                at += size
                self._take_other(first, bytes(data[start:at]))
        self._kept = bytes(data[at:end])

    def _take_other(self, first: int, payload: bytes) -> None:
        opcode = first ^ _FIN
        if opcode == TEXT:
            self._ears.heard_text(payload)
        elif opcode == CLOSE:
            if len(payload) >= 2:
                self._end = (int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace"))
            self._send(CLOSE, payload[:2])
            if self._transport:
                self._transport.close()
        elif opcode == PING:
            self._send(PONG, payload)
        elif opcode != PONG:
            self._give_up(f"a frame that begins with {first:#04x}")

    def _give_up(self, reason: str) -> None:
        self._end = (NO_CLOSE_FRAME, reason)
        self.abort()

    def _send(self, opcode: int, payload: bytes) -> None:
        if not self._transport or not self._open or self._transport.is_closing():
            return
        size = len(payload)
        if size < 126:
            header = bytes((_FIN | opcode, _MASKED | size))
        else:
            header = struct.pack("!BBH", _FIN | opcode, _MASKED | 126, size)
        self._transport.write(header + _ZERO_KEY + payload)
