"""Pose glTF files as a viewer does, at any time of an animation, without the pipeline's own posing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import DracoPy
import gltf_maker as make
import numpy as np
import numpy.typing as npt
from builds import Built, draco_stream
from scipy.spatial.transform import Rotation, Slerp
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.mesh.surface import Surface

Floats = npt.NDArray[np.float64]
Json = dict[str, Any]


@dataclass
class Vertices:
    """The vertices of one mesh, primitive after primitive, and the triangles (m, 3) between them."""

    positions: Floats
    joints: npt.NDArray[np.int64]
    weights: Floats
    deltas: Floats
    triangles: npt.NDArray[np.int64]

    def morphed(self, weights: Floats) -> Floats:
        return self.positions + np.einsum("k,knj->nj", weights, self.deltas)

    def surface(self, positions: Floats) -> Surface:
        kinds = np.zeros(len(self.triangles), np.int64)
        return Surface(positions, self.triangles, kinds, np.zeros((len(self.triangles), 3, 2)))


class Posed:
    """A document at a time of one of its animations, or of the first animation of `keyframes`."""

    def __init__(
        self, document: Document, animation: int | None, time: float, keyframes: Document | None = None
    ) -> None:
        self.document = document
        self.nodes: list[Json] = [dict(node) for node in document.json.get("nodes", [])]
        self.weights: dict[int, Floats] = {}
        for index, node in enumerate(self.nodes):
            mesh = document.json["meshes"][node["mesh"]] if "mesh" in node else {}
            targets = max((len(p.get("targets", [])) for p in mesh.get("primitives", [])), default=0)
            self.weights[index] = np.array(node.get("weights", mesh.get("weights", [0.0] * targets)))
        if animation is not None:
            source, index = (document, animation) if keyframes is None else (keyframes, 0)
            self._apply(source, source.json["animations"][index], time)
        self.parents = {c: i for i, n in enumerate(self.nodes) for c in n.get("children", [])}

    def _apply(self, source: Document, animation: Json, time: float) -> None:
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times = read_accessor(source, sampler["input"], "t").reshape(-1).astype(float)
            values = read_accessor(source, sampler["output"], "v").astype(float)
            node, path = channel["target"]["node"], channel["target"]["path"]
            if path == "weights":
                values = values.reshape(len(times), -1)
            clamped = float(np.clip(time, times[0], times[-1]))
            if len(times) == 1 or sampler.get("interpolation") == "STEP":
                value = values[max(0, int(np.searchsorted(times, clamped, side="right")) - 1)]
            elif path == "rotation":
                value = Slerp(times, Rotation.from_quat(values))(clamped).as_quat()
            else:
                value = np.array([np.interp(clamped, times, column) for column in values.T])
            if path == "weights":
                self.weights[node] = value
            else:
                self.nodes[node][path] = value.tolist()

    def world(self, node: int) -> Floats:
        """The matrix (4, 4) from a node to the asset's space."""
        holder = self.nodes[node]
        local = np.eye(4)
        if "matrix" in holder:
            local = np.array(holder["matrix"], float).reshape(4, 4).T
        else:
            rotation = Rotation.from_quat(holder.get("rotation", [0, 0, 0, 1])).as_matrix()
            local[:3, :3] = rotation * np.array(holder.get("scale", [1, 1, 1]))
            local[:3, 3] = holder.get("translation", [0, 0, 0])
        return self.world(self.parents[node]) @ local if node in self.parents else local

    def draw(self, node: int, vertices: Vertices) -> Floats:
        """The positions (n, 3) in the asset's space at which a node draws the vertices of its mesh."""
        positions = vertices.morphed(self.weights[node]) if len(vertices.deltas) else vertices.positions
        if "skin" not in self.nodes[node]:
            return positions @ self.world(node)[:3, :3].T + self.world(node)[:3, 3]
        skin = self.document.json["skins"][self.nodes[node]["skin"]]
        inverse = np.tile(np.eye(4), (len(skin["joints"]), 1, 1))
        if "inverseBindMatrices" in skin:
            inverse = (
                read_accessor(self.document, skin["inverseBindMatrices"], "b").reshape(-1, 4, 4).transpose(0, 2, 1)
            )
        matrices = np.stack([self.world(j) @ i for j, i in zip(skin["joints"], inverse, strict=False)])
        homogeneous = np.concatenate([positions, np.ones((len(positions), 1))], axis=1)
        return np.einsum("ns,nsij,nj->ni", vertices.weights, matrices[vertices.joints][:, :, :3], homogeneous)


