"""WebSocket messages as the relay sends them: unfragmented, unmasked, framed once for everyone (RFC 6455, 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

TEXT: Final = 0x81  # FIN and the opcode
BINARY: Final = 0x82


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


def text_frame(text: str) -> Frame:
    return Frame(TEXT, (text.encode(),))


def _header(head: int, size: int) -> bytes:
    if size < 126:
        return bytes((head, size))
    if size < 1 << 16:
        return struct.pack("!BBH", head, 126, size)
    return struct.pack("!BBQ", head, 127, size)
