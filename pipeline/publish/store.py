"""The protocol of a store: the few operations that publishing needs of an object store or a folder."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .errors import PublishError

PLAIN = ""  # the Content-Encoding of a file that is stored as it is


@dataclass(frozen=True)
class Object:
    """A file as it is to be stored. encoding: its Content-Encoding; PLAIN if `body` is the file itself."""

    key: str
    body: bytes
    media_type: str
    cache_control: str
    encoding: str = PLAIN


@dataclass(frozen=True)
class Stored:
    """A file in a listing. md5: of the stored bytes, or "" if the store does not tell."""

    key: str
    bytes: int
    modified: datetime
    md5: str


@dataclass(frozen=True)
class Content:
    """A file that was read. version: equal for equal bytes; a conditional write refers to it."""

    key: str
    body: bytes
    encoding: str
    version: str
    modified: datetime

    def plain(self) -> bytes:
        """The file without its Content-Encoding. Raises PublishError if it cannot be decoded."""
        try:
            return decompressed(self.body, self.encoding)
        except ValueError as error:
            raise PublishError(f"is stored as {self.encoding} and cannot be decoded: {error}", place=self.key) from None


def decompressed(body: bytes, encoding: str) -> bytes:
    """A body without its Content-Encoding, br or gzip. Raises ValueError if it cannot be decoded."""
    try:
        if encoding == "gzip":
            return gzip.decompress(body)
        if encoding == "br":
            import brotli

            try:
                result: bytes = brotli.decompress(body)
            except brotli.error as error:
                raise ValueError(str(error)) from None
            return result
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None
    except ImportError:
        raise ValueError("the package brotli is missing: pip install 'streamxr[publish]'") from None
    return body


class Store(Protocol):
    """Keys are relative to the target, with slashes. Every method may raise PublishError; all may run in threads."""

    @property
    def place(self) -> str:
        """The target as messages name it."""

    @property
    def compressed_beside(self) -> bool:
        """Whether `name.br` is stored beside `name`, for a server that chooses between them."""

    @property
    def default_jobs(self) -> int:
        """The number of requests at a time."""

    @property
    def requests(self) -> int:
        """The number of requests that were sent so far; 0 for a folder."""

    def read(self, key: str) -> Content | None:
        """A file; None if there is none."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """All files whose keys begin with `prefix`, in the order of keys."""

    def create(self, file: Object) -> bool:
        """Store a file unless its key exists; returns False if it does."""

    def replace(self, file: Object) -> None:
        """Store a file, whether its key exists or not."""

    def swap(self, file: Object, expected: Content | None) -> bool:
        """Store a file if the key still has the version of `expected`, or none for None.

        Returns False if it has another version, unless that is this very file.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files; missing ones are no error."""

    def settle(self) -> None:
        """Return when everything that was stored would survive a loss of power."""

    def guard(self) -> str:
        """Find out how `swap` is guarded; a sentence for the user if that is less than a conditional write, else ""."""
