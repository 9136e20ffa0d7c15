"""Any model file as one glTF document: glTF as it came, OBJ, PLY and STL translated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from .document import Document, read_document
from .draco_input import expand_draco
from .errors import ModelError
from .obj import obj_files, read_obj
from .ply import read_ply
from .stl import read_stl
from .translated import Translated

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl")
SCANS = (".ply", ".stl")  # cleaned unless asked otherwise
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}

_READERS: dict[str, Callable[[Path], Translated]] = {".obj": read_obj, ".ply": read_ply, ".stl": read_stl}


def read_model(path: Path, name: str | None = None, *, unit: str = "m", up: str = "y") -> Document:
    """Read a model file and every file it names.

    unit, up: the unit of length (a key of METRES) and the up axis, "y" or "z", of formats that state none.
    Raises ModelError when anything about it is broken or missing.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        return expand_draco(read_document(path, name))
    return reader(path).document(name or path.name, METRES[unit], up)


def source_sha256(path: Path) -> str:
    """The hash that `read_model` would give the document, without its parsing where that is slow.

    Raises ModelError as reading does.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        return read_document(path).sha256
    if suffix == ".obj":
        return digest([content for _, content in obj_files(path)])
    try:
        return digest([path.read_bytes()])
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}") from None


def digest(contents: list[bytes]) -> str:
    """SHA-256 over files one after the other."""
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()
