"""WebSocket messages from the relay: unfragmented, unmasked, encoded once for all clients (RFC 6455, 5.2)."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final

TEXT: Final = 0x81  # FIN bit and opcode 1
BINARY: Final = 0x82  # FIN bit and opcode 2
MIN_SHARED_BYTES: Final = 16 * 1024  # below this size a copy costs less than sendfile's handling of the pages


class Frame:
    """One message. `encoded` is the complete WebSocket frame, with header."""

    __slots__ = ("_payload_at", "encoded", "is_text")

    def __init__(self, first_byte: int, parts: Iterable[bytes]) -> None:
        """`first_byte` is TEXT or BINARY; the payload is the concatenation of `parts`."""
        parts = list(parts)
        header = _header(first_byte, sum(map(len, parts)))
        self.is_text = first_byte == TEXT
        self.encoded = b"".join((header, *parts))
        self._payload_at = len(header)

    def __len__(self) -> int:
        """Payload bytes."""
        return len(self.encoded) - self._payload_at

    @property
    def payload(self) -> bytes:
        return self.encoded[self._payload_at :]


class Burst:
    """The messages of one tick for all clients that get the same ones. `encoded` is their concatenation.

    Writing a large tick copies the same bytes into the kernel for each of a thousand clients, which also evicts all
    other data from the processor's caches. From an anonymous file, the sockets share the pages instead. `close` the
    burst after its last use.
    """

    __slots__ = ("_file", "encoded", "frames", "size")

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = frames
        self.encoded = b"".join([frame.encoded for frame in frames])
        self.size = sum(map(len, frames))  # payload bytes
        self._file: int | None = None

    @property
    def file(self) -> int | None:
        """Descriptor of a file with the content `encoded`, for sendfile(2).

        None if the burst is too small for that to pay, or if the system cannot make such a file.
        """
        if self._file is None and len(self.encoded) >= MIN_SHARED_BYTES:
            self._file = _anonymous_file(self.encoded)
        return self._file

    def close(self) -> None:
        """Close the file. Data sent from it stays valid: the sockets hold its pages until the client has them."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def text_frame(text: str) -> Frame:
    return Frame(TEXT, (text.encode(),))


def _anonymous_file(content: bytes) -> int | None:
    """Descriptor of a new memory file; None if the system has no such files (Linux has) or is out of memory."""
    if not hasattr(os, "memfd_create"):
        return None
    with contextlib.suppress(OSError):
        file = os.memfd_create("tick")
        with contextlib.suppress(OSError):
            if os.write(file, content) == len(content):
                return file
        os.close(file)
    return None


def _header(first_byte: int, size: int) -> bytes:
    if size < 126:
        return bytes((first_byte, size))
    if size < 1 << 16:
        return struct.pack("!BBH", first_byte, 126, size)
    return struct.pack("!BBQ", first_byte, 127, size)
