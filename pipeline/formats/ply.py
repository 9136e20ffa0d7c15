"""PLY: scans and point clouds, with colours. Read here and not by a library: those seen refuse or misread strips,
quads, face colours or colours that are no bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from ..gltf.source_files import read_file
from .faces import DAMAGED, add_surface, cut_polygons, linear_colors, parse_numbers
from .translated import LINES, PLAIN, POINTS, SMOOTH, Part, Translated, require_finite

_TYPES = {"char": "i1", "uchar": "u1", "int8": "i1", "uint8": "u1", "short": "i2", "ushort": "u2", "int16": "i2",
          "uint16": "u2", "int": "i4", "uint": "u4", "int32": "i4", "uint32": "u4", "float": "f4", "float32": "f4",
          "double": "f8", "float64": "f8"}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_COLORS = (("red", "green", "blue", "alpha"), ("r", "g", "b", "a"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_INDICES = ("vertex_indices", "vertex_index")
MAX_HEADER = 1 << 16
TRUNCATED = "the file is truncated: export or copy it again"


@dataclass(frozen=True)
class _Property:
    """type, and for a list the type of its length: NumPy's names without byte order."""

    name: str
    type: str
    length: str | None


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


# An element's values by property: (count,) for scalars; lists as (lengths, all values one after the other).
_Values = dict[str, AnyArray | tuple[IntArray, AnyArray]]


def read_ply(path: Path) -> Translated:
    """Read a PLY file: triangles (polygons and strips are cut), or edges and points where it has no faces.

    Colours of vertices, or else of faces, are taken as sRGB and become linear. Vertices without normals are smooth.
    """
    raw = read_file(path)
    elements, order, texture, start = _header(raw)
    found = _body(raw, start, elements, order)
    result = Translated([], [{"name": "ply", **PLAIN}], files=[raw])
    if texture:
        result.notes.append(f"its picture {texture} is left out: pictures of PLY files are not read")

    vertex = found.get("vertex", {})
    if not all(axis in vertex for axis in "xyz") or len(vertex["x"]) == 0:
        raise ModelError("holds no vertex", place="element vertex", remedy="export at least one object")
    positions = _columns(vertex, ("x", "y", "z"))
    require_finite(positions, "element vertex")
    attributes: dict[str, AnyArray] = {"POSITION": positions + 0.0}
    colors = _colors(vertex)
    if colors is not None:
        attributes["COLOR_0"] = colors
        if colors.shape[1] == 4:
            result.materials[0]["alphaMode"] = "BLEND"
    face, strips = found.get("face", {}), found.get("tristrips", {})
    faces, face_of = _triangles(face, positions)
    if strips:
        cut = _strips(strips, len(positions))
        faces, face_of = np.concatenate([faces, cut]), np.concatenate([face_of, np.full(len(cut), -1)])
    if len(faces) == 0:
        result.objects.append((path.stem, [_loose(attributes, found.get("edge", {}))]))
        return result
    own = _colors(face)
    face_colors = own[face_of] if own is not None and colors is None and not strips else None
    normals = _columns(vertex, ("nx", "ny", "nz")) if all(n in vertex for n in ("nx", "ny", "nz")) else None
    add_surface(result, path.stem, attributes, faces, normals=normals, hard_edge=SMOOTH, face_colors=face_colors)
    return result


def _loose(attributes: dict[str, AnyArray], edge: _Values) -> Part:
    """Lines along the edges, or the points alone."""
    points = {key: value.astype(np.float32) for key, value in attributes.items()}
    if not edge or not all(name in edge for name in ("vertex1", "vertex2")):
        return Part(points, None, 0, POINTS)
    ends = _columns(edge, ("vertex1", "vertex2")).astype(np.int64).reshape(-1)
    _require_known(ends, len(points["POSITION"]), 2, "edge")
    return Part({key: value[ends] for key, value in points.items()}, None, 0, LINES)


def _triangles(face: _Values, positions: FloatArray) -> tuple[IntArray, IntArray]:
    """Triangles (m, 3) of an element's polygons, and the polygon of each."""
    lists = next((face[name] for name in _INDICES if name in face), None)
    if not isinstance(lists, tuple):
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    return cut_polygons(lists[0], lists[1].astype(np.int64), positions)


