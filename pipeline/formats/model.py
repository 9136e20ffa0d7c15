"""Read a model file of any supported format as one glTF document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..gltf.document import Document
    from .translated import Translated

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off", ".3mf")
SINGLE_FILES = (".ply", ".stl", ".off", ".3mf")  # formats that name no other files
SCANS = (".ply", ".stl")  # formats whose geometry is cleaned by default
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}


def read_model(path: Path, name: str | None = None, *, unit: str = "m", up: str = "y") -> Document:
    """Read a model file and every file it names.

    name: of the document; the file's name if None. unit, up: the unit of length (a key of METRES) and the up axis ("y"
    or "z") of formats that state none.
    Raises ModelError if a file is broken or missing.
    """
    reader = _reader(path)
    if reader is not None:
        return reader(path).document(name or path.name, METRES[unit], up)
    from ..gltf.draco_input import expand_draco
    from ..gltf.source_files import read_document

    return expand_draco(read_document(path, name))


def source_sha256(path: Path) -> str:
    """The hash that `read_model` gives the document, without the slow part of reading it.

    Raises ModelError as `read_model` does.
    """
    from ..gltf.source_files import read_document, read_file, sha256_of

    suffix = path.suffix.lower()
    if suffix == ".obj":
        from .obj import obj_files

        return sha256_of([content for _, content in obj_files(path)])
    if suffix in SINGLE_FILES:
        return sha256_of([read_file(path)])
    return read_document(path).sha256


def _reader(path: Path) -> Callable[[Path], Translated] | None:
    """The reader of a format other than glTF; None for glTF.

    The readers are imported on demand, because they load the mesh libraries.
    """
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
    if suffix == ".off":
        from .off import read_off

        return read_off
    if suffix == ".3mf":
        from .threemf import read_3mf

        return read_3mf
    return None
