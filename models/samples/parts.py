"""Named parts of a model: corners, a material, and where the copies of one mesh are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .glb import Glb
from .mesh import Corners, weld
from .noise import Floats


@dataclass(frozen=True)
class Part:
    """One mesh and its nodes.

    Without copies the node has the part's name and no transform. With copies, each a rigid 4×4 matrix, the
    nodes are "name 1", "name 2", …; they share the mesh. `extras` go to every node of the part.
    `shared` names a mesh that several parts have in common: the first of them adds it.
    """

    name: str
    material: str
    corners: Corners
    crease_degrees: float = 38.0
    copies: Sequence[Floats] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)
    shared: str = ""


def add_parts(out: Glb, parent: int, parts: Sequence[Part], materials: Mapping[str, int]) -> None:
    """Add parts below a node. Tangents are written for materials with a normal map."""
    for part in parts:
        known = [index for index, mesh in enumerate(out.document.meshes) if part.shared and mesh.name == part.shared]
        mesh = known[0] if known else _add_mesh(out, part, materials[part.material])
        extras = {"extras": dict(part.extras)} if part.extras else {}
        if not part.copies:
            out.node(part.name, parent, mesh=mesh, **extras)
        for number, matrix in enumerate(part.copies, 1):
            out.node(f"{part.name} {number}", parent, mesh=mesh, **transform(matrix), **extras)


def _add_mesh(out: Glb, part: Part, material: int) -> int:
    tangents = out.document.materials[material].normalTexture is not None
    vertices = out.attributes(weld(part.corners, part.crease_degrees), tangents=tangents)
    return out.mesh(part.shared or part.name, [(vertices, material)])


def transform(matrix: Floats) -> dict[str, Any]:
    """A rigid 4×4 matrix as translation and rotation of a node."""
    turn = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return {
        "translation": [float(x) for x in np.round(matrix[:3, 3], 7)],
        "rotation": [float(x) for x in turn / np.linalg.norm(turn)],
    }
