"""Read models without building them."""

from __future__ import annotations

from pathlib import Path

from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.mesh.surface import Surface
from streamxr.pipeline.trees.scene import read_scene


def read_surface(path: Path, **options: str) -> Surface:
    """The surface of a model with one tree. options: unit and up axis."""
    (tree,) = read_scene(read_model(path, **options)).trees
    return tree.source.surface
