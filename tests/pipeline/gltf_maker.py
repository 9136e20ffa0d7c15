"""Small glTF files made from arrays, sound ones and, after changes to their JSON, broken ones."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Json = dict[str, Any]
Array = npt.NDArray[Any]
COMPONENT = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125, "i1": 5120, "i2": 5122}
KIND = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Maker:
    """Collects the accessors of one document, `json`. Methods that add something return its index."""

    def __init__(self) -> None:
        self.json: Json = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": []}], "nodes": []}
        self.chunk = bytearray()

    def view(self, content: bytes) -> int:
        self.chunk += b"\0" * (-len(self.chunk) % 4)
        views = self.json.setdefault("bufferViews", [])
        views.append({"buffer": 0, "byteOffset": len(self.chunk), "byteLength": len(content)})
        self.chunk += content
        return len(views) - 1

    def accessor(self, values: Array, **extra: Any) -> int:
        values = values.reshape(len(values), -1)
        accessors = self.json.setdefault("accessors", [])
        accessor = {
            "bufferView": self.view(values.tobytes()),
            "componentType": COMPONENT[values.dtype.str[1:]],
            "count": len(values),
            "type": KIND[values.shape[1]],
        }
        accessors.append(accessor | extra)
        return len(accessors) - 1

    def primitive(self, positions: Array, triangles: Array | None, material: int | None = None, **more: Array) -> Json:
        attributes = {
            "POSITION": self.accessor(
                positions.astype("<f4"), min=positions.min(axis=0).tolist(), max=positions.max(axis=0).tolist()
            )
        }
        attributes |= {name: self.accessor(values) for name, values in more.items()}
        result: Json = {"attributes": attributes}
        if triangles is not None:
            result["indices"] = self.accessor(triangles.reshape(-1).astype("<u4"))
        if material is not None:
            result["material"] = material
        return result

    def mesh(self, *primitives: Json, **extra: Any) -> int:
        meshes = self.json.setdefault("meshes", [])
        meshes.append({"primitives": list(primitives), **extra})
        return len(meshes) - 1

    def node(self, root: bool = True, **properties: Any) -> int:
        self.json["nodes"].append(properties)
        index = len(self.json["nodes"]) - 1
        if root:
            self.json["scenes"][0]["nodes"].append(index)
        return index

    def picture(self, pixels: Array, name: str = "picture") -> int:
        """Add an image and a texture; returns the texture's index."""
        images = self.json.setdefault("images", [])
        images.append({"name": name, "mimeType": "image/png", "bufferView": self.view(png(pixels))})
        textures = self.json.setdefault("textures", [])
        textures.append({"source": len(images) - 1})
        return len(textures) - 1

    def material(self, **properties: Any) -> int:
        materials = self.json.setdefault("materials", [])
        materials.append(properties)
        return len(materials) - 1

    def glb(self) -> bytes:
        document = dict(self.json)
        if self.chunk:
            document["buffers"] = [{"byteLength": len(self.chunk)}]
        return pack(document, bytes(self.chunk))


def pack(document: Json, chunk: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    if chunk:
        chunk += b"\0" * (-len(chunk) % 4)
        body += struct.pack("<II", len(chunk), 0x004E4942) + chunk
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def unpack(content: bytes) -> tuple[Json, bytes]:
    size = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + size]), content[20 + size + 8 :]


def png(pixels: Array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def noise(size: int, seed: int = 0, channels: int = 3) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (size, size, channels)).astype(np.uint8)


def bumpy_sphere(rings: int, sectors: int, bump: float = 0.05) -> tuple[Array, Array, Array, Array]:
    """Positions, outward normals of the smooth sphere, UV with a seam, and triangles."""
    v, u = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, sectors + 1), indexing="ij")
    direction = np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], axis=-1)
    # Both sides of the seam, and all vertices of a pole, have the same bits.
    direction[:, -1] = direction[:, 0]
    direction[0], direction[-1] = [0, 1, 0], [0, -1, 0]
    radius = 1 + bump * np.sin(7 * direction[..., 0]) * np.sin(9 * direction[..., 1]) * np.sin(5 * direction[..., 2])
    uv = np.stack([u / (2 * np.pi), v / np.pi], axis=-1)
    i, j = np.meshgrid(np.arange(rings), np.arange(sectors), indexing="ij")
    a = i * (sectors + 1) + j
    b, c, d = a + sectors + 1, a + sectors + 2, a + 1
    triangles = np.concatenate(
        [np.stack([a, b, c], -1)[:-1].reshape(-1, 3), np.stack([a, c, d], -1)[1:].reshape(-1, 3)]
    )
    flat = direction.reshape(-1, 3)
    positions = (flat * radius.reshape(-1, 1)).astype("<f4")
    return positions, flat.astype("<f4"), uv.reshape(-1, 2).astype("<f4"), triangles


