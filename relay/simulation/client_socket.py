"""A WebSocket client (RFC 6455) for generating load, on asyncio's buffered protocol.

All sockets of a process share one receive buffer, because asyncio fills it and delivers it in one call. A binary
message is reported with the part of it that has arrived; the rest is skipped. So large messages are never assembled.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from typing import Final, Protocol, cast

BUFFER_BYTES: Final = 256 * 1024
MAX_HANDSHAKE_BYTES: Final = 16 * 1024  # no valid response is longer
NO_CLOSE_FRAME: Final = 1006  # RFC 6455, 7.1.5

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_FIN = 0x80
# The mask protects proxies from pages that choose their bytes, which does not apply here. A key of zero is valid and
# leaves the payload unchanged; the server has the same work with it.
_MASKED = 0x80
_ZERO_KEY = bytes(4)

_shared = bytearray(BUFFER_BYTES)
_view = memoryview(_shared)


class SocketListener(Protocol):
    """Receives the events of a socket."""

    def opened(self, socket: ClientSocket) -> None: ...

    def text_received(self, payload: bytes) -> None: ...

    def binary_started(self, buffer: bytes | bytearray, start: int, end: int, size: int) -> None:
        """A binary message of `size` bytes has started. `buffer[start:end]` is here, at least min(size, 8) bytes."""

    def binary_ended(self) -> None:
        """The binary message that started has arrived completely."""

    def lost(self, code: int, reason: str) -> None:
        """The connection is closed, with the close code of the peer or NO_CLOSE_FRAME."""


class ClientSocket(asyncio.BufferedProtocol):
    """One socket. It aborts if the peer violates RFC 6455 or sends fragments, which a relay never does."""

    def __init__(self, listener: SocketListener, host: str, path: str, subprotocol: str) -> None:
        self._listener = listener
        self._key = base64.b64encode(os.urandom(16))
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {self._key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
        ).encode()
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._partial = b""  # the start of a response or frame that has not arrived completely
        self._to_skip = 0  # bytes of a binary message that are still to arrive
        self._closed_with: tuple[int, str] = (NO_CLOSE_FRAME, "")
        self.received_bytes = 0

    def send_text(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def send_binary(self, payload: bytes) -> None:
        self._send(BINARY, payload)

    def close(self, code: int) -> None:
        """Send a close frame. `lost` is called when the peer has answered and the connection is closed."""
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
        if self._partial:
            data: bytes | bytearray = self._partial + _shared[:nbytes]
            self._partial = b""
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
        self._listener.lost(*self._closed_with)

    # --- received data

    def _take_handshake(self, data: bytes | bytearray, end: int) -> int:
        """Parse the response to the handshake. Returns the offset of the first frame, or −1 if it is incomplete."""
        header_end = data.find(b"\r\n\r\n", 0, end)
        if header_end < 0:
            self._partial = bytes(data[:end])
            if end > MAX_HANDSHAKE_BYTES:
                self._abort_with("the response to the handshake is too long")
            return -1
        status, *lines = bytes(data[:header_end]).split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        if status.split(b" ")[1:2] != [b"101"] or headers.get(b"sec-websocket-accept") != accept:
            self._abort_with(f"the server did not accept the WebSocket: {status.decode('latin-1')}")
            return -1
        self._open = True
        self._listener.opened(self)
        return header_end + 4

    def _take_frames(self, data: bytes | bytearray, at: int, end: int) -> None:
        while at < end:
            if self._to_skip:
                skipped = min(self._to_skip, end - at)
                at += skipped
                self._to_skip -= skipped
                if self._to_skip:
                    return
                self._listener.binary_ended()
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
            first_byte = data[at]
            binary = first_byte == _FIN | BINARY
            if end - start < (min(size, 8) if binary else size):
                break
            at = start
            if binary:
                self._listener.binary_started(data, start, min(end, start + size), size)
                self._to_skip = size
                if not size:
                    self._listener.binary_ended()
            else:
                at += size
                self._take_message(first_byte, bytes(data[start:at]))
        self._partial = bytes(data[at:end])

    def _take_message(self, first_byte: int, payload: bytes) -> None:
        """Handle a text message or a control frame."""
        opcode = first_byte ^ _FIN
        if opcode == TEXT:
            self._listener.text_received(payload)
        elif opcode == CLOSE:
            if len(payload) >= 2:
                self._closed_with = (int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace"))
            self._send(CLOSE, payload[:2])
            if self._transport:
                self._transport.close()
        elif opcode == PING:
            self._send(PONG, payload)
        elif opcode != PONG:
            self._abort_with(f"unexpected frame with first byte {first_byte:#04x}")

    def _abort_with(self, reason: str) -> None:
        self._closed_with = (NO_CLOSE_FRAME, reason)
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
