"""Write GLB files: the container, and the refinement of a region."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..mesh.surface import PrimitiveKind
from .document import DRACO, Json
from .draco import FLOAT, TYPES, UNSIGNED_INT, UNSIGNED_SHORT, EncodedPrimitive

GENERATOR = "StreamXR"


class GlbWriter:
    """Collects buffer views and accessors for one GLB file."""

    def __init__(self) -> None:
        self.views: list[Json] = []
        self.accessors: list[Json] = []
        self._chunk = bytearray()
        self._packed = bytearray()
        self._packed_view: int | None = None

    def add_view(self, content: bytes, stride: int | None = None) -> int:
        self._chunk += b"\0" * (-len(self._chunk) % 4)
        view = {"buffer": 0, "byteOffset": len(self._chunk), "byteLength": len(content)}
        self.views.append(view | ({} if stride is None else {"byteStride": stride}))
        self._chunk += content
        return len(self.views) - 1

    def add_accessor(
        self, values: AnyArray, component: int, *, view: bool, vertex: bool = False, bounds: bool = False, **extra: Any
    ) -> int:
        """An accessor over (n, k) values; without a view it only declares what Draco holds.

        Rows of `vertex` values start at multiples of four, as glTF asks of vertex attributes.
        """
        accessor: Json = {
            "componentType": component,
            "count": len(values),
            "type": extra.pop("type", None) or TYPES[values.shape[1]],
            **extra,
        }
        if view:
            row = values.itemsize * values.shape[1]
            stride = row + -row % 4 if vertex and row % 4 else None
            if stride:
                padded = np.zeros((len(values), stride), np.uint8)
                padded[:, :row] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), row)
                accessor["bufferView"] = self.add_view(padded.tobytes(), stride)
            else:
                accessor["bufferView"] = self.add_view(values.tobytes())
        if bounds:
            # By column: along the rows of a few columns NumPy takes twenty times as long.
            accessor["min"] = [float(column.min()) for column in values.T]
            accessor["max"] = [float(column.max()) for column in values.T]
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_packed(self, values: AnyArray, component: int, *, bounds: bool = False, **extra: Any) -> int:
        """An accessor over (n, k) values that shares one view with all others of its sort: of the many small ones of
        an animation, views alone would take kilobytes of JSON."""
        if self._packed_view is None:
            self._packed_view = len(self.views)
            self.views.append({"buffer": 0})
        index = self.add_accessor(values, component, view=False, bounds=bounds, **extra)
        self._packed += b"\0" * (-len(self._packed) % 4)
        self.accessors[index] |= {"bufferView": self._packed_view, "byteOffset": len(self._packed)}
        self._packed += values.tobytes()
        return index

    def add_primitive(self, primitive: EncodedPrimitive, material: int | None) -> Json:
        """A glTF primitive whose attributes and indices live in its Draco stream."""
        attributes = {
            name: self.add_accessor(
                a.values,
                a.component,
                view=False,
                bounds=name == "POSITION",
                **({"normalized": True} if a.normalized else {}),
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

    def add_deltas(self, values: AnyArray, *, bounds: bool) -> int:
        """An accessor over float32 deltas (n, 3) of a morph target; sparse where most vertices stay."""
        moving = np.flatnonzero((values != 0).any(axis=1))
        index = moving.astype(np.uint16 if len(values) <= 65535 else np.uint32)
        if len(moving) * (values.itemsize * values.shape[1] + index.itemsize) >= values.nbytes:
            return self.add_accessor(values, FLOAT, view=True, bounds=bounds)
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
        """The GLB file of a document whose arrays refer to what was added here."""
        if self._packed_view is not None:
            self._chunk += b"\0" * (-len(self._chunk) % 4)
            self.views[self._packed_view] |= {"byteOffset": len(self._chunk), "byteLength": len(self._packed)}
            self._chunk += self._packed
        if self.accessors:
            document["accessors"] = self.accessors
        if self.views:
            document["bufferViews"] = self.views
            document["buffers"] = [{"byteLength": len(self._chunk)}]
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        if self._chunk:
            content = bytes(self._chunk) + b"\0" * (-len(self._chunk) % 4)
            chunks += struct.pack("<II", len(content), 0x004E4942) + content
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def refinement_glb(
    children: Sequence[Sequence[tuple[int, EncodedPrimitive]]], kinds: Sequence[PrimitiveKind], names: Sequence[str]
) -> bytes:
    """One GLB with one mesh per child region: each a list of (kind, primitive).

    `names` are the base's material names; materials here are only names, so that a changed picture
    changes no geometry.
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