def textured_sphere(
    rings: int, sectors: int, *, two_materials: bool = True, picture: int = 256, seed: int = 0
) -> Maker:
    """A bumpy sphere with a colour picture, and perhaps a second material on its lower half."""
    maker = Maker()
    positions, normals, uv, triangles = bumpy_sphere(rings, sectors)
    color = maker.picture(noise(picture, seed), "color")
    maker.material(name="skin", pbrMetallicRoughness={"baseColorTexture": {"index": color}})
    maker.material(name="metal", pbrMetallicRoughness={"metallicFactor": 1})
    lower = positions[triangles][:, :, 1].mean(axis=1) < 0 if two_materials else np.zeros(len(triangles), bool)
    parts = [(0, triangles[~lower])] + ([(1, triangles[lower])] if two_materials else [])
    primitives = [maker.primitive(positions, t, m, NORMAL=normals, TEXCOORD_0=uv) for m, t in parts]
    maker.node(mesh=maker.mesh(*primitives, name="sphere"), name="ball", extras={"kept": [1]})
    return maker


def skinned_strip(segments: int = 12) -> Maker:
    """A ribbon with two bones, and an animation that bends it."""
    maker = Maker()
    y = np.repeat(np.linspace(0, 2, segments + 1), 2)
    x = np.tile([-0.1, 0.1], segments + 1)
    positions = np.stack([x, y, np.zeros_like(x)], axis=1).astype("<f4")
    k = np.arange(segments) * 2
    triangles = np.concatenate([np.stack([k, k + 1, k + 3], 1), np.stack([k, k + 3, k + 2], 1)])
    upper = np.clip(y - 0.5, 0, 1)
    weights = np.stack([1 - upper, upper, 0 * y, 0 * y], axis=1).astype("<f4")
    joints = np.tile(np.array([0, 1, 0, 0], "<u1"), (len(y), 1))
    primitive = maker.primitive(positions, triangles, JOINTS_0=joints, WEIGHTS_0=weights)
    mesh = maker.mesh(primitive)
    tip = maker.node(root=False, name="tip", translation=[0, 1, 0])
    hip = maker.node(name="hip", children=[tip])
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[1, 3, 1] = -1
    maker.json["skins"] = [
        {"joints": [hip, tip], "inverseBindMatrices": maker.accessor(inverse.reshape(2, 16).astype("<f4"))}
    ]
    maker.node(mesh=mesh, skin=0, name="ribbon")
    times = maker.accessor(np.array([0, 1, 2], "<f4"), min=[0], max=[2])
    turns = maker.accessor(np.array([[0, 0, 0, 1], [0, 0, 0.3826834, 0.9238795], [0, 0, 0, 1]], "<f4"))
    maker.json["animations"] = [
        {
            "name": "bend",
            "samplers": [{"input": times, "output": turns}],
            "channels": [{"sampler": 0, "target": {"node": tip, "path": "rotation"}}],
        }
    ]
    return maker


def morphing_quad() -> Maker:
    """Three triangles with two morph targets."""
    maker = Maker()
    positions = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0.5]], "<f4")
    triangles = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]])
    primitive = maker.primitive(positions, triangles)
    deltas = [np.arange(15).reshape(5, 3).astype("<f4") / 7, np.eye(5, 3).astype("<f4")]
    primitive["targets"] = [
        {"POSITION": maker.accessor(d, min=d.min(axis=0).tolist(), max=d.max(axis=0).tolist())} for d in deltas
    ]
    mesh = maker.mesh(primitive, weights=[0.25, 0], extras={"targetNames": ["lift", "lean"]})
    maker.node(mesh=mesh, name="face")
    return maker