def tiers(built: Built, tree: Json) -> list[Vertices]:
    """The vertices of each tier of a chain, as a decoder sees them; the first tier is in the base."""
    document, chunk = built.base
    files = [(document, chunk, document["meshes"][document["nodes"][tree["nodes"][0]]["mesh"]])]
    for region in tree["regions"]:
        if region["refinement"]:
            finer, finer_chunk = make.unpack((built.root / region["refinement"]["uri"]).read_bytes())
            files.append((finer, finer_chunk, finer["meshes"][0]))
    return [_vertices(_document(d, c), [p for p in m["primitives"] if p.get("mode", 4) == 4]) for d, c, m in files]


def posed_base(built: Built, animation: int | None, time: float) -> Posed:
    """The base in the pose of one of the manifest's animations, which is in the base or in a file of its own."""
    earlier = [a["keyframes"] for a in built.manifest["animations"][:animation]]
    file = None if animation is None else built.manifest["animations"][animation]["keyframes"]
    if file is None:
        in_base = None if animation is None else earlier.count(None)
        return Posed(base_document(built), in_base, time)
    keyframes = _document(*make.unpack((built.root / file["uri"]).read_bytes()))
    return Posed(base_document(built), animation, time, keyframes)


def source_vertices(document: Document, mesh: int) -> Vertices:
    return _vertices(document, document.json["meshes"][mesh]["primitives"])


def base_document(built: Built) -> Document:
    return _document(*built.base)


def _document(json: Json, chunk: bytes) -> Document:
    return Document("file", json, (chunk,), {}, "", 0)


def _vertices(document: Document, primitives: list[Json]) -> Vertices:
    parts = []
    start = 0
    for primitive in primitives:
        stream = draco_stream(document.json, document.buffers[0], primitive)
        attributes: dict[str, Any] = {}
        if stream is None:
            attributes = {n: read_accessor(document, a, n) for n, a in primitive["attributes"].items()}
            count = len(attributes["POSITION"])
            corners = np.arange(count)
            if "indices" in primitive:
                corners = read_accessor(document, primitive["indices"], "i").astype(np.int64)
            triangles = corners.reshape(-1, 3)
        else:
            decoded: Any = DracoPy.decode(stream)
            count = len(decoded.points)
            for name, key in primitive["extensions"]["KHR_draco_mesh_compression"]["attributes"].items():
                values = np.asarray(decoded.get_attribute_by_unique_id(key)["data"]).reshape(count, -1)
                accessor = document.json["accessors"][primitive["attributes"][name]]
                attributes[name] = values / np.iinfo(values.dtype).max if accessor.get("normalized") else values
            triangles = np.asarray(decoded.faces).reshape(-1, 3).astype(np.int64)
        sets = [n.split("_")[1] for n in sorted(attributes) if n.startswith("JOINTS_")]
        joints = np.concatenate([np.zeros((count, 1), np.int64)] + [attributes[f"JOINTS_{s}"] for s in sets], axis=1)
        weights = np.concatenate([np.zeros((count, 1))] + [attributes[f"WEIGHTS_{s}"] for s in sets], axis=1)
        total = weights.sum(axis=1, keepdims=True)
        weights = np.where(total > 0, weights / np.where(total > 0, total, 1), np.eye(weights.shape[1])[0])
        targets = [read_accessor(document, t["POSITION"], "t") for t in primitive.get("targets", [])]
        deltas = np.stack(targets).astype(float) if targets else np.zeros((0, count, 3))
        parts.append(
            Vertices(attributes["POSITION"].astype(float), joints.astype(np.int64), weights, deltas, triangles + start)
        )
        start += count
    return Vertices(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.joints for p in parts]),
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.deltas for p in parts], axis=1),
        np.concatenate([p.triangles for p in parts]),
    )
