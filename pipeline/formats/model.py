"""Any model file as one glTF document: glTF as it came, OBJ, PLY and STL translated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from ..gltf.document import Document
    from .translated import Translated

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
SCANS = (".ply", ".stl")  # cleaned unless asked otherwise
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}


def read_model(path: Path, name: str | None = None, *, unit: str = "m", up: str = "y") -> Document:
    """Read a model file and every file it names.

    unit, up: the unit of length (a key of METRES) and the up axis, "y" or "z", of formats that state none.
    Raises ModelError when anything about it is broken or missing.
    """
    reader = _translator(path)
    if reader is not None:
        return reader(path).document(name or path.name, METRES[unit], up)
    from ..gltf.document import read_document
    from ..gltf.draco_input import expand_draco

    return expand_draco(read_document(path, name))


def source_sha256(path: Path) -> str:
    """The hash that `read_model` would give the document, without its parsing where that is slow.

    Raises ModelError as reading does.
    """
    suffix = path.suffix.lower()
    if suffix == ".obj":
        from .obj import obj_files

        return digest([content for _, content in obj_files(path)])
    if suffix not in SCANS:
        from ..gltf.document import read_document

        return read_document(path).sha256
    try:
        return digest([path.read_bytes()])
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}") from None


def _translator(path: Path) -> Callable[[Path], Translated] | None:
    """What reads a format that is not glTF. Each is loaded when a model needs it: they load the mesh libraries."""
    suffix = path.suffix.lower()
    if suffix == ".obj":
        from .obj import read_obj

        return read_obj
    if suffix == ".ply":
        from .ply import read_ply

        return read_ply
    if suffix == ".stl":
        from .stl import read_stl

        return read_stl
    return None


def digest(contents: list[bytes]) -> str:
    """SHA-256 over files one after the other."""
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()
