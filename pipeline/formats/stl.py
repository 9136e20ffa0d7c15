"""STL, binary and ASCII: a soup of triangles."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import ModelError
from ..gltf.source_files import read_file
from ..mesh.weld import weld_corners
from ..pictures.color import srgb_to_linear
from .translated import HARD_EDGE, PLAIN, Part, Translated, corner_normals, require_finite

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)
HEADER = 84
TRUNCATED = "the file is truncated: export or copy it again"


def read_stl(path: Path) -> Translated:
    """Read an STL file. Its normals are ignored, as everybody does; hard edges are found from the shape."""
    raw = read_file(path)
    records = None if _is_ascii(raw) else _records(raw)
    corners: FloatArray = _ascii(raw) if records is None else records["corners"].astype(np.float64)
    require_finite(corners.reshape(-1, 3), "vertices")
    # −0 and 0 are one position.
    positions = corners.reshape(-1, 3) + 0.0
    triangles = np.arange(len(positions)).reshape(-1, 3)
    named: dict[str, AnyArray] = {"POSITION": positions.reshape(-1, 3, 3)}
    named["NORMAL"] = corner_normals(positions, triangles, HARD_EDGE)
    colors = None if records is None else _colors(raw[:80], records["attribute"])
    if colors is not None:
        named["COLOR_0"] = np.repeat(colors[:, None], 3, axis=1)
    attributes, index = weld_corners(named)
    return Translated([(path.stem, [Part(attributes, index, 0)])], [{"name": "stl", **PLAIN}], files=[raw])


def _is_ascii(raw: bytes) -> bool:
    """Binary files may begin with the word of ASCII ones; then their length or their body tells."""
    if raw.lstrip()[:5].lower() != b"solid":
        return len(raw) < HEADER
    if len(raw) >= HEADER and struct.unpack_from("<I", raw, 80)[0] * _RECORD.itemsize + HEADER == len(raw):
        return False
    return b"vertex" in raw.lower() or b"\0" not in raw


def _records(raw: bytes) -> AnyArray:
    if len(raw) < HEADER:
        raise ModelError("ends within its header", place="header", remedy=TRUNCATED)
    (count,) = struct.unpack_from("<I", raw, 80)
    there = (len(raw) - HEADER) // _RECORD.itemsize
    if count > there:
        problem = f"declares {count:,} triangles but only {there:,} are there"
        raise ModelError(problem, place="header", remedy=TRUNCATED)
    if count == 0:
        raise ModelError("holds no triangle", remedy="export at least one object")
    return np.frombuffer(raw, _RECORD, count, HEADER)


def _colors(header: bytes, attribute: AnyArray) -> FloatArray | None:
    """Linear colours (m, 3) of faces, where the file holds any.

    Two conventions put five bits a channel into the attribute. With "COLOR=" and four bytes in the header (Magics),
    red is lowest and bit 15 means the header's colour; else (VisCAM) blue is lowest and bit 15 marks a colour.
    """
    codes = np.stack([attribute >> shift & 31 for shift in (0, 5, 10)], axis=1) * 255 // 31
    own = attribute >> 15 == 1
    at = header.find(b"COLOR=")
    if at >= 0 and len(header) >= at + 10:
        whole = np.frombuffer(header, np.uint8, 3, at + 6)
        # Exporters that only colour the whole leave the attribute zero.
        codes = np.where((own | (attribute == 0))[:, None], whole, codes)
    elif own.any():
        codes = np.where(own[:, None], codes[:, ::-1], 255)
    else:
        return None
    return srgb_to_linear(codes.astype(np.uint8)).astype(np.float64)


def _ascii(raw: bytes) -> FloatArray:
    if raw.lstrip()[:5].lower() != b"solid":
        raise ModelError("this is no STL file", remedy="export it as STL, or rename it to what it is")
    values = _VERTEX.findall(raw)
    if not values or len(values) % 3:
        raise ModelError(
            f"has {len(values):,} vertices, which make no whole triangles",
            remedy=TRUNCATED,
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
