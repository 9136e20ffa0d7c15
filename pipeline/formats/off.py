"""OFF (Geomview's Object File Format), ASCII: polygons, with colours and normals.

Read here and not by a library: trimesh 5.2 drops the colours, and cuts polygons into fans, which overlap if the polygon
is concave.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import DAMAGED, TRUNCATED, ModelError
from ..gltf.document import POINTS
from ..gltf.source_files import read_file
from .faces import add_surface, cut_polygons, linear_colors, parse_numbers
from .normals import HARD_EDGE
from .translated import PLAIN, Part, Translated, require_finite

# Letters before OFF, in any order: texture coordinates, colours, normals, a fourth coordinate, other dimensions.
_HEADER = re.compile(rb"\s*((?:ST|C|N|4|n)*)OFF([ \t]+BINARY)?")
_COMMENT = re.compile(rb"#[^\r\n]*")
MAX_INDEX = 1 << 53  # larger numbers are not exact in float64


def read_off(path: Path) -> Translated:
    """Read an OFF file: triangles, or points if it has no faces. Polygons are cut into triangles.

    Colours of vertices, or else of faces, are sRGB and become linear; texture coordinates are left out. Raises
    ModelError with the number of the vertex or face.
    """
    raw = read_file(path)
    text = _COMMENT.sub(b"", raw.removeprefix(b"\xef\xbb\xbf"))
    header = _HEADER.match(text)
    if header is None:
        raise ModelError("this is not an OFF file", remedy="export it as OFF, or correct the file name's extension")
    letters = header.group(1)
    if header.group(2) or b"4" in letters or b"n" in letters:
        problem = "is binary" if header.group(2) else "has vertices that do not have three coordinates"
        raise ModelError(problem, place="header", remedy="export it as text, with three coordinates")
    lines = [line for line in text[header.end() :].splitlines() if line and not line.isspace()]
    vertices, faces = _counts(lines)
    values = _vertex_values(lines[1 : vertices + 1])
    result = Translated([], [{"name": "off", **PLAIN}], files=[raw])
    attributes, normals = _attributes(values, letters, result)
    sides, corners, face_colors = _faces(lines[vertices + 1 : vertices + 1 + faces])
    positions = attributes["POSITION"]
    triangles, face_of = cut_polygons(sides, corners, positions)
    if (sides < 3).any():
        result.notes.append(f"{int((sides < 3).sum()):,} faces of fewer than three corners are left out")
    if len(triangles) == 0:
        if len(sides):
            raise ModelError("holds no face of three corners", remedy="export at least one object with faces")
        points = {name: each.astype(np.float32) for name, each in attributes.items()}
        result.objects.append((path.stem, [Part(points, None, 0, POINTS)]))
        return result
    own = face_colors[face_of] if face_colors is not None and "COLOR_0" not in attributes else None
    colors = attributes.get("COLOR_0", own)
    if colors is not None and colors.shape[1] == 4:
        result.materials[0]["alphaMode"] = "BLEND"
    add_surface(result, path.stem, attributes, triangles, normals=normals, hard_edge=HARD_EDGE, face_colors=own)
    return result


def _counts(lines: list[bytes]) -> tuple[int, int]:
    """The numbers of vertices and faces, which the file has lines for."""
    words = lines[0].split() if lines else []
    if len(words) < 2 or not all(word.isdigit() and len(word) < 16 for word in words[:2]):
        raise ModelError("has no numbers of vertices and faces", place="header", remedy=DAMAGED)
    vertices, faces = int(words[0]), int(words[1])
    if vertices == 0:
        raise ModelError("holds no vertex", place="header", remedy="export at least one object")
    if vertices + faces > len(lines) - 1:
        problem = f"declares {vertices:,} vertices and {faces:,} faces, but {len(lines) - 1:,} lines are there"
        raise ModelError(problem, place="header", remedy=TRUNCATED)
    return vertices, faces


def _vertex_values(lines: list[bytes]) -> FloatArray:
    """The numbers of each vertex's line (n, k)."""
    widths = np.array([len(line.split()) for line in lines], np.int64)
    bad = np.flatnonzero((widths != widths[0]) | (widths < 3))
    if len(bad):
        problem = f"has {int(widths[bad[0]])} numbers, not {max(3, int(widths[0]))}"
        raise ModelError(problem, place=f"vertex {int(bad[0]) + 1:,}", remedy=DAMAGED)
    return parse_numbers(b" ".join(lines), "vertices", int(widths.sum())).reshape(len(lines), -1)


