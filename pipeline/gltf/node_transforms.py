"""The local transforms and the morph weights of nodes, as the file states them."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray
from .document import Document, Json, item, label, numbers, objects_in

PROPERTY_WIDTHS = {"translation": 3, "rotation": 4, "scale": 3}


def node_matrix(node: Json, place: str) -> FloatArray:
    """The local 4×4 matrix of a node, for column vectors."""
    if "matrix" in node:
        return numbers(node["matrix"], 16, f"{place}, matrix").reshape(4, 4).T
    translation, rotation, scale = (a[None] for a in local_transform(node, place))
    matrix: FloatArray = compose_matrices(translation, rotation, scale)[0]
    return matrix


def local_transform(node: Json, place: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The translation (3,), rotation (4,) and scale (3,) of a node, with glTF's defaults."""
    return (
        numbers(node.get("translation", [0, 0, 0]), 3, f"{place}, translation"),
        numbers(node.get("rotation", [0, 0, 0, 1]), 4, f"{place}, rotation"),
        numbers(node.get("scale", [1, 1, 1]), 3, f"{place}, scale"),
    )


def compose_matrices(translation: FloatArray, rotation: FloatArray, scale: FloatArray) -> FloatArray:
    """Matrices (t, 4, 4) from translations (t, 3), unit quaternions (t, 4) and scales (t, 3)."""
    x, y, z, w = rotation.T
    matrices = np.tile(np.eye(4), (len(rotation), 1, 1))
    matrices[:, :3, :3] = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )
    matrices[:, :3, :3] *= scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def rest_value(document: Document, node: int, path: str) -> FloatArray:
    """The value of an animated property outside of animations: translation, rotation, scale or morph weights."""
    holder = item(document.json, "nodes", node, f"node {node}")
    place = label("node", node, holder)
    if path != "weights":
        return local_transform(holder, place)[list(PROPERTY_WIDTHS).index(path)]
    if holder.get("mesh") is None:
        return np.zeros(0)
    mesh = item(document.json, "meshes", holder["mesh"], place)
    targets = [primitive.get("targets") for primitive in objects_in(mesh.get("primitives"))]
    count = max((len(listed) for listed in targets if isinstance(listed, list)), default=0)
    given = holder.get("weights", mesh.get("weights"))
    if given is None or count == 0:
        return np.zeros(count)
    return numbers(given, count, f"{place}, weights")
