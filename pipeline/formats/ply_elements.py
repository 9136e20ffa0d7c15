"""The elements of a PLY file: its header, and the values of its body, ASCII or binary."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import DAMAGED, TRUNCATED, ModelError
from .faces import parse_numbers

_TYPES = {"char": "i1", "uchar": "u1", "int8": "i1", "uint8": "u1", "short": "i2", "ushort": "u2", "int16": "i2",
          "uint16": "u2", "int": "i4", "uint": "u4", "int32": "i4", "uint32": "u4", "float": "f4", "float32": "f4",
          "double": "f8", "float64": "f8"}  # fmt: skip
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER_BYTES = 1 << 16

# The values of an element by property: (count,) for scalars; (lengths, all values one after the other) for lists.
Values = dict[str, AnyArray | tuple[IntArray, AnyArray]]


@dataclass(frozen=True)
class _Property:
    """type: of the values; length: of the number of values before a list, None for scalars.

    Both are NumPy's names of types, without byte order.
    """

    name: str
    type: str
    length: str | None


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


@dataclass(frozen=True)
class _Header:
    """order: NumPy's byte order, "" for ASCII. texture: a picture's name, or "". size: of the header, in bytes."""

    elements: tuple[_Element, ...]
    order: str
    texture: str
    size: int


def read_elements(raw: bytes) -> tuple[dict[str, Values], str]:
    """The values of each element of a PLY file by its name, and the name of the picture that a comment gives or "".

    Raises ModelError if the file is not PLY, or is damaged.
    """
    header = _read_header(raw)
    _check_counts(header, len(raw) - header.size)
    values: dict[str, Values] = {}
    if header.order:
        at = header.size
        for element in header.elements:
            values[element.name], at = _read_binary(raw, at, element, header.order)
    else:
        numbers = parse_numbers(raw[header.size :], "body")
        at = 0
        for element in header.elements:
            values[element.name], at = _read_ascii(numbers, at, element)
    return values, header.texture


def _read_header(raw: bytes) -> _Header:
    if raw[:3] != b"ply":
        raise ModelError("this is not a PLY file", remedy="export it as PLY, or correct the file name's extension")
    end = re.search(rb"(?:\n|\r)end_header(?:\r\n|\n|\r)", raw[:MAX_HEADER_BYTES])
    if end is None:
        raise ModelError("its header has no end", place="header", remedy=TRUNCATED)
    elements: list[_Element] = []
    order, texture = None, ""
    for line in raw[: end.start()].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            order = _BYTE_ORDERS.get(words[1]) if len(words) > 1 else None
        elif words[:2] == ["comment", "TextureFile"]:
            texture = " ".join(words[2:])[:80]
        elif words[:1] == ["element"]:
            if len(words) != 3 or not words[2].isdigit() or len(words[2]) > 15:
                raise ModelError(f'"{line[:80]}" does not declare a number of elements', place="header")
            elements.append(_Element(words[1], int(words[2]), ()))
        elif words[:1] == ["property"]:
            declared = _read_property(line, words)
            if not elements:
                raise ModelError(f'"{line[:80]}" is not a property of an element', place="header")
            last = elements[-1]
            elements[-1] = _Element(last.name, last.count, (*last.properties, declared))
    if order is None:
        raise ModelError("has no known format", place="header", remedy=DAMAGED)
    return _Header(tuple(elements), order, texture, end.end())


def _read_property(line: str, words: list[str]) -> _Property:
    is_list = words[1:2] == ["list"]
    types = words[2:4] if is_list else words[1:2]
    if len(words) != (5 if is_list else 3) or not all(t in _TYPES for t in types):
        raise ModelError(f'"{line[:80]}" is not a property of an element', place="header")
    length = _TYPES[types[0]] if is_list else None
    if length is not None and length.startswith("f"):
        raise ModelError(f'"{line[:80]}" has a length that is not an integer', place="header")
    return _Property(words[-1], _TYPES[types[-1]], length)


def _check_counts(header: _Header, present: int) -> None:
    """Raise ModelError if the elements need more bytes than are present."""
    least = 0
    for element in header.elements:
        if not element.properties and element.count:
            raise ModelError(f"element {element.name} has no property", place="header", remedy=DAMAGED)
        # In ASCII a digit and a space; in binary the value, or the length of a list.
        row = sum(2 if header.order == "" else int((p.length or p.type)[1]) for p in element.properties)
        least += element.count * max(1, row)
    if least > present + 1:  # ASCII may end without a space
        problem = f"declares elements of {least:,} bytes or more, but {present:,} are there"
        raise ModelError(problem, place="header", remedy=TRUNCATED)


def _read_binary(raw: bytes, start: int, element: _Element, order: str) -> tuple[Values, int]:
    """The values of an element that begins at byte `start`, and the start of the next element.

    Reads all rows at once if each list has the length that it has in the first row.
    """
    lengths = [0] * len(element.properties)  # of each list in the first row
    at = start
    for k, prop in enumerate(element.properties):
        if prop.length and element.count:
            lengths[k] = int(_read_number(raw, at, order + prop.length, element))
            at += int(prop.length[1])
        at += int(prop.type[1]) * (lengths[k] if prop.length else 1)
    if max(lengths, default=0) > len(raw):
        return _read_binary_rows(raw, start, element, order)  # raises the error with its place
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for k, prop in enumerate(element.properties):
        if prop.length:
            fields += [(f"#{k}", order + prop.length), (f"{k}", order + prop.type, (max(0, lengths[k]),))]
        else:
            fields.append((f"{k}", order + prop.type))
    row = np.dtype(fields)
    end = start + row.itemsize * element.count
    if end > len(raw):
        return _read_binary_rows(raw, start, element, order)
    rows = np.frombuffer(raw, row, element.count, start)
    if not all((rows[f"#{k}"] == lengths[k]).all() for k, p in enumerate(element.properties) if p.length):
        return _read_binary_rows(raw, start, element, order)
    values: Values = {}
    for k, prop in enumerate(element.properties):
        if prop.length:
            values[prop.name] = (np.full(element.count, lengths[k]), rows[f"{k}"].reshape(-1))
        else:
            values[prop.name] = rows[f"{k}"]
    return values, end


def _read_binary_rows(raw: bytes, at: int, element: _Element, order: str) -> tuple[Values, int]:
    """As `_read_binary`, row by row, for lists of different lengths."""
    columns: list[list[AnyArray]] = [[] for _ in element.properties]
    for _ in range(element.count):
        for k, prop in enumerate(element.properties):
            count = 1
            if prop.length:
                count = int(_read_number(raw, at, order + prop.length, element))
                at += int(prop.length[1])
            size = count * int(prop.type[1])
            if count < 0 or at + size > len(raw):
                raise _truncated(element)
            columns[k].append(np.frombuffer(raw, order + prop.type, count, at))
            at += size
    return _concatenated_values(element, columns), at


def _read_number(raw: bytes, at: int, kind: str, element: _Element) -> float:
    if at + int(kind[-1]) > len(raw):
        raise _truncated(element)
    return float(np.frombuffer(raw, kind, 1, at)[0])


def _read_ascii(numbers: FloatArray, at: int, element: _Element) -> tuple[Values, int]:
    """The values of an element that begins at number `at`, and the start of the next element."""
    types = [np.dtype(p.type) for p in element.properties]
    if not any(p.length for p in element.properties):
        end = at + element.count * len(types)
        if end > len(numbers):
            raise _truncated(element)
        rows = numbers[at:end].reshape(element.count, -1)
        return {p.name: rows[:, k].astype(types[k]) for k, p in enumerate(element.properties)}, end
    columns: list[list[AnyArray]] = [[] for _ in element.properties]
    with np.errstate(invalid="ignore"):
        for _ in range(element.count):
            for k, prop in enumerate(element.properties):
                count = 1
                if prop.length:
                    count = int(numbers[at]) if at < len(numbers) and 0 <= numbers[at] <= len(numbers) else -1
                    at += 1
                if count < 0 or at + count > len(numbers):
                    raise _truncated(element)
                columns[k].append(numbers[at : at + count])
                at += count
    return _concatenated_values(element, columns), at


def _concatenated_values(element: _Element, columns: list[list[AnyArray]]) -> Values:
    """The values of an element, from the values of each row by property."""
    values: Values = {}
    for prop, column in zip(element.properties, columns, strict=True):
        flat = np.concatenate(column) if column else np.zeros(0)
        lengths = np.array([len(c) for c in column], np.int64)
        values[prop.name] = (lengths, flat) if prop.length else flat
    return values


def _truncated(element: _Element) -> ModelError:
    return ModelError("ends before its last value", place=f"element {element.name}", remedy=TRUNCATED)
