"""A model of another format on its way into a glTF document."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from ..errors import ModelError
from ..gltf.accessors import COMPONENT_OF, UNSIGNED_INT, AccessorWriter
from ..gltf.document import Document, Json, texture_slots
from ..gltf.source_files import sha256_of
from ..mesh.topology import unique_rows

HARD_EDGE = float(np.cos(np.radians(35.0)))  # sharper edges stay hard where a file has no normals
SMOOTH = -1.0  # every edge is smooth
MAX_VALENCE = 64  # corners around one vertex that are compared with each other
TRANSFORM = "KHR_texture_transform"
POINTS, LINES = 0, 1  # glTF's primitive modes
PLAIN: Json = {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}, "doubleSided": True}


@dataclass
class Part:
    """Triangles, or where `triangles` is None points or lines, of one material.

    attributes: glTF name → (n, k) float32 or normalised unsigned integers; POSITION among them.
    triangles: (m, 3) or None. mode: POINTS, or LINES between every two vertices.
    """

    attributes: dict[str, AnyArray]
    triangles: IntArray | None
    material: int | None = None
    mode: int = POINTS


@dataclass(frozen=True)
class Placement:
    """An object as it is drawn once. matrix: (4, 4), for column vectors."""

    object: int
    name: str
    matrix: FloatArray

    def node(self) -> Json:
        return {"name": self.name, "mesh": self.object, "matrix": self.matrix.T.reshape(-1).tolist()}


@dataclass
class Translated:
    """What a file of another format holds, in glTF's words.

    objects: (name, parts) in file order. files: contents read, for the hash. notes: what the artist should know.
    """

    objects: list[tuple[str, list[Part]]]
    materials: list[Json] = field(default_factory=list)
    images: list[tuple[str, bytes]] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    metres: float | None = None
    up: str | None = None

    def document(self, name: str, metres: float, up: str) -> Document:
        """The glTF document: a mesh and a node for each object, below a root node that rotates and scales.

        metres: of one unit of length. up: the axis that points up, "y" or "z". The format's own come first.
        """
        metres = metres if self.metres is None else self.metres
        up = up if self.up is None else self.up
        json: Json = {"asset": {"version": "2.0"}, "scene": 0, "bufferViews": [], "accessors": [], "meshes": []}
        writer = AccessorWriter(json["bufferViews"], json["accessors"])
        root: Json = {"name": name.rsplit("/", 1)[-1]}
        if metres != 1.0:
            root["scale"] = [metres] * 3
        if up == "z":
            root["rotation"] = [-(0.5**0.5), 0.0, 0.0, 0.5**0.5]
        nodes: list[Json] = [root]
        for title, parts in self.objects:
            json["meshes"].append({"name": title, "primitives": [_primitive(part, writer) for part in parts]})
        if self.placements:
            nodes += [placement.node() for placement in self.placements]
        else:
            nodes += [{"name": title, "mesh": index} for index, (title, _) in enumerate(self.objects)]
        root["children"] = list(range(1, len(nodes)))
        json |= {"nodes": nodes, "scenes": [{"nodes": [0]}]}
        if self.materials:
            json["materials"] = self.materials
            slots = (info for material in self.materials for _, info in texture_slots(material))
            if any(TRANSFORM in info.get("extensions", {}) for info in slots):
                json["extensionsUsed"] = [TRANSFORM]
        if self.images:
            json["images"] = [{"name": title, "uri": title} for title, _ in self.images]
            json["textures"] = [{"source": index} for index in range(len(self.images))]
        json["buffers"] = [{"byteLength": len(writer.chunk)}]
        return Document(
            name,
            json,
            (bytes(writer.chunk),),
            {index: content for index, (_, content) in enumerate(self.images)},
            sha256_of(self.files),
            sum(map(len, self.files)),
            tuple(self.notes),
        )


def _primitive(part: Part, writer: AccessorWriter) -> Json:
    attributes = {}
    for name, values in part.attributes.items():
        normalized = {"normalized": True} if values.dtype.kind == "u" else {}
        attributes[name] = writer.add_accessor(values, COMPONENT_OF[values.dtype], **normalized)
    primitive: Json = {"attributes": attributes}
    if part.triangles is None:
        primitive["mode"] = part.mode
    else:
        primitive["indices"] = writer.add_accessor(part.triangles.reshape(-1, 1).astype("<u4"), UNSIGNED_INT)
    if part.material is not None:
        primitive["material"] = part.material
    return primitive


def require_finite(positions: AnyArray, place: str) -> None:
    """Raise ModelError for positions (n, 3) that are no finite float32 numbers."""
    with np.errstate(over="ignore"):
        good = np.isfinite(positions.astype(np.float32)).all(axis=1)
    if not good.all():
        raise ModelError(
            f"vertex {int(np.argmin(good)) + 1:,} is not a finite position",
            place=place,
            remedy="clean the model in the modelling program and export it again",
        )


def corner_normals(positions: FloatArray, triangles: IntArray, hardest: float) -> FloatArray:
    """Normals (m, 3, 3) for corners: the area-weighted mean of the faces around a vertex whose normals are within
    an angle, given by its cosine `hardest`, of the corner's own face; −1 takes all."""
    welded, index = unique_rows(positions)
    corner = index[triangles].reshape(-1)
    p = welded[index[triangles]]
    area = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    length = np.linalg.norm(area, axis=1, keepdims=True)
    unit = area / np.where(length > 0, length, 1.0)
    valence = np.bincount(corner, minlength=len(welded))
    if hardest <= -1.0:
        total = _sums(corner, np.repeat(area, 3, axis=0), len(welded))[corner]
    else:
        order = np.argsort(corner, kind="stable")
        start = (np.cumsum(valence) - valence)[corner[order]]
        around = valence[corner[order]]
        face = order // 3
        total_sorted = area[face].copy()
        for step in range(1, min(MAX_VALENCE, int(valence.max(initial=1)))):
            some = np.flatnonzero(around > step)
            place = start[some] + (some - start[some] + step) % around[some]
            other = face[place]
            near: BoolArray = np.einsum("ij,ij->i", unit[face[some]], unit[other]) >= hardest
            total_sorted[some[near]] += area[other[near]]
        total = np.empty_like(total_sorted)
        total[order] = total_sorted
    size = np.linalg.norm(total, axis=1, keepdims=True)
    fallback = np.repeat(np.where(length > 0, unit, [0.0, 0.0, 1.0]), 3, axis=0)
    result: FloatArray = np.where(size > 0, total / np.where(size > 0, size, 1.0), fallback)
    return result.reshape(-1, 3, 3)


def _sums(index: IntArray, values: FloatArray, count: int) -> FloatArray:
    return np.stack([np.bincount(index, values[:, k], minlength=count) for k in range(values.shape[1])], axis=1)