def bending_arm(rings: int = 60, sectors: int = 30) -> Maker:
    """A bumpy limb with two materials and three bones, and two animations that bend, twist and move it."""
    maker = Maker()
    direction, normals, uv, triangles = bumpy_sphere(rings, sectors)
    positions = (direction * np.array([0.2, 1.5, 0.2])).astype("<f4")
    along = np.clip((positions[:, 1] + 1.5) / 3 * 2, 0, 2)
    weights = np.clip(1 - np.abs(along[:, None] - np.arange(3)), 0, 1)
    weights = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1).astype("<f4")
    joints = np.where(weights > 0, np.array([0, 1, 2, 0]), 0).astype("<u1")
    color = maker.picture(noise(64), "color")
    maker.material(name="skin", pbrMetallicRoughness={"baseColorTexture": {"index": color}})
    maker.material(name="glove")
    hand = positions[triangles][:, :, 1].mean(axis=1) > 0.8
    more = {"NORMAL": normals, "TEXCOORD_0": uv, "JOINTS_0": joints, "WEIGHTS_0": weights}
    primitives = [maker.primitive(positions, triangles[h], m, **more) for m, h in ((0, ~hand), (1, hand))]
    mesh = maker.mesh(*primitives, name="arm")
    wrist = maker.node(root=False, name="wrist", translation=[0, 1.5, 0])
    elbow = maker.node(root=False, name="elbow", translation=[0, 1.5, 0], children=[wrist])
    shoulder = maker.node(name="shoulder", translation=[0, -1.5, 0], children=[elbow])
    inverse = np.tile(np.eye(4), (3, 1, 1))
    inverse[:, 3, 1] = [1.5, 0, -1.5]
    maker.json["skins"] = [
        {
            "joints": [shoulder, elbow, wrist],
            "inverseBindMatrices": maker.accessor(inverse.reshape(3, 16).astype("<f4")),
        }
    ]
    maker.node(mesh=mesh, skin=0, name="limb", translation=[9, 9, 9])
    times = maker.accessor(np.array([0, 1, 2], "<f4"), min=[0], max=[2])
    bend = maker.accessor(np.array([[0, 0, 0, 1], [0, 0, 0.6, 0.8], [0, 0, -0.6, 0.8]], "<f4"))
    twist = maker.accessor(np.array([[0, 0, 0, 1], [0, 0.8, 0, 0.6], [0.6, 0, 0, 0.8]], "<f4"))
    walk = maker.accessor(np.array([[0, -1.5, 0], [3, -1.5, 0], [0, 1, 2]], "<f4"))
    for name, moves in (
        ("bend", [(elbow, bend, "rotation")]),
        ("go", [(wrist, twist, "rotation"), (shoulder, walk, "translation")]),
    ):
        maker.json.setdefault("animations", []).append(
            {
                "name": name,
                "samplers": [{"input": times, "output": output} for _, output, _ in moves],
                "channels": [{"sampler": i, "target": {"node": n, "path": p}} for i, (n, _, p) in enumerate(moves)],
            }
        )
    return maker


def dancing_arm(*keys: int, rings: int = 60, sectors: int = 30) -> Maker:
    """The bending arm, with one long animation for each number of keys."""
    maker = bending_arm(rings, sectors)
    rng = np.random.default_rng(5)
    joints = [next(i for i, n in enumerate(maker.json["nodes"]) if n.get("name") == j) for j in ("elbow", "wrist")]
    maker.json["animations"] = []
    for number, count in enumerate(keys or (3500, 3500)):
        times = (np.arange(count) / 30).astype("<f4")
        walk = np.cumsum(rng.normal(0, 0.08, (2, count, 4)), axis=1) + np.array([0, 0, 0, 4])
        turns = (walk / np.linalg.norm(walk, axis=2, keepdims=True)).astype("<f4")
        # Each channel has its own times, as exporters write them.
        samplers = [
            {
                "input": maker.accessor(times, min=[0.0], max=[float(times[-1])]),
                "output": maker.accessor(turn),
                "interpolation": "LINEAR",
            }
            for turn in turns
        ]
        channels = [{"sampler": i, "target": {"node": j, "path": "rotation"}} for i, j in enumerate(joints)]
        maker.json["animations"].append({"name": f"dance {number}", "samplers": samplers, "channels": channels})
    return maker


def morphing_ball(rings: int = 40, sectors: int = 40) -> Maker:
    """A bumpy ball with three named morph targets, one of them small, and an animation of their weights."""
    maker = Maker()
    positions, normals, uv, triangles = bumpy_sphere(rings, sectors)
    up = np.maximum(0, positions[:, 1:2] - 0.6)
    deltas = [positions * np.array([0.5, 0, 0]), up * np.array([0, 1.5, 0.4]), np.roll(positions, 1, axis=1) * 0.3]
    primitive = maker.primitive(positions, triangles, NORMAL=normals, TEXCOORD_0=uv)
    primitive["targets"] = [
        {"POSITION": maker.accessor(d.astype("<f4"), min=d.min(axis=0).tolist(), max=d.max(axis=0).tolist())}
        for d in deltas
    ]
    mesh = maker.mesh(primitive, weights=[0.25, 0, 0], extras={"targetNames": ["wide", "horn", "swirl"]})
    face = maker.node(mesh=mesh, name="face", scale=[2, 2, 2])
    times = maker.accessor(np.array([0, 1], "<f4"), min=[0], max=[1])
    moves = maker.accessor(np.array([0, 0, 0, 1, 1.5, 0.5], "<f4"))
    maker.json["animations"] = [
        {
            "name": "talk",
            "samplers": [{"input": times, "output": moves}],
            "channels": [{"sampler": 0, "target": {"node": face, "path": "weights"}}],
        }
    ]
    return maker


def save(maker: Maker, folder: Path, name: str) -> Path:
    path = folder / f"{name}.glb"
    path.write_bytes(maker.glb())
    return path
