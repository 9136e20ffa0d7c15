"""PLY: scans and point clouds, with colours.

Read here and not by a library: the libraries tried refuse or misread strips, quads, face colours, or colours that are
not bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import DAMAGED, ModelError
from ..gltf.document import LINES, POINTS
from ..gltf.source_files import read_file
from .faces import add_surface, cut_polygons, linear_colors
from .normals import SMOOTH
from .ply_elements import Values, read_elements
from .translated import PLAIN, Part, Translated, require_finite

_COLORS = (("red", "green", "blue", "alpha"), ("r", "g", "b", "a"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_INDICES = ("vertex_indices", "vertex_index")
_NORMAL = ("nx", "ny", "nz")


def read_ply(path: Path) -> Translated:
    """Read a PLY file: triangles, or its edges or points if it has no faces. Polygons and strips become triangles.

    Colours of vertices, or else of faces, are sRGB and become linear. Without normals, the surface is smooth.
    Raises ModelError if the file is not PLY, or is damaged.
    """
    raw = read_file(path)
    elements, texture = read_elements(raw)
    result = Translated([], [{"name": "ply", **PLAIN}], files=[raw])
    if texture:
        result.notes.append(f"its picture {texture} is left out: pictures of PLY files are not read")

    vertex = elements.get("vertex", {})
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
    face, strips = elements.get("face", {}), elements.get("tristrips", {})
    triangles, face_of = _polygon_triangles(face, positions)
    if strips:
        cut = _strip_triangles(strips, len(positions))
        triangles, face_of = np.concatenate([triangles, cut]), np.concatenate([face_of, np.full(len(cut), -1)])
    if len(triangles) == 0:
        result.objects.append((path.stem, [_lines_or_points(attributes, elements.get("edge", {}))]))
        return result
    own = _colors(face)
    face_colors = own[face_of] if own is not None and colors is None and not strips else None
    normals = _columns(vertex, _NORMAL) if all(name in vertex for name in _NORMAL) else None
    add_surface(result, path.stem, attributes, triangles, normals=normals, hard_edge=SMOOTH, face_colors=face_colors)
    return result


def _lines_or_points(attributes: dict[str, AnyArray], edge: Values) -> Part:
    """The edges as lines; the vertices as points if there are no edges."""
    points = {key: value.astype(np.float32) for key, value in attributes.items()}
    if not edge or not all(name in edge for name in ("vertex1", "vertex2")):
        return Part(points, None, 0, POINTS)
    ends = _columns(edge, ("vertex1", "vertex2")).astype(np.int64).reshape(-1)
    _require_vertices(ends, len(points["POSITION"]), 2, "edge")
    return Part({key: value[ends] for key, value in points.items()}, None, 0, LINES)


def _polygon_triangles(face: Values, positions: FloatArray) -> tuple[IntArray, IntArray]:
    """Triangles (m, 3) of the polygons, and the polygon of each."""
    lists = next((face[name] for name in _INDICES if name in face), None)
    if not isinstance(lists, tuple):
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    return cut_polygons(lists[0], lists[1].astype(np.int64), positions)


def _strip_triangles(strips: Values, vertices: int) -> IntArray:
    """Triangles (m, 3) of triangle strips, which −1 ends. Every other triangle has the reverse winding."""
    lists = next((strips[name] for name in _INDICES if name in strips), None)
    if not isinstance(lists, tuple):
        return np.zeros((0, 3), np.int64)
    ends = np.cumsum(lists[0])
    flat = np.insert(lists[1].astype(np.int64), ends, -1)
    _require_vertices(flat[flat != -1], vertices, 1, "index of strips")
    triple = np.stack([flat[:-2], flat[1:-1], flat[2:]], axis=1)
    gap = np.maximum.accumulate(np.where(flat == -1, np.arange(len(flat)), -1))
    reverse = (np.arange(len(triple)) - gap[: len(triple)]) % 2 == 0  # the first triangle is one past the gap
    triple[reverse] = triple[reverse][:, [1, 0, 2]]
    return triple[(triple >= 0).all(axis=1)]


def _require_vertices(indices: IntArray, vertices: int, group: int, noun: str) -> None:
    """Raise ModelError if an index is not a vertex. group: the number of indices of each edge or other noun."""
    bad = np.flatnonzero((indices < 0) | (indices >= vertices))
    if len(bad):
        place = f"{noun} {int(bad[0]) // group + 1:,}"
        raise ModelError(f"names vertex {int(indices[bad[0]]):,} of {vertices:,}", place=place, remedy=DAMAGED)


def _columns(values: Values, names: tuple[str, ...]) -> FloatArray:
    """Scalar properties as the columns of one array (n, k)."""
    return np.stack([np.asarray(values[name], np.float64) for name in names], axis=1)


def _colors(values: Values) -> FloatArray | None:
    """Linear colours (n, 3 or 4) of an element; None if it has none.

    Integers are fractions of their type's largest value. Floats are 0…1, or 0…255 if one is larger than 1.
    """
    names = next((c for c in _COLORS if all(name in values for name in c[:3])), None)
    if names is None:
        return None
    channels = []
    for name in names:
        if name not in values or isinstance(column := values[name], tuple):
            continue
        if column.dtype.kind == "f":
            largest = 255.0 if column.max(initial=0.0) > 1.0 else 1.0
        else:
            largest = float(np.iinfo(column.dtype).max)
        channels.append(np.clip(np.nan_to_num(column.astype(np.float64) / largest), 0.0, 1.0))
    return linear_colors(np.stack(channels, axis=1))
