"""Shared by the tests of sample models: the models at a low detail, and readers of their GLBs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pygltflib
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models"))

from samples import bicycle, koi, lantern, sculpture  # noqa: E402

MODULES: dict[str, ModuleType] = {"sculpture": sculpture, "koi": koi, "bicycle": bicycle, "lantern": lantern}
# For speed: small pictures, a coarse sculpture and bicycle; the other two meshes are complete.
DETAIL = {"sculpture": 0.12, "koi": 0.125, "bicycle": 0.25, "lantern": 0.125}
DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@cache
def content(name: str) -> bytes:
    built: bytes = MODULES[name].build("test", DETAIL[name])
    return built


@cache
def document(name: str) -> Any:
    return pygltflib.GLTF2.load_from_bytes(content(name))


def values(gltf: Any, index: int) -> NDArray[Any]:
    entry = gltf.accessors[index]
    view, width = gltf.bufferViews[entry.bufferView], WIDTHS[entry.type]
    flat = np.frombuffer(
        gltf.binary_blob(), DTYPES[entry.componentType], entry.count * width, view.byteOffset + (entry.byteOffset or 0)
    )
    return flat.reshape(entry.count, width)


def primitives(gltf: Any) -> Iterator[tuple[str, Any]]:
    for mesh in gltf.meshes:
        for primitive in mesh.primitives:
            yield mesh.name, primitive


def triangle_count(gltf: Any) -> int:
    return sum(gltf.accessors[primitive.indices].count // 3 for _, primitive in primitives(gltf))


def local_matrix(node: Any) -> NDArray[np.float64]:
    matrix = np.eye(4)
    x, y, z, w = node.rotation or (0, 0, 0, 1)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = node.translation or (0, 0, 0)
    return matrix


def world_matrices(gltf: Any) -> dict[int, NDArray[np.float64]]:
    world: dict[int, NDArray[np.float64]] = {}

    def visit(index: int, parent_matrix: NDArray[np.float64]) -> None:
        world[index] = parent_matrix @ local_matrix(gltf.nodes[index])
        for child in gltf.nodes[index].children:
            visit(child, world[index])

    for root in gltf.scenes[gltf.scene].nodes:
        visit(root, np.eye(4))
    return world


def points_in_rest_pose(gltf: Any) -> NDArray[np.float64]:
    world, parts = world_matrices(gltf), []
    for index, node in enumerate(gltf.nodes):
        if node.mesh is None:
            continue
        for primitive in gltf.meshes[node.mesh].primitives:
            points = values(gltf, primitive.attributes.POSITION).astype(np.float64)
            points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
            if node.skin is None:
                parts.append((points @ world[index].T)[:, :3])
                continue
            skin = gltf.skins[node.skin]
            bind = values(gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
            bones = np.stack([world[joint] for joint in skin.joints]) @ bind
            joints, weights = (values(gltf, getattr(primitive.attributes, key)) for key in ("JOINTS_0", "WEIGHTS_0"))
            blended = (bones[joints] * weights[..., None, None]).sum(axis=1)
            parts.append(np.einsum("nij,nj->ni", blended, points)[:, :3])
    return np.concatenate(parts)


def areas(points: NDArray[Any], triangles: NDArray[Any]) -> NDArray[np.float64]:
    corner = points.astype(np.float64)[triangles]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    return np.asarray(np.linalg.norm(cross, axis=1) / 2)