def _strips(strips: _Values, vertices: int) -> IntArray:
    """Triangles of strips that −1 ends; every other one is wound the other way."""
    lists = next((strips[name] for name in _INDICES if name in strips), None)
    if not isinstance(lists, tuple):
        return np.zeros((0, 3), np.int64)
    ends = np.cumsum(lists[0])
    flat = np.insert(lists[1].astype(np.int64), ends, -1)
    _require_known(flat[flat != -1], vertices, 1, "index of strips")
    triple = np.stack([flat[:-2], flat[1:-1], flat[2:]], axis=1)
    gap = np.maximum.accumulate(np.where(flat == -1, np.arange(len(flat)), -1))
    odd = (np.arange(len(triple)) - gap[: len(triple)]) % 2 == 0  # the first after a gap is one past it
    triple[odd] = triple[odd][:, [1, 0, 2]]
    return triple[(triple >= 0).all(axis=1)]


def _require_known(indices: IntArray, vertices: int, group: int, noun: str) -> None:
    bad = np.flatnonzero((indices < 0) | (indices >= vertices))
    if len(bad):
        place = f"{noun} {int(bad[0]) // group + 1:,}"
        raise ModelError(f"names vertex {int(indices[bad[0]]):,} of {vertices:,}", place=place, remedy=DAMAGED)


def _columns(values: _Values, names: tuple[str, ...]) -> FloatArray:
    return np.stack([np.asarray(values[name], np.float64) for name in names], axis=1)


def _colors(values: _Values) -> FloatArray | None:
    """(n, 3 or 4) linear colours, alpha as it is; opaque alpha is left out.

    Integers are parts of their type's largest value. Floats are 0…1, or 0…255 where one is larger.
    """
    names = next((c for c in _COLORS if all(name in values for name in c[:3])), None)
    if names is None:
        return None
    channels = []
    for name in names:
        if name not in values or isinstance(column := values[name], tuple):
            continue
        if column.dtype.kind == "f":
            whole = 255.0 if column.max(initial=0.0) > 1.0 else 1.0
        else:
            whole = float(np.iinfo(column.dtype).max)
        channels.append(np.clip(np.nan_to_num(column.astype(np.float64) / whole), 0.0, 1.0))
    return linear_colors(np.stack(channels, axis=1))


def _header(raw: bytes) -> tuple[list[_Element], str, str, int]:
    """Elements, byte order ("" for ASCII), the name of a picture, and where the body begins.

    Refuses what is no PLY, and counts that the rest of the file cannot hold.
    """
    if raw[:3] != b"ply":
        raise ModelError("this is no PLY file", remedy="export it as PLY, or rename it to what it is")
    end = re.search(rb"(?:\n|\r)end_header(?:\r\n|\n|\r)", raw[:MAX_HEADER])
    if end is None:
        raise ModelError("its header has no end", place="header", remedy=TRUNCATED)
    elements: list[_Element] = []
    order, texture = None, ""
    for line in raw[: end.start()].decode("latin-1").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            order = _FORMATS.get(words[1]) if len(words) > 1 else None
        elif words[:2] == ["comment", "TextureFile"]:
            texture = " ".join(words[2:])[:80]
        elif words[:1] == ["element"]:
            if len(words) != 3 or not words[2].isdigit() or len(words[2]) > 15:
                raise ModelError(f'"{line[:80]}" declares no number of elements', place="header")
            elements.append(_Element(words[1], int(words[2]), ()))
        elif words[:1] == ["property"]:
            listed = words[1:2] == ["list"]
            types = words[2:4] if listed else words[1:2]
            if len(words) != (5 if listed else 3) or not all(t in _TYPES for t in types) or not elements:
                raise ModelError(f'"{line[:80]}" is no property', place="header")
            length = _TYPES[types[0]] if listed else None
            if length is not None and length.startswith("f"):
                raise ModelError(f'"{line[:80]}" has a length that is no integer', place="header")
            last = elements[-1]
            own = (*last.properties, _Property(words[-1], _TYPES[types[-1]], length))
            elements[-1] = _Element(last.name, last.count, own)
    if order is None:
        raise ModelError("has no format that PLY knows", place="header", remedy=DAMAGED)
    least = 0
    for element in elements:
        if not element.properties and element.count:
            raise ModelError(f"element {element.name} has no property", place="header", remedy=DAMAGED)
        # In ASCII a digit and a space; in binary the value, of lists the length.
        row = sum(2 if order == "" else int((p.length or p.type)[1]) for p in element.properties)
        least += element.count * max(1, row)
    if least > len(raw) - end.end() + 1:
        raise ModelError(
            f"declares elements of {least:,} bytes or more, but {len(raw) - end.end():,} are there",
            place="header",
            remedy=TRUNCATED,
        )
    return elements, order, texture, end.end()


