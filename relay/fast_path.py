"""The door to the transport: what ASGI does not offer and a relay needs.

Through ASGI every pose costs a queue, a task switch and two dictionaries, every tick is framed again for each
client, and a `send` waits while a client does not read, with no way to give up on it. This subclass of
uvicorn's WebSocket protocol puts itself into the connection's ASGI scope. It takes whole masked binary frames
out of the stream before anybody else parses them, and writes frames as they are to the transport. All else
(text, fragments, control frames, whatever is cut by a segment's end or malformed) it leaves to the library.

It looks at things inside uvicorn and websockets that may change. `fits()` tries them out; where they are not
as expected, and on other servers, connections do without a door (`line.QueuedLine`).
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
from .transport import LEAST_WAITING_BYTES

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C extension
    from websockets.utils import apply_mask

EXTENSION: Final = "streamxr.door"
LINGER_S: Final = 5.0  # a closed client may still read what was sent, and the close code, for this long
SHORT_BINARY: Final = 0x82  # FIN, no extension, opcode 2
MASKED: Final = 0x80
LONGEST_SHORT: Final = 125
# The kernel would buffer megabytes for a slow client: at 34 bytes a pose, minutes of poses that nobody wants.
# Raised to two frames where frames are larger, or none would be taken whole.
MAX_UNSENT_BYTES: Final = 16 * 1024

Take = Callable[[bytes], None]


class DoorWebSocketProtocol(WebSocketsSansIOProtocol):
    """A `line.Line`, and a reader of binary frames once `open_door` was called."""

    _take: Take | None = None
    _between_frames = False
    _max_unsent = MAX_UNSENT_BYTES
    _socket: int | None = None  # descriptor, where what is written to it goes out as it is

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = cast("dict[str, Any] | None", getattr(self, "scope", None))
        if scope is not None:  # None: the handshake was refused
            scope["extensions"][EXTENSION] = self

    def open_door(self, take: Take) -> None:
        """From now on `take` is called with the payload of binary messages that come in one short frame; all
        other messages are received through ASGI as ever. Both keep the order in which they were sent."""
        self._take = take
        line = self.transport.get_extra_info("socket")
        if line is not None and self.transport.get_extra_info("sslcontext") is None:
            self._socket = line.fileno()
        self._between_frames = between_frames(self.conn)

    def data_received(self, data: bytes) -> None:
        take = self._take
        # While the application has not taken the last text message, a pose must not overtake it.
        if take is None or not self._between_frames or self.read_paused:
            super().data_received(data)
        else:
            at, end = 0, len(data)
            while end - at >= 6 and data[at] == SHORT_BINARY and not self.close_sent:
                size = data[at + 1] - MASKED
                body = at + 6
                after = body + size
                if not 0 <= size <= LONGEST_SHORT or after > end:
                    break
                take(apply_mask(data[body:after], data[at + 2 : body]))
                at = after
            if at == end:
                return
            super().data_received(data[at:] if at else data)
        if take is not None:
            self._between_frames = between_frames(self.conn)

    def offer(self, burst: Burst) -> bool:
        waiting = self.transport.get_write_buffer_size()
        if waiting > LEAST_WAITING_BYTES and waiting > burst.size:
            return False
        if self._may_write():
            framed, sent = burst.framed, 0
            self._allow_unsent(len(framed))
            if not waiting and self._socket is not None and (file := burst.file) is not None:
                try:
                    sent = os.sendfile(self._socket, file, 0, len(framed))
                except OSError:  # no room; or the line is cut, of which the transport hears, too
                    sent = 0
            if sent < len(framed):
                self.transport.write(framed[sent:])
        return True

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def write(self, frame: Frame) -> None:
        if self._may_write():
            self._allow_unsent(len(frame.framed))
            self.transport.write(frame.framed)

    def close(self, code: int, reason: str) -> None:
        """Say why after all that was written, without waiting for the peer to read; cut the line after LINGER_S."""
        if self.close_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.stop_keepalive()
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:  # the peer's answer to the close must be seen
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def evict(self, code: int, reason: str) -> None:
        self.close(code, reason)

    def _may_write(self) -> bool:
        return not self.close_sent and self.conn.state is OPEN and not self.transport.is_closing()

    def _allow_unsent(self, size: int) -> None:
        """See to it that the kernel takes a frame of that many bytes whole."""
        if size <= self._max_unsent:
            return
        self._max_unsent = 2 * size
        line = self.transport.get_extra_info("socket")
        if line is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._max_unsent)


def between_frames(protocol: ServerProtocol) -> bool:
    """Whether the next byte starts a message: no frame is half read, no message half assembled.

    An empty buffer does not tell: a segment may end right after a frame's header, which is then taken out
    of the buffer already. The parser does: between frames it waits for anything, within one for so many bytes.
    """
    waiting: Any = protocol.parser
    while isinstance(waiting.gi_yieldfrom, GeneratorType):
        waiting = waiting.gi_yieldfrom
    return (
        waiting.gi_code is StreamReader.at_eof.__code__
        and not protocol.reader.buffer
        and protocol.current_size is None
        and protocol.state is OPEN
    )


def fits() -> bool:
    """Whether this version of the libraries works as the door expects: tried on one connection's state."""
    try:
        return _fits()
    except Exception:  # whatever a future version raises, it means no
        return False


def _fits() -> bool:
    names = ("queue", "read_paused", "close_sent", "close_timer", "conn")
    uses = set(WebSocketsSansIOProtocol.__init__.__code__.co_names)
    methods = ("handle_connect", "data_received", "stop_keepalive")
    if not uses.issuperset(names) or not all(hasattr(WebSocketsSansIOProtocol, name) for name in methods):
        return False
    whole = _masked(Opcode.BINARY, fin=True)
    for sent, between in (
        (whole, True),
        (whole + whole[:1], False),
        (whole + whole[:2], False),
        (whole + whole[:6], False),
        (whole + whole[:-1], False),
        (_masked(Opcode.BINARY, fin=False), False),
        (_masked(Opcode.BINARY, fin=False) + _masked(Opcode.CONT, fin=True), True),
        (_masked(Opcode.CLOSE, fin=True, payload=b"\x03\xe8"), False),
    ):
        protocol = ServerProtocol(state=OPEN)
        protocol.receive_data(sent)
        if between_frames(protocol) is not between:
            return False
    return True


def _masked(opcode: Opcode, *, fin: bool, payload: bytes = b"pose") -> bytes:
    return LibraryFrame(opcode, payload, fin).serialize(mask=True)
