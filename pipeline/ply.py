"""PLY: scans and point clouds, with colours. The header is checked here, the body is trimesh's."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from trimesh.exchange.ply import load_ply

from .errors import ModelError
from .surface import AnyArray, BoolArray, FloatArray
from .textures import srgb_to_linear
from .translated import PLAIN, Part, Translated, corner_normals, indexed, require_finite

_SIZES = {"char": 1, "uchar": 1, "int8": 1, "uint8": 1, "short": 2, "ushort": 2, "int16": 2, "uint16": 2, "int": 4,
          "uint": 4, "int32": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8}  # fmt: skip
MAX_HEADER = 1 << 16


def read_ply(path: Path) -> Translated:
    """Read a PLY file: triangles (polygons are split), or points where it has no faces.

    Vertex colours are taken as sRGB and become linear. Vertices without normals are smooth.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}") from None
    _check_header(raw)
    try:
        loaded: dict[str, Any] = load_ply(io.BytesIO(raw), resolver=None, fix_texture=False, skip_materials=True)
    except Exception as error:  # whatever a damaged body makes of it
        raise ModelError(
            f"is no readable PLY: {str(error)[:200] or type(error).__name__}", remedy="export or copy it again"
        ) from None
    positions = _numbers(loaded.get("vertices", np.zeros((0, 3))), "element vertex")
    if len(positions) == 0 or positions.ndim != 2 or positions.shape[1] != 3:
        raise ModelError("holds no vertex", place="element vertex", remedy="export at least one object")
    require_finite(positions, "element vertex")
    attributes: dict[str, AnyArray] = {"POSITION": positions + 0.0}
    colors = loaded.get("vertex_colors")
    if colors is not None and len(colors) == len(positions):
        attributes["COLOR_0"] = _linear(_numbers(colors, "vertex colours"))
    found = loaded.get("faces")
    corners_of = _numbers(np.zeros((0, 3)) if found is None else found, "element face")
    name = path.stem
    materials = [{"name": "ply", **PLAIN}]
    if len(corners_of) == 0:
        points = {key: value.astype(np.float32) for key, value in attributes.items()}
        return Translated([(name, [Part(points, None, 0)])], materials, files=[raw])
    if corners_of.ndim != 2 or corners_of.shape[1] != 3:
        raise ModelError("is not of triangles", place="element face", remedy="export or copy it again")
    good: BoolArray = np.asarray(((corners_of >= 0) & (corners_of < len(positions))).all(axis=1))  # false for NaN too
    if not good.all():
        at = int(np.argmin(good))
        raise ModelError(
            f"names vertex {corners_of[at].max():,.0f} of {len(positions):,}",
            place=f"triangle {at + 1:,}",
            remedy="the file is damaged: export it again",
        )
    faces = corners_of.astype(np.int64)
    corners: dict[str, AnyArray] = {key: value[faces] for key, value in attributes.items()}
    given = loaded.get("vertex_normals")
    normals = None if given is None else _numbers(given, "vertex normals")
    if normals is not None and normals.shape == positions.shape and np.isfinite(normals).all():
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        corners["NORMAL"] = (normals / np.where(length > 0, length, 1.0))[faces]
    else:
        corners["NORMAL"] = corner_normals(positions, faces, -1.0)
    vertices, index = indexed(corners)
    return Translated([(name, [Part(vertices, index, 0)])], materials, files=[raw])


def _numbers(values: Any, place: str) -> FloatArray:
    """An array of numbers; what a damaged body yields may be an array of lists."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ModelError("is not of numbers alone", place=place, remedy="export or copy it again") from None


def _linear(colors: AnyArray) -> AnyArray:
    """(n, 3 or 4) sRGB bytes as linear floats, alpha as it is; opaque alpha is left out."""
    bytes_ = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
    linear = srgb_to_linear(bytes_[:, :3]).astype(np.float64)
    if bytes_.shape[1] == 4 and (bytes_[:, 3] < 255).any():
        return np.concatenate([linear, bytes_[:, 3:] / 255.0], axis=1)
    return linear


def _check_header(raw: bytes) -> None:
    """Refuse what is no PLY, and counts that the rest of the file cannot hold."""
    if raw[:3] != b"ply":
        raise ModelError("this is no PLY file", remedy="export it as PLY, or rename it to what it is")
    end = re.search(rb"\nend_header\r?\n", raw[:MAX_HEADER])
    if end is None:
        raise ModelError("its header has no end", place="header", remedy="the file is truncated: copy it again")
    lines = raw[: end.start()].decode("latin-1").splitlines()
    ascii_ = any(line.split()[:2] == ["format", "ascii"] for line in lines)
    element, count, row = "", 0, 0
    least = 0
    for line in [*lines, "element end 0"]:
        words = line.split()
        if words[:1] == ["element"]:
            least += count * max(1, row)
            if len(words) != 3 or not words[2].isdigit() or len(words[2]) > 15:
                raise ModelError(f'"{line[:80]}" declares no number of elements', place="header")
            element, count, row = words[1], int(words[2]), 0
        elif words[:1] == ["property"]:
            known = len(words) in (3, 5) and words[1] in (_SIZES | {"list": 1})
            if not known or not element:
                raise ModelError(f'"{line[:80]}" is no property', place="header")
            size = _SIZES[words[2]] if words[1] == "list" and words[2] in _SIZES else _SIZES.get(words[1], 1)
            row += 2 if ascii_ else size
        if least > len(raw) - end.end() + 1:
            raise ModelError(
                f"declares elements of {least:,} bytes or more, but {len(raw) - end.end():,} are there",
                place="header",
                remedy="the file is truncated: export or copy it again",
            )
