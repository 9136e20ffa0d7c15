"""STL files of triangles (m, 3, 3)."""

from __future__ import annotations

import struct

import numpy.typing as npt


def binary_stl(corners: npt.NDArray, count: int | None = None) -> bytes:
    """A binary file. count: the number that its header declares, if not the number of triangles."""
    records = b"".join(struct.pack("<12fH", 0, 0, 0, *c.reshape(-1), 0) for c in corners)
    return b"\0" * 80 + struct.pack("<I", len(corners) if count is None else count) + records


def ascii_stl(corners: npt.NDArray) -> bytes:
    facets = []
    for corner in corners.tolist():
        vertices = "".join(f"vertex {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in corner)
        facets.append(f"facet normal 0 0 0\nouter loop\n{vertices}endloop\nendfacet\n")
    return f"solid ball\n{''.join(facets)}endsolid ball\n".encode()
