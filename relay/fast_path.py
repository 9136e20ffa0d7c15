"""The fast path to the transport: reads poses and writes ticks without ASGI.

Through ASGI every pose costs a queue, a task switch and two dictionaries; every tick is encoded again for each client;
and a `send` waits while a client does not read, with no way to give it up. This subclass of uvicorn's WebSocket
protocol stores itself in the ASGI scope of the connection. It takes complete masked binary frames out of the stream
before any other parser, and writes encoded frames directly to the transport. The library handles everything else: text,
fragments, control frames, malformed frames, and frames that are split between segments.

The class uses internals of uvicorn and websockets that may change. `fast_path_available()` tests them. If they are not
as expected, or on other servers, connections use `transport.AsgiTransport`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from types import GeneratorType
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from .frames import Burst, Frame
from .limited_protocols import LimitedWebSocketProtocol
from .transport import MIN_BACKLOG_BYTES

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C extension
    from websockets.utils import apply_mask

EXTENSION: Final = "streamxr.fast_path"  # key in the ASGI scope's extensions
SHORT_BINARY: Final = 0x82  # FIN bit, no extension, opcode 2
MASKED: Final = 0x80
MAX_SHORT_BYTES: Final = 125  # the longest payload whose length fits the second byte (RFC 6455, 5.2)
SHORT_HEADER_BYTES: Final = 6  # first byte, length, masking key
# The kernel would buffer megabytes for a slow client: at 34 bytes per pose, minutes of outdated poses. For larger
# frames the limit is raised to two frames, because the kernel must be able to take one as a whole.
MAX_UNSENT_BYTES: Final = 16 * 1024

OnBinary = Callable[[bytes], None]


class FastPathWebSocketProtocol(LimitedWebSocketProtocol):
    """Implements `transport.Transport`, and reads binary frames after `open_fast_path`."""

    _on_binary: OnBinary | None = None
    _between_messages = False
    _max_unsent = MAX_UNSENT_BYTES
    _socket: int | None = None  # descriptor of the socket, if data is written to it unchanged (without TLS)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:  # None: the handshake was refused
            scope["extensions"][EXTENSION] = self

    def open_fast_path(self, on_binary: OnBinary) -> None:
        """Call `on_binary` with the payload of each binary message that arrives in one short frame.

        All other messages are received through ASGI as before. Together they keep the order in which they were sent.
        """
        self._on_binary = on_binary
        connection = self.transport.get_extra_info("socket")
        if connection is not None and self.transport.get_extra_info("sslcontext") is None:
            self._socket = connection.fileno()
        self._between_messages = between_messages(self.conn)

    def data_received(self, data: bytes) -> None:
        on_binary = self._on_binary
        # With reading paused, ASGI still holds a text message, and a pose must not overtake it.
        if on_binary is None or not self._between_messages or self.read_paused:
            super().data_received(data)
        else:
            at, end = 0, len(data)
            while end - at >= SHORT_HEADER_BYTES and data[at] == SHORT_BINARY and not self.close_sent:
                size = data[at + 1] - MASKED
                body = at + SHORT_HEADER_BYTES
                after = body + size
                if not 0 <= size <= MAX_SHORT_BYTES or after > end:
                    break
                on_binary(apply_mask(data[body:after], data[at + 2 : body]))
                at = after
            if at == end:
                return
            super().data_received(data[at:] if at else data)
        if on_binary is not None:
            self._between_messages = between_messages(self.conn)

    def offer(self, burst: Burst) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent > MIN_BACKLOG_BYTES and unsent > burst.size:
            return False
        if self._may_write():
            encoded, sent = burst.encoded, 0
            self._allow_unsent(len(encoded))
            if not unsent and self._socket is not None and (file := burst.file) is not None:
                try:
                    sent = os.sendfile(self._socket, file, 0, len(encoded))
                except OSError:  # the socket is full, or the connection is lost and the transport notices it too
                    sent = 0
            if sent < len(encoded):
                self.transport.write(encoded[sent:])
        return True

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def write(self, frame: Frame) -> None:
        if self._may_write():
            self._allow_unsent(len(frame.encoded))
            self.transport.write(frame.encoded)

    def evict(self, code: int, reason: str) -> None:
        self.close(code, reason)

    def _may_write(self) -> bool:
        return not self.close_sent and self.conn.state is OPEN and not self.transport.is_closing()

    def _allow_unsent(self, size: int) -> None:
        """Let the kernel buffer a frame of `size` bytes as a whole."""
        if size <= self._max_unsent:
            return
        self._max_unsent = 2 * size
        connection = self.transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._max_unsent)


def between_messages(protocol: ServerProtocol) -> bool:
    """Whether the next byte starts a message: no frame is partly read and no message partly assembled.

    An empty buffer does not prove it: a segment may end right after a frame header, which the parser has already taken
    out of the buffer. The state of the parser does: between frames it waits in `at_eof`, within a frame in
    `read_exact`.
    """
    parser: Any = protocol.parser
    while isinstance(parser.gi_yieldfrom, GeneratorType):
        parser = parser.gi_yieldfrom
    return (
        parser.gi_code is StreamReader.at_eof.__code__
        and not protocol.reader.buffer
        and protocol.current_size is None
        and protocol.state is OPEN
    )


def fast_path_available() -> bool:
    """Whether the installed uvicorn and websockets work as the fast path expects, tested on a protocol in memory."""
    try:
        return _has_expected_names() and _parser_state_is_readable()
    except Exception:  # any error of an unknown version means that it is not as expected
        return False


def _has_expected_names() -> bool:
    attributes = ("queue", "read_paused", "close_sent", "close_timer", "conn")
    methods = (
        "handle_connect",
        "data_received",
        "stop_keepalive",
        "handle_ping",
        "handle_pong",
        "handle_cont",
        "send_receive_event_to_app",
    )
    return {*WebSocketsSansIOProtocol.__init__.__code__.co_names}.issuperset(attributes) and all(
        hasattr(WebSocketsSansIOProtocol, name) for name in methods
    )


def _parser_state_is_readable() -> bool:
    """Whether `between_messages` is right after complete, partial and fragmented messages and after a close."""
    message = _masked(Opcode.BINARY, fin=True)
    for data, expected in (
        (message, True),
        (message + message[:1], False),
        (message + message[:2], False),
        (message + message[:6], False),
        (message + message[:-1], False),
        (_masked(Opcode.BINARY, fin=False), False),
        (_masked(Opcode.BINARY, fin=False) + _masked(Opcode.CONT, fin=True), True),
        (_masked(Opcode.CLOSE, fin=True, payload=b"\x03\xe8"), False),
    ):
        protocol = ServerProtocol(state=OPEN)
        protocol.receive_data(data)
        if between_messages(protocol) is not expected:
            return False
    return True


def _masked(opcode: Opcode, *, fin: bool, payload: bytes = b"pose") -> bytes:
    return LibraryFrame(opcode, payload, fin).serialize(mask=True)
