"""A model of another format as a glTF document."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from ..gltf.accessors import COMPONENT_OF, UNSIGNED_INT, AccessorWriter
from ..gltf.document import POINTS, TEXTURE_TRANSFORM, Document, Json, texture_slots
from ..gltf.source_files import sha256_of

PLAIN: Json = {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}, "doubleSided": True}


@dataclass
class Part:
    """A primitive of one material: triangles, or points or lines if `triangles` is None.

    attributes: glTF name → (n, k) float32 or normalised unsigned integers; POSITION among them.
    triangles: (m, 3) or None. mode: POINTS, or LINES, which join every two vertices.
    """

    attributes: dict[str, AnyArray]
    triangles: IntArray | None
    material: int | None = None
    mode: int = POINTS


@dataclass(frozen=True)
class Placement:
    """One instance of an object. matrix: (4, 4), for column vectors."""

    object: int
    name: str
    matrix: FloatArray

    def node(self) -> Json:
        return {"name": self.name, "mesh": self.object, "matrix": self.matrix.T.reshape(-1).tolist()}


@dataclass
class Translated:
    """The content of a file in another format, in glTF's terms.

    objects: (name, parts) in file order. materials: glTF materials, whose texture indices are those of `images`.
    images: (name, encoded bytes). files: the contents read, for the hash. notes: remarks for the artist.
    placements: the instances of the objects; if empty, each object is drawn once, where it is.
    metres, up: the unit of length and the up axis, if the file states them.
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

        metres, up: the unit of length and the up axis ("y" or "z") of files that state none.
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
            if any(TEXTURE_TRANSFORM in info.get("extensions", {}) for info in slots):
                json["extensionsUsed"] = [TEXTURE_TRANSFORM]
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
    """The glTF primitive of a part."""
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
    """Raise ModelError unless all positions (n, 3) are finite as float32."""
    with np.errstate(over="ignore"):
        good = np.isfinite(positions.astype(np.float32)).all(axis=1)
    if not good.all():
        raise ModelError(
            f"vertex {int(np.argmin(good)) + 1:,} is not a finite position",
            place=place,
            remedy="clean the model in the modelling program and export it again",
        )
