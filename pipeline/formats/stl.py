"""STL, binary and ASCII: triangles without shared vertices."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import TRUNCATED, ModelError
from ..gltf.source_files import read_file
from ..mesh.weld import weld_corners
from ..pictures.color import srgb_to_linear
from .normals import HARD_EDGE, corner_normals
from .translated import PLAIN, Part, Translated, require_finite

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)
HEADER = 84


def read_stl(path: Path) -> Translated:
    """Read an STL file.

    The normals in the file are ignored, as in other programs; they are computed, with hard edges by angle. Colours of
    faces become linear vertex colours. Raises ModelError if the file is not STL, or is damaged.
    """
    raw = read_file(path)
    records = None if _is_ascii(raw) else _records(raw)
    corners: FloatArray = _ascii(raw) if records is None else records["corners"].astype(np.float64)
    require_finite(corners.reshape(-1, 3), "vertices")
    positions = corners.reshape(-1, 3) + 0.0  # −0.0 becomes 0.0
    triangles = np.arange(len(positions)).reshape(-1, 3)
    attributes: dict[str, AnyArray] = {"POSITION": positions.reshape(-1, 3, 3)}
    attributes["NORMAL"] = corner_normals(positions, triangles, HARD_EDGE)
    colors = None if records is None else _colors(raw[:80], records["attribute"])
    if colors is not None:
        attributes["COLOR_0"] = np.repeat(colors[:, None], 3, axis=1)
    vertices, index = weld_corners(attributes)
    return Translated([(path.stem, [Part(vertices, index, 0)])], [{"name": "stl", **PLAIN}], files=[raw])


def _is_ascii(raw: bytes) -> bool:
    """Whether a file is ASCII. Some binary files begin with "solid" too; their length or their body tells."""
    if raw.lstrip()[:5].lower() != b"solid":
        return len(raw) < HEADER
    if len(raw) >= HEADER and struct.unpack_from("<I", raw, 80)[0] * _RECORD.itemsize + HEADER == len(raw):
        return False
    return b"vertex" in raw.lower() or b"\0" not in raw


def _records(raw: bytes) -> AnyArray:
    """The triangles of a binary file."""
    if len(raw) < HEADER:
        raise ModelError("ends within its header", place="header", remedy=TRUNCATED)
    (count,) = struct.unpack_from("<I", raw, 80)
    present = (len(raw) - HEADER) // _RECORD.itemsize
    if count > present:
        problem = f"declares {count:,} triangles but only {present:,} are there"
        raise ModelError(problem, place="header", remedy=TRUNCATED)
    if count == 0:
        raise ModelError("holds no triangle", remedy="export at least one object")
    return np.frombuffer(raw, _RECORD, count, HEADER)


def _colors(header: bytes, attribute: AnyArray) -> FloatArray | None:
    """Linear colours (m, 3) of faces; None if the file has none.

    Two conventions store five bits for each channel in the attribute. With "COLOR=" and four bytes in the header
    (Magics), red is in the lowest bits, and bit 15 means the colour of the header. Otherwise (VisCAM) blue is in the
    lowest bits, and bit 15 means that the face has a colour.
    """
    codes = np.stack([attribute >> shift & 31 for shift in (0, 5, 10)], axis=1) * 255 // 31
    marked = attribute >> 15 == 1
    at = header.find(b"COLOR=")
    if at >= 0 and len(header) >= at + 10:
        common = np.frombuffer(header, np.uint8, 3, at + 6)
        # Exporters that write one colour for all faces leave the attribute zero.
        codes = np.where((marked | (attribute == 0))[:, None], common, codes)
    elif marked.any():
        codes = np.where(marked[:, None], codes[:, ::-1], 255)
    else:
        return None
    return srgb_to_linear(codes.astype(np.uint8)).astype(np.float64)


def _ascii(raw: bytes) -> FloatArray:
    """The corners (m, 3, 3) of an ASCII file."""
    if raw.lstrip()[:5].lower() != b"solid":
        raise ModelError("this is not an STL file", remedy="export it as STL, or correct the file name's extension")
    values = _VERTEX.findall(raw)
    if not values or len(values) % 3:
        raise ModelError(f"has {len(values):,} vertices, not three for each triangle", remedy=TRUNCATED)
    try:
        corners: FloatArray = np.array(values).astype(np.float64)
    except ValueError:
        at = next(i for i, row in enumerate(values) if not all(map(_is_number, row)))
        quoted = b" ".join(values[at])[:60].decode("utf-8", "replace")
        raise ModelError(f'"{quoted}" are not three numbers', place=f"vertex {at + 1:,}") from None
    return corners.reshape(-1, 3, 3)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
