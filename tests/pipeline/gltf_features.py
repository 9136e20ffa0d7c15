"""One small document that uses many features, so that mutations can break all of them."""

from __future__ import annotations

import gltf_maker as make
import numpy as np


def bit_of_everything() -> make.Maker:
    maker = make.skinned_strip(4)
    skinned = maker.json["meshes"][0]["primitives"][0]
    count = maker.json["accessors"][skinned["attributes"]["POSITION"]]["count"]
    lift = np.zeros((count, 3), "<f4")
    lift[:, 2] = 0.1
    target = maker.accessor(lift, min=[0, 0, 0.1], max=[0, 0, 0.1])
    skinned["targets"] = [{"POSITION": target}]
    maker.json["meshes"][0]["weights"] = [0.5]

    picture = maker.picture(make.noise(16, channels=4), "picture")
    maker.json["samplers"] = [{"wrapS": 33071}]
    maker.json["textures"][picture]["sampler"] = 0
    maker.material(
        name="all",
        pbrMetallicRoughness={
            "baseColorTexture": {"index": picture, "extensions": {"KHR_texture_transform": {"offset": [0.1, 0]}}}
        },
        normalTexture={"index": picture, "scale": 0.5},
        extensions={"KHR_materials_clearcoat": {"clearcoatTexture": {"index": picture}}},
        alphaMode="BLEND",
    )
    positions, normals, uv, triangles = make.bumpy_sphere(5, 7)
    colors = np.full((len(positions), 4), 200, "<u1")
    ball = maker.primitive(positions, triangles, 0, NORMAL=normals, TEXCOORD_0=uv, COLOR_0=colors)
    maker.json["accessors"][ball["attributes"]["COLOR_0"]]["normalized"] = True
    moved = np.array([0, 3], "<u1")
    maker.json["accessors"][ball["attributes"]["POSITION"]]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": maker.view(moved.tobytes()), "componentType": 5121},
        "values": {"bufferView": maker.view(positions[moved].tobytes())},
    }
    dust = maker.primitive(positions[:6], None) | {"mode": 0}
    line = maker.primitive(positions[:6], np.array([0, 1, 2])) | {"mode": 3}
    mesh = maker.mesh(ball, dust, line, name="ball", extras={"kept": True})
    maker.node(mesh=mesh, name="still", matrix=np.diag([2.0, 2, -2, 1]).reshape(-1).tolist())
    spinning = maker.node(mesh=mesh, name="spinning", rotation=[0, 0, 0, 1])
    maker.json["animations"][0]["channels"].append({"sampler": 0, "target": {"node": spinning, "path": "rotation"}})
    maker.json["cameras"] = [{"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}}]
    maker.node(name="eye", camera=0)
    maker.json["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point"}]}}
    maker.node(name="lamp", extensions={"KHR_lights_punctual": {"light": 0}})
    maker.json["extensionsUsed"] = ["KHR_lights_punctual", "KHR_texture_transform", "KHR_materials_clearcoat"]
    return maker
