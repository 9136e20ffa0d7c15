"""The parts of a zip package (OPC, ECMA-376 part 2), with a limit on their size in memory, and XML without DTDs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import closing
from typing import IO
from xml.parsers import expat

from ..errors import DAMAGED, ModelError

# Decompressed bytes of all parts that are read: this much always, and beyond it a multiple of the file's size. XML of
# coordinates shrinks to a tenth or so; a zip bomb to a thousandth.
SMALL_BYTES = 64 << 20
MAX_RATIO = 200
MAX_BYTES = 1 << 30
MAX_DEPTH = 100  # of nested XML elements: 3MF needs 6
CHUNK = 1 << 16
SEPARATOR = " "  # between the namespace and the local name of an element or attribute

# Called for each start tag with its name, its attributes and its line number; names as "namespace name".
OnElement = Callable[[str, dict[str, str], int], None]


class ZipPackage:
    """A zip file in memory. Part names ignore case and a leading slash, as OPC defines."""

    def __init__(self, content: bytes) -> None:
        """Raises ModelError if the content is not a zip file, or two parts have one name."""
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(content))
            entries = self._archive.infolist()
        except Exception as error:  # zipfile raises many types for a damaged directory
            raise ModelError(f"is not a zip file that can be read: {str(error)[:120]}", remedy=DAMAGED) from None
        self._budget = min(MAX_BYTES, SMALL_BYTES + MAX_RATIO * len(content))
        self._parts: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            key = _key(entry.filename)
            if key in self._parts:
                raise ModelError("is in the package twice", place=entry.filename, remedy=DAMAGED)
            self._parts[key] = entry

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._parts

    def read_xml(self, name: str, on_element: OnElement, namespaces: dict[str, str] | None = None) -> None:
        """Call `on_element` for each start tag of an XML part, and add each namespace it declares by its prefix.

        Raises ModelError if the part is missing, too large or damaged, has a DTD, or is not well-formed.
        """
        parser = expat.ParserCreate(namespace_separator=SEPARATOR)
        depth = 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > MAX_DEPTH:
                raise ModelError(f"has XML nested more than {MAX_DEPTH} levels deep", place=name, remedy=DAMAGED)
            on_element(tag, attributes, parser.CurrentLineNumber)

        def end(_tag: str) -> None:
            nonlocal depth
            depth -= 1

        def refuse_dtd(*_: object) -> None:
            # Entities need one, and OPC forbids it.
            raise ModelError("has a document type declaration, which packages may not have", place=name)

        def declare(prefix: str | None, uri: str | None) -> None:
            if namespaces is not None:
                namespaces[prefix or ""] = uri or ""

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.StartNamespaceDeclHandler = declare
        parser.StartDoctypeDeclHandler = refuse_dtd
        try:
            with closing(self._open(name)) as stream:
                while chunk := stream.read(CHUNK):
                    parser.Parse(chunk, False)
            parser.Parse(b"", True)
        except ModelError:
            raise
        except expat.ExpatError as error:
            problem = f"is not well-formed XML: {expat.ErrorString(error.code)}"
            raise ModelError(problem, place=f"{name}, line {error.lineno:,}", remedy=DAMAGED) from None
        except Exception as error:  # zipfile, zlib and the parser's codecs raise many types for damaged content
            raise ModelError(f"cannot be read: {str(error)[:120]}", place=name, remedy=DAMAGED) from None

    def _open(self, name: str) -> IO[bytes]:
        """A part as a stream, which ends at the size that its entry declares."""
        entry = self._parts.get(_key(name))
        if entry is None:
            raise ModelError("is not in the package", place=name, remedy=DAMAGED)
        if entry.flag_bits & 1:
            raise ModelError("is encrypted", place=name, remedy="export without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError("is compressed by a method that OPC does not allow", place=name, remedy=DAMAGED)
        self._budget -= entry.file_size
        if self._budget < 0:
            problem = f"declares {entry.file_size:,} bytes, more than a package of this size holds"
            raise ModelError(problem, place=name, remedy="the file is damaged, or must be split")
        return self._archive.open(entry)


def _key(name: str) -> str:
    return name.lstrip("/").casefold()