def _body(raw: bytes, start: int, elements: list[_Element], order: str) -> dict[str, _Values]:
    if order:
        found: dict[str, _Values] = {}
        at = start
        for element in elements:
            found[element.name], at = _binary(raw, at, element, order)
        return found
    numbers = parse_numbers(raw[start:], "body")
    found = {}
    at = 0
    for element in elements:
        found[element.name], at = _ascii(numbers, at, element)
    return found


def _binary(raw: bytes, at: int, element: _Element, order: str) -> tuple[_Values, int]:
    """The values of an element that begins at byte `at`, and where the next begins."""
    widths = [0] * len(element.properties)  # of each list in the first row, supposed to be those of every row
    here = at
    for k, prop in enumerate(element.properties):
        if prop.length and element.count:
            widths[k] = int(_number(raw, here, order + prop.length, element))
            here += int(prop.length[1])
        here += int(prop.type[1]) * (widths[k] if prop.length else 1)
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for k, prop in enumerate(element.properties):
        if prop.length:
            fields += [(f"#{k}", order + prop.length), (f"{k}", order + prop.type, (max(0, widths[k]),))]
        else:
            fields.append((f"{k}", order + prop.type))
    if max(widths, default=0) > len(raw):
        return _binary_rows(raw, at, element, order)  # says where
    row = np.dtype(fields)
    if at + row.itemsize * element.count <= len(raw):
        rows = np.frombuffer(raw, row, element.count, at)
        if all((rows[f"#{k}"] == widths[k]).all() for k, p in enumerate(element.properties) if p.length):
            values: _Values = {}
            for k, prop in enumerate(element.properties):
                if prop.length:
                    values[prop.name] = (np.full(element.count, widths[k]), rows[f"{k}"].reshape(-1))
                else:
                    values[prop.name] = rows[f"{k}"]
            return values, at + row.itemsize * element.count
    return _binary_rows(raw, at, element, order)


def _binary_rows(raw: bytes, at: int, element: _Element, order: str) -> tuple[_Values, int]:
    """As `_binary`, row by row: lists differ in length."""
    columns: list[list[AnyArray]] = [[] for _ in element.properties]
    for _ in range(element.count):
        for k, prop in enumerate(element.properties):
            count = 1
            if prop.length:
                count = int(_number(raw, at, order + prop.length, element))
                at += int(prop.length[1])
            size = count * int(prop.type[1])
            if count < 0 or at + size > len(raw):
                raise ModelError("ends before its last value", place=f"element {element.name}", remedy=TRUNCATED)
            columns[k].append(np.frombuffer(raw, order + prop.type, count, at))
            at += size
    return _joined(element, columns), at


def _number(raw: bytes, at: int, kind: str, element: _Element) -> float:
    if at + int(kind[-1]) > len(raw):
        raise ModelError("ends before its last value", place=f"element {element.name}", remedy=TRUNCATED)
    return float(np.frombuffer(raw, kind, 1, at)[0])


def _ascii(numbers: FloatArray, at: int, element: _Element) -> tuple[_Values, int]:
    """The values of an element that begins at number `at`, and where the next begins."""
    columns: list[list[AnyArray]] = [[] for _ in element.properties]
    types = [np.dtype(p.type) for p in element.properties]
    if not any(p.length for p in element.properties):
        end = at + element.count * len(types)
        if end > len(numbers):
            raise ModelError("ends before its last value", place=f"element {element.name}", remedy=TRUNCATED)
        rows = numbers[at:end].reshape(element.count, -1)
        return {p.name: rows[:, k].astype(types[k]) for k, p in enumerate(element.properties)}, end
    with np.errstate(invalid="ignore"):
        for _ in range(element.count):
            for k, prop in enumerate(element.properties):
                count = 1
                if prop.length:
                    count = int(numbers[at]) if at < len(numbers) and 0 <= numbers[at] <= len(numbers) else -1
                    at += 1
                if count < 0 or at + count > len(numbers):
                    raise ModelError("ends before its last value", place=f"element {element.name}", remedy=TRUNCATED)
                columns[k].append(numbers[at : at + count])
                at += count
    return _joined(element, columns), at


def _joined(element: _Element, columns: list[list[AnyArray]]) -> _Values:
    values: _Values = {}
    for prop, column in zip(element.properties, columns, strict=True):
        flat = np.concatenate(column) if column else np.zeros(0)
        lengths = np.array([len(c) for c in column], np.int64)
        values[prop.name] = (lengths, flat) if prop.length else flat
    return values
