"""Write GLB files: the container, and the refinement of a region."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..mesh.surface import PrimitiveKind
from .accessors import FLOAT, UNSIGNED_INT, UNSIGNED_SHORT, AccessorWriter
from .document import DRACO, Json
from .draco import EncodedPrimitive
from .source_files import BINARY_CHUNK, JSON_CHUNK

GENERATOR = "StreamXR"
# By the name of an attribute up to its number.
ZERO_TYPES = {"POSITION": "VEC3", "NORMAL": "VEC3", "TANGENT": "VEC4", "TEXCOORD": "VEC2", "COLOR": "VEC4"}


class GlbWriter(AccessorWriter):
    """Collects the bufferViews and accessors of one GLB file."""

    def __init__(self) -> None:
        super().__init__([], [])
        self._packed = bytearray()
        self._packed_view: int | None = None
        self._zeros: dict[str, int] = {}  # by type: an accessor of zeros for one triangle

    def add_packed(self, values: AnyArray, component: int, *, bounds: bool = False, **extra: Any) -> int:
        """An accessor over values (n, k) in one bufferView that all packed accessors share; its index.

        An animation has many small accessors, and a bufferView for each would take kilobytes of JSON.
        """
        if self._packed_view is None:
            self._packed_view = len(self.views)
            self.views.append({"buffer": 0})
        index = self.add_accessor(values, component, view=False, bounds=bounds, **extra)
        self._packed += b"\0" * (-len(self._packed) % 4)
        self.accessors[index] |= {"bufferView": self._packed_view, "byteOffset": len(self._packed)}
        self._packed += values.tobytes()
        return index

    def add_primitive(self, primitive: EncodedPrimitive, material: int | None) -> Json:
        """A glTF primitive with its attributes and indices in a Draco stream.

        Its accessors are its own, although they only describe what is in the stream: many readers decode into them.
        """
        attributes = {
            name: self.add_accessor(
                a.values,
                a.component,
                view=False,
                bounds=name == "POSITION",
                **({"normalized": True} if a.normalized and name != "POSITION" else {}),
            )
            for name, a in primitive.attributes.items()
        }
        component = UNSIGNED_SHORT if primitive.vertices <= 65535 else UNSIGNED_INT
        indices = self.add_accessor(primitive.triangles.reshape(-1, 1), component, view=False)
        result: Json = {
            "attributes": attributes,
            "indices": indices,
            "extensions": {
                DRACO: {
                    "bufferView": self.add_view(primitive.stream),
                    "attributes": {name: a.unique_id for name, a in primitive.attributes.items()},
                }
            },
        }
        if material is not None:
            result["material"] = material
        if primitive.targets:
            result["targets"] = [
                {name: self.add_deltas(v, bounds=name == "POSITION") for name, v in target.items()}
                for target in primitive.targets
            ]
        return result

    def add_empty_primitive(self, attributes: Sequence[str], material: int | None) -> Json:
        """A glTF primitive of one triangle without an area: it shows nothing, but has a material and attributes.

        Its accessors have no data; their values are zero.
        """
        result: Json = {"attributes": {name: self._add_zeros(name) for name in attributes}}
        if material is not None:
            result["material"] = material
        return result

    def _add_zeros(self, attribute: str) -> int:
        kind = ZERO_TYPES.get(attribute.partition("_")[0], "SCALAR")
        key = attribute if attribute == "POSITION" else kind
        if key not in self._zeros:
            accessor: Json = {"componentType": FLOAT, "count": 3, "type": kind}
            if attribute == "POSITION":
                accessor |= {"min": [0.0, 0.0, 0.0], "max": [0.0, 0.0, 0.0]}
            self.accessors.append(accessor)
            self._zeros[key] = len(self.accessors) - 1
        return self._zeros[key]

    def add_deltas(self, values: AnyArray, *, bounds: bool) -> int:
        """An accessor over the float32 deltas (n, 3) of a morph target; sparse if that is smaller."""
        moving = np.flatnonzero((values != 0).any(axis=1))
        index = moving.astype(np.uint16 if len(values) <= 65535 else np.uint32)
        if len(moving) * (values.itemsize * values.shape[1] + index.itemsize) >= values.nbytes:
            return self.add_accessor(values, FLOAT, bounds=bounds)
        accessor = self.add_accessor(values, FLOAT, view=False, bounds=bounds)
        if len(moving):
            component = UNSIGNED_SHORT if index.itemsize == 2 else UNSIGNED_INT
            self.accessors[accessor]["sparse"] = {
                "count": len(moving),
                "indices": {"bufferView": self.add_view(index.tobytes()), "componentType": component},
                "values": {"bufferView": self.add_view(np.ascontiguousarray(values[moving]).tobytes())},
            }
        return accessor

    def finish(self, document: Json) -> bytes:
        """The GLB file of a document that refers to the collected bufferViews and accessors."""
        if self._packed_view is not None:
            self.chunk += b"\0" * (-len(self.chunk) % 4)
            self.views[self._packed_view] |= {"byteOffset": len(self.chunk), "byteLength": len(self._packed)}
            self.chunk += self._packed
        if self.accessors:
            document["accessors"] = self.accessors
        if self.views:
            document["bufferViews"] = self.views
            document["buffers"] = [{"byteLength": len(self.chunk)}]
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text
        if self.chunk:
            content = bytes(self.chunk) + b"\0" * (-len(self.chunk) % 4)
            chunks += struct.pack("<II", len(content), BINARY_CHUNK) + content
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def refinement_glb(
    children: Sequence[Sequence[tuple[int, EncodedPrimitive]]], kinds: Sequence[PrimitiveKind], names: Sequence[str]
) -> bytes:
    """One GLB with one mesh for each child region, given as a list of (kind, primitive).

    names: the names of the base's materials. The materials of a refinement are names alone, so that a changed picture
    does not change geometry files.
    """
    writer = GlbWriter()
    used = sorted({m for child in children for k, _ in child if (m := kinds[k].material) is not None})
    meshes = [
        {
            "primitives": [
                writer.add_primitive(primitive, None if (m := kinds[k].material) is None else used.index(m))
                for k, primitive in child
            ]
        }
        for child in children
    ]
    document: Json = {
        "asset": {"version": "2.0", "generator": GENERATOR},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": i} for i in range(len(meshes))],
        "meshes": meshes,
        "extensionsUsed": [DRACO],
        "extensionsRequired": [DRACO],
    }
    if used:
        document["materials"] = [{"name": names[m]} for m in used]
    return writer.finish(document)
