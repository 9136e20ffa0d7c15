"""A writer for binary glTF 2.0 files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pygltflib as gl
from numpy.typing import NDArray

from .mesh import Mesh
from .noise import Floats
from .picture import Picture

COPYRIGHT = "The StreamXR authors, Apache-2.0"


class Glb:
    """One glTF document and its binary chunk. The methods that add an object return its index."""

    def __init__(self, recipe: str) -> None:
        asset = gl.Asset(version="2.0", generator="StreamXR make_samples", copyright=COPYRIGHT)
        asset.extras = {"recipe": recipe}
        self.document = gl.GLTF2(asset=asset, scene=0, scenes=[gl.Scene(nodes=[])])
        self.document.samplers = [
            gl.Sampler(magFilter=gl.LINEAR, minFilter=gl.LINEAR_MIPMAP_LINEAR, wrapS=gl.REPEAT, wrapT=gl.REPEAT)
        ]
        self._chunk = bytearray()

    def texture(self, picture: Picture) -> int:
        """Add a picture as a texture that repeats and has mip levels."""
        view = self._view(picture.encoded, None)
        self.document.images.append(gl.Image(name=picture.name, mimeType=picture.mime, bufferView=view))
        self.document.textures.append(gl.Texture(name=picture.name, sampler=0, source=len(self.document.images) - 1))
        return len(self.document.textures) - 1

    def textures(self, pictures: Mapping[str, Picture]) -> dict[str, int]:
        """Add pictures by role; the result is an argument of `material`."""
        return {role: self.texture(picture) for role, picture in pictures.items()}

    def material(
        self,
        name: str,
        textures: Mapping[str, int],
        *,
        factor: Sequence[float] = (1, 1, 1, 1),
        metallic: float = 1.0,
        roughness: float = 1.0,
        **rest: Any,
    ) -> int:
        """Add a metallic-roughness material; `textures` by role: base, normal, orm, emissive."""

        def texture_info(role: str, kind: Any) -> Any:
            return kind(index=textures[role]) if role in textures else None

        material = gl.Material(
            name=name,
            pbrMetallicRoughness=gl.PbrMetallicRoughness(
                baseColorFactor=[float(f) for f in factor],
                metallicFactor=metallic,
                roughnessFactor=roughness,
                baseColorTexture=texture_info("base", gl.TextureInfo),
                metallicRoughnessTexture=texture_info("orm", gl.TextureInfo),
            ),
            normalTexture=texture_info("normal", gl.NormalMaterialTexture),
            occlusionTexture=texture_info("orm", gl.OcclusionTextureInfo),
            emissiveTexture=texture_info("emissive", gl.TextureInfo),
            emissiveFactor=[1.0, 1.0, 1.0] if "emissive" in textures else None,
            alphaCutoff=None,
            **rest,
        )
        self.document.materials.append(material)
        return len(self.document.materials) - 1

    def attributes(
        self, mesh: Mesh, skin: Mapping[str, NDArray[Any]] | None = None, *, tangents: bool = True
    ) -> tuple[Any, int]:
        """Write the vertices and indices of a mesh: attributes and index accessor for primitives of `mesh`.

        skin: JOINTS_0 and WEIGHTS_0. tangents: for materials with a normal map.
        """
        attributes = gl.Attributes(
            POSITION=self.accessor(mesh.positions.astype(np.float32), gl.ARRAY_BUFFER, bounds=True),
            NORMAL=self.accessor(_unit(mesh.normals), gl.ARRAY_BUFFER),
            TEXCOORD_0=self.accessor(mesh.uvs.astype(np.float32), gl.ARRAY_BUFFER),
        )
        if tangents:
            attributes.TANGENT = self.accessor(mesh.tangents().astype(np.float32), gl.ARRAY_BUFFER)
        for name, array in (skin or {}).items():
            setattr(attributes, name, self.accessor(array, gl.ARRAY_BUFFER))
        index_type = np.uint16 if len(mesh.positions) < 65535 else np.uint32
        indices = self.accessor(mesh.triangles.reshape(-1).astype(index_type), gl.ELEMENT_ARRAY_BUFFER)
        return attributes, indices

    def mesh(self, name: str, primitives: Sequence[tuple[tuple[Any, int], int]]) -> int:
        """Add a mesh. primitives: (result of `attributes`, material) each."""
        self.document.meshes.append(
            gl.Mesh(
                name=name,
                primitives=[
                    gl.Primitive(attributes=attributes, indices=indices, material=material)
                    for (attributes, indices), material in primitives
                ],
            )
        )
        return len(self.document.meshes) - 1

    def node(self, name: str, parent: int | None = None, **rest: Any) -> int:
        """Add a node as a child of `parent`, or to the scene."""
        self.document.nodes.append(gl.Node(name=name, **rest))
        index = len(self.document.nodes) - 1
        if parent is None:
            self.document.scenes[0].nodes.append(index)
        else:
            self.document.nodes[parent].children.append(index)
        return index

    def skin(self, name: str, joints: Sequence[int], inverse_bind: Floats) -> int:
        """Add a skin. inverse_bind: (joints, 4, 4) for column vectors."""
        columns = np.ascontiguousarray(inverse_bind.transpose(0, 2, 1)).astype(np.float32).reshape(-1, 16)
        matrices = self.accessor(columns, None)
        self.document.skins.append(
            gl.Skin(name=name, joints=list(joints), skeleton=joints[0], inverseBindMatrices=matrices)
        )
        return len(self.document.skins) - 1

    def animation(self, name: str, tracks: Sequence[tuple[int, str, int, int]]) -> None:
        """Add a clip of linear tracks: (node, path, accessor of seconds, accessor of values) each."""
        self.document.animations.append(
            gl.Animation(
                name=name,
                samplers=[gl.AnimationSampler(input=t, output=v, interpolation="LINEAR") for _, _, t, v in tracks],
                channels=[
                    gl.AnimationChannel(sampler=i, target=gl.AnimationChannelTarget(node=node, path=path))
                    for i, (node, path, _, _) in enumerate(tracks)
                ],
            )
        )

    def accessor(self, array: NDArray[Any], target: int | None, *, bounds: bool = False) -> int:
        """Add an array (n,) or (n, k). bounds: whether to state its minimum and maximum."""
        kinds = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
        codes = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
        flat = np.ascontiguousarray(array).reshape(len(array), -1)
        entry = gl.Accessor(
            bufferView=self._view(flat.tobytes(), target),
            componentType=codes[flat.dtype.name],
            count=len(flat),
            type=kinds[flat.shape[1]],
        )
        if bounds:
            entry.min = [float(x) for x in flat.min(axis=0)]
            entry.max = [float(x) for x in flat.max(axis=0)]
        self.document.accessors.append(entry)
        return len(self.document.accessors) - 1

    def encode(self) -> bytes:
        """The bytes of the GLB file."""
        self.document.buffers = [gl.Buffer(byteLength=len(self._chunk))]
        self.document.set_binary_blob(bytes(self._chunk))
        return b"".join(self.document.save_to_bytes())

    def _view(self, content: bytes, target: int | None) -> int:
        self._chunk.extend(b"\0" * (-len(self._chunk) % 4))
        self.document.bufferViews.append(
            gl.BufferView(buffer=0, byteOffset=len(self._chunk), byteLength=len(content), target=target)
        )
        self._chunk.extend(content)
        return len(self.document.bufferViews) - 1


def _unit(normals: Floats) -> NDArray[np.float32]:
    """Normals as float32 whose length the validator accepts as 1."""
    return np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True), dtype=np.float32)