def _attributes(
    values: FloatArray, letters: bytes, result: Translated
) -> tuple[dict[str, AnyArray], FloatArray | None]:
    """POSITION and COLOR_0 of the vertices, and their normals.

    values: (n, k) position, normal, colour and texture coordinates, in this order. letters: of the header.
    """
    positions = values[:, :3]
    require_finite(positions, "vertices")
    attributes: dict[str, AnyArray] = {"POSITION": positions + 0.0}
    rest = values[:, 3:]
    normals = None
    if b"N" in letters and rest.shape[1] >= 3:
        normals, rest = rest[:, :3], rest[:, 3:]
    if b"ST" in letters:
        rest = rest[:, :-2]
    if b"C" in letters and rest.shape[1] in (3, 4):
        attributes["COLOR_0"], rest = linear_colors(_unit_colors(rest)), rest[:, :0]
    if rest.shape[1]:
        result.notes.append(f"{rest.shape[1]} more numbers of each vertex are left out: the header does not name them")
    return attributes, normals


def _faces(lines: list[bytes]) -> tuple[IntArray, IntArray, FloatArray | None]:
    """Sides of each face, the corners of all faces one after the other, and linear colours (f, 3 or 4) if there are
    any."""
    if not lines:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), None
    lengths = np.array([len(line.split()) for line in lines], np.int64)
    numbers = parse_numbers(b" ".join(lines), "faces", int(lengths.sum()))
    first = np.cumsum(lengths) - lengths
    sides = _indices(numbers[first], np.arange(len(lines)))
    bad = np.flatnonzero((sides < 0) | (sides >= lengths))
    if len(bad):
        problem = f"declares {int(sides[bad[0]]):,} corners, but its line has {int(lengths[bad[0]]) - 1:,} numbers"
        raise ModelError(problem, place=f"face {int(bad[0]) + 1:,}", remedy=TRUNCATED)
    face_of = np.repeat(np.arange(len(lines)), sides)
    within = np.arange(len(face_of)) - np.repeat(np.cumsum(sides) - sides, sides)
    corners = _indices(numbers[first[face_of] + 1 + within], face_of)
    extra = lengths - 1 - sides
    colored = np.flatnonzero((extra == 3) | (extra == 4))
    if len(colored) == 0:
        return sides, corners, None
    colors = np.ones((len(lines), 4))
    start = first[colored] + 1 + sides[colored]
    values = np.ones((len(colored), 4))
    values[:, :3] = numbers[start[:, None] + np.arange(3)]
    has_alpha = extra[colored] == 4
    values[has_alpha, 3] = numbers[start[has_alpha] + 3]
    values[~has_alpha, 3] = 255.0 if values[:, :3].max(initial=0.0) > 1.0 else 1.0
    colors[colored] = _unit_colors(values)
    return sides, corners, linear_colors(colors)


def _indices(numbers: FloatArray, face_of: IntArray) -> IntArray:
    """Numbers as integers. face_of: the face of each, for the error."""
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((numbers == np.rint(numbers)) & (np.abs(numbers) < MAX_INDEX)))
    if len(bad):
        problem = f"has {numbers[bad[0]]:g} where a whole number must be"
        raise ModelError(problem, place=f"face {int(face_of[bad[0]]) + 1:,}", remedy=DAMAGED)
    return numbers.astype(np.int64)


def _unit_colors(colors: FloatArray) -> FloatArray:
    """Colours as 0…1: files have 0…255, or 0…1 if no number is larger."""
    largest = 255.0 if np.nan_to_num(colors, posinf=0.0).max(initial=0.0) > 1.0 else 1.0
    return np.clip(np.nan_to_num(colors / largest), 0.0, 1.0)
