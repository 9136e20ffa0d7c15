"""Flat meshes: all triangles of a model in asset space as arrays. flat.mjs describes their files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Indices = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class FlatMesh:
    """attributes: glTF name → (n, k). materials: of each vertex (n,), -1 for none. triangles: (m, 3)."""

    attributes: dict[str, Floats]
    materials: Ints
    triangles: Indices

    @classmethod
    def read(cls, path: Path) -> FlatMesh:
        content = path.read_bytes()
        start = content.index(b"\n") + 1
        head = json.loads(content[:start])
        words = np.frombuffer(content, "<u4", offset=start)
        vertices, attributes, at = head["vertices"], {}, 0
        for name, size in head["attributes"].items():
            attributes[name] = words[at : at + vertices * size].view("<f4").reshape(vertices, size).copy()
            at += vertices * size
        materials, triangles = words[at : at + vertices], words[at + vertices :]
        return cls(attributes, materials.view("<i4").copy(), triangles.reshape(head["triangles"], 3).copy())

    def write(self, path: Path) -> None:
        sizes = {name: values.shape[1] for name, values in self.attributes.items()}
        head = {"vertices": len(self.materials), "triangles": len(self.triangles), "attributes": sizes}
        text = json.dumps(head).encode()
        text += b" " * (3 - len(text) % 4) + b"\n"
        arrays = [values.astype("<f4") for values in self.attributes.values()]
        arrays += [self.materials.astype("<i4"), self.triangles.astype("<u4")]
        path.write_bytes(text + b"".join(array.tobytes() for array in arrays))

    def welded(self) -> FlatMesh:
        """The same triangles, with one vertex for all that are equal."""
        columns = [*self.attributes.values(), self.materials[:, None].view("<f4")]
        rows = np.ascontiguousarray(np.concatenate(columns, axis=1))
        keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)  # vertices stay in their order
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        kept = first[order]
        triangles = place[inverse].astype(np.uint32)[self.triangles]
        return FlatMesh({name: a[kept] for name, a in self.attributes.items()}, self.materials[kept], triangles)
