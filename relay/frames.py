"""WebSocket messages as the relay sends them: unfragmented, unmasked, framed once for everyone (RFC 6455, 5.2)."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final

TEXT: Final = 0x81  # FIN and the opcode
BINARY: Final = 0x82
LEAST_SHARED_BYTES: Final = 16 * 1024  # below this a copy costs less than the pages' bookkeeping


class Frame:
    """One message; `framed` are its bytes on the wire, the same for every client."""

    __slots__ = ("_payload_at", "framed", "is_text")

    def __init__(self, head: int, parts: Iterable[bytes]) -> None:
        """`head` is TEXT or BINARY; the payload is all `parts`, one after the other."""
        parts = list(parts)
        header = _header(head, sum(map(len, parts)))
        self.is_text = head == TEXT
        self.framed = b"".join((header, *parts))
        self._payload_at = len(header)

    def __len__(self) -> int:
        """Payload bytes."""
        return len(self.framed) - self._payload_at

    @property
    def payload(self) -> bytes:
        return self.framed[self._payload_at :]


class Burst:
    """The messages of one tick, for everyone who gets just these. `framed`: all of them, in one piece.

    A large tick would be copied into the kernel for each client, a thousand times the same bytes, which also drives
    everything else out of the processor's caches. From an anonymous file the sockets share the pages. `close` it.
    """

    __slots__ = ("_file", "framed", "frames", "size")

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.framed = b"".join([frame.framed for frame in frames])
        self.size = sum(map(len, frames))  # of the payloads
        self._file: int | None = None

    @property
    def file(self) -> int | None:
        """Descriptor of a file that holds `framed`, for sendfile(2). None where that does not pay or cannot be."""
        if self._file is None and len(self.framed) >= LEAST_SHARED_BYTES:
            self._file = _anonymous_file(self.framed)
        return self._file

    def close(self) -> None:
        """What was sent from the file stays valid: sockets hold its pages until they are received."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def text_frame(text: str) -> Frame:
    return Frame(TEXT, (text.encode(),))


def _anonymous_file(content: bytes) -> int | None:
    """None where the system has no such files (Linux has), or none left."""
    if not hasattr(os, "memfd_create"):
        return None
    with contextlib.suppress(OSError):
        file = os.memfd_create("tick")
        with contextlib.suppress(OSError):
            if os.write(file, content) == len(content):
                return file
        os.close(file)
    return None


def _header(head: int, size: int) -> bytes:
    if size < 126:
        return bytes((head, size))
    if size < 1 << 16:
        return struct.pack("!BBH", head, 126, size)
    return struct.pack("!BBQ", head, 127, size)
