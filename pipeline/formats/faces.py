"""Polygons and their attributes as glTF triangles: shared by the formats that have polygons."""

from __future__ import annotations

import warnings

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import DAMAGED, ModelError
from ..mesh.polygons import triangulate
from ..mesh.weld import weld_corners
from ..pictures.color import decode_srgb, srgb_to_linear
from .normals import corner_normals
from .translated import Part, Translated

CODE_TOLERANCE = 1e-3  # of an 8-bit code: colours closer to whole codes are 8-bit colours


def add_surface(
    result: Translated,
    name: str,
    vertices: dict[str, AnyArray],
    triangles: IntArray,
    *,
    normals: FloatArray | None,
    hard_edge: float,
    face_colors: FloatArray | None = None,
) -> None:
    """Append triangles (m, 3) as one object of material 0, and note how many vertices they leave out.

    vertices: attributes (n, k), POSITION among them. normals: (n, 3), computed if None.
    hard_edge: as for `corner_normals`. face_colors: (m, 3 or 4), linear.
    """
    unused = len(vertices["POSITION"]) - len(np.unique(triangles))
    if unused:
        noun = "vertex that no face uses is" if unused == 1 else "vertices that no face uses are"
        result.notes.append(f"{unused:,} {noun} left out")
    corners: dict[str, AnyArray] = {key: values[triangles] for key, values in vertices.items()}
    if face_colors is not None:
        corners["COLOR_0"] = np.repeat(face_colors[:, None], 3, axis=1)
    if normals is not None and np.isfinite(normals).all():
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        corners["NORMAL"] = (normals / np.where(length > 0, length, 1.0))[triangles]
    else:
        corners["NORMAL"] = corner_normals(vertices["POSITION"], triangles, hard_edge)
    attributes, index = weld_corners(corners)
    result.objects.append((name, [Part(attributes, index, 0)]))


def cut_polygons(sides: IntArray, corners: IntArray, positions: FloatArray) -> tuple[IntArray, IntArray]:
    """Triangles (m, 3) of polygons, and the polygon of each. Polygons of fewer than three sides have none.

    sides: of each polygon. corners: the vertices of all polygons, one after the other.
    Raises ModelError if a corner is not a vertex.
    """
    start = np.cumsum(sides) - sides
    bad = np.flatnonzero((corners < 0) | (corners >= len(positions)))
    if len(bad):
        number = int(np.searchsorted(start, bad[0], side="right"))
        problem = f"names vertex {int(corners[bad[0]]):,} of {len(positions):,}"
        raise ModelError(problem, place=f"face {number:,}", remedy=DAMAGED)
    cut: list[IntArray] = []
    polygon_of: list[IntArray] = []
    for count in (3, 4):
        chosen = np.flatnonzero(sides == count)
        polygons = corners[start[chosen][:, None] + np.arange(count)]
        cut.append(_halved(polygons, positions) if count == 4 else polygons)
        polygon_of.append(np.repeat(chosen, count - 2))
    for number in np.flatnonzero(sides > 4).tolist():
        polygon = corners[start[number] : start[number] + sides[number]]
        cut.append(polygon[np.array(triangulate(positions[polygon].tolist()))])
        polygon_of.append(np.full(len(cut[-1]), number))
    triangles, numbers = np.concatenate(cut), np.concatenate(polygon_of)
    order = np.argsort(numbers, kind="stable")
    return triangles[order], numbers[order]


def linear_colors(colors: FloatArray) -> FloatArray:
    """Linear colours (n, 3 or 4) of sRGB colours 0…1, alpha unchanged; without alpha if it is opaque everywhere."""
    codes = colors[:, :3] * 255
    whole = np.rint(codes)
    light = srgb_to_linear(whole.astype(np.uint8)).astype(np.float64)
    if np.abs(codes - whole).max(initial=0.0) > CODE_TOLERANCE:
        light = decode_srgb(colors[:, :3])
    if colors.shape[1] == 4 and (colors[:, 3] < 1.0).any():
        return np.concatenate([light, colors[:, 3:]], axis=1)
    return light


def parse_numbers(text: bytes, place: str, count: int | None = None) -> FloatArray:
    """Numbers between white space. Raises ModelError for other text, and unless there are `count` numbers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how NumPy reports text that is not a number
            numbers: FloatArray = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        numbers = np.zeros(0)
        count = -1
    if count is not None and len(numbers) != count:
        raise ModelError("has text that is not a number", place=place, remedy=DAMAGED)
    return numbers


def _halved(quads: IntArray, positions: FloatArray) -> IntArray:
    """Two triangles (2 q, 3) for each quad (q, 4), cut along a diagonal that lies inside."""
    p = positions[quads]
    one = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    other = np.cross(p[:, 2] - p[:, 0], p[:, 3] - p[:, 0])
    turned = np.where((np.einsum("ij,ij->i", one, other) >= 0)[:, None], quads, np.roll(quads, -1, axis=1))
    return turned[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
