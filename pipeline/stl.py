"""STL, binary and ASCII: a soup of triangles."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from .errors import ModelError
from .surface import FloatArray
from .translated import HARD_EDGE, PLAIN, Part, Translated, corner_normals, indexed, require_finite

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)
HEADER = 84


def read_stl(path: Path) -> Translated:
    """Read an STL file. Its normals are ignored, as everybody does; hard edges are found from the shape."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}") from None
    corners = _binary(raw)
    if corners is None:
        corners = _ascii(raw)
    require_finite(corners.reshape(-1, 3), "vertices")
    # −0 and 0 are one position.
    positions = corners.astype(np.float64).reshape(-1, 3) + 0.0
    triangles = np.arange(len(positions)).reshape(-1, 3)
    normals = corner_normals(positions, triangles, HARD_EDGE)
    attributes, index = indexed({"POSITION": positions.reshape(-1, 3, 3), "NORMAL": normals})
    return Translated([(path.stem, [Part(attributes, index, 0)])], [{"name": "stl", **PLAIN}], files=[raw])


def _binary(raw: bytes) -> FloatArray | None:
    """Corners (m, 3, 3), or None where the file is ASCII."""
    if len(raw) < HEADER:
        return None
    (count,) = struct.unpack_from("<I", raw, 80)
    there = (len(raw) - HEADER) // _RECORD.itemsize
    if count * _RECORD.itemsize + HEADER != len(raw) and raw.lstrip()[:5].lower() == b"solid":
        return None
    if count > there:
        raise ModelError(
            f"declares {count:,} triangles but only {there:,} are there",
            place="header",
            remedy="the file is truncated: export or copy it again",
        )
    if count == 0:
        raise ModelError("holds no triangle", remedy="export at least one object")
    found: FloatArray = np.frombuffer(raw, _RECORD, count, HEADER)["corners"].astype(np.float64)
    return found


def _ascii(raw: bytes) -> FloatArray:
    if raw.lstrip()[:5].lower() != b"solid":
        raise ModelError("this is no STL file", remedy="export it as STL, or rename it to what it is")
    values = _VERTEX.findall(raw)
    if not values or len(values) % 3:
        raise ModelError(
            f"has {len(values):,} vertices, which make no whole triangles",
            remedy="the file is truncated: export or copy it again",
        )
    try:
        corners: FloatArray = np.array(values).astype(np.float64)
    except ValueError:
        at = next(i for i, row in enumerate(values) if not all(map(_is_number, row)))
        shown = b" ".join(values[at])[:60].decode("utf-8", "replace")
        raise ModelError(f'"{shown}" are not three numbers', place=f"vertex {at + 1:,}") from None
    return corners.reshape(-1, 3, 3)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
