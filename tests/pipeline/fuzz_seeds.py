"""Small models of every format, to mutate: each is a list of files, the model first."""

from __future__ import annotations

import base64
import json
import struct

import gltf_maker as make
import numpy as np
import threemf_maker
from gltf_features import bit_of_everything
from stl_maker import ascii_stl, binary_stl
from streamxr.pipeline.gltf.document import DRACO
from streamxr.pipeline.gltf.draco import choose_grid, encode_primitive
from streamxr.pipeline.settings import Settings

Files = list[tuple[str, bytes]]

OBJ = """mtllib box.mtl
o box
v 0 0 0
v 1 0 0 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 1
usemtl side
f 1/1/1 4/4/1 3/3/1 2/2/1
f 5/1 6/2 7/3 8/4
f 1 2 6 5
usemtl glass
o lid
f -5/1 -1/2 -2/3 -6/4
f 4//1 1//1 5//1
l 1 2
"""
MTL = """newmtl side
Kd 1 1 1
map_Kd -s 1 1 1 wall.png
newmtl glass
Kd 0.5 0.5 0.5
Ke 0 0 1
Tr 0.25
Ns 98
"""


def seeds() -> list[tuple[str, Files]]:
    """Models of every kind that the pipeline reads, of a few kilobytes each."""
    sphere = make.textured_sphere(8, 12, picture=16)
    document, chunk = make.unpack(sphere.glb())
    document["buffers"] = [{"byteLength": len(chunk), "uri": "data.bin"}]
    embedded = {**document, "buffers": [{"byteLength": len(chunk), "uri": _data_uri(chunk)}]}
    return [
        ("sphere", [("model.glb", sphere.glb())]),
        ("tree", [("model.glb", make.textured_sphere(24, 30, picture=16).glb())]),
        ("everything", [("model.glb", bit_of_everything().glb())]),
        ("skin", [("model.glb", make.skinned_strip().glb())]),
        ("morph", [("model.glb", make.morphing_quad().glb())]),
        ("draco", [("model.glb", compressed_sphere().glb())]),
        ("external", [("model.gltf", json.dumps(document).encode()), ("data.bin", chunk)]),
        ("embedded", [("model.gltf", json.dumps(embedded).encode())]),
        (
            "obj",
            [
                ("model.obj", OBJ.encode()),
                ("box.mtl", MTL.encode()),
                ("wall.png", make.png(make.noise(16))),
            ],
        ),
        ("ply", [("model.ply", ply())]),
        ("ascii ply", [("model.ply", ply(ascii_=True))]),
        ("stl", [("model.stl", binary_stl(ball_corners()))]),
        ("ascii stl", [("model.stl", ascii_stl(ball_corners()))]),
        ("off", [("model.off", off())]),
        ("3mf", [("model.3mf", threemf())]),
    ]


def compressed_sphere(rings: int = 6, sectors: int = 9) -> make.Maker:
    """A sphere whose only geometry is a Draco stream."""
    positions, normals, uv, triangles = make.bumpy_sphere(rings, sectors)
    grid = choose_grid(positions.min(axis=0), positions.max(axis=0), 0.01, 14)
    named = {"POSITION": positions.astype(float), "NORMAL": normals.astype(float), "TEXCOORD_0": uv.astype(float)}
    stream = encode_primitive(named, triangles.astype(np.int64), grid, Settings())
    maker = make.Maker()
    kinds = {"POSITION": "VEC3", "NORMAL": "VEC3", "TEXCOORD_0": "VEC2"}
    maker.json["accessors"] = [
        *({"componentType": 5126, "count": stream.vertices, "type": kinds[name]} for name in named),
        {"componentType": 5125, "count": triangles.size, "type": "SCALAR"},
    ]
    ids = {name: stream.attributes[name].unique_id for name in named}
    primitive = {
        "attributes": {name: index for index, name in enumerate(named)},
        "indices": len(named),
        "extensions": {DRACO: {"bufferView": maker.view(stream.stream), "attributes": ids}},
    }
    maker.node(mesh=maker.mesh(primitive))
    maker.json |= {"extensionsUsed": [DRACO], "extensionsRequired": [DRACO]}
    return maker


def ball_corners() -> make.Array:
    positions, _, _, triangles = make.bumpy_sphere(6, 8)
    return positions[triangles]


def ply(*, ascii_: bool = False) -> bytes:
    positions, _, _, triangles = make.bumpy_sphere(6, 8)
    lines = ["ply", f"format {'ascii' if ascii_ else 'binary_little_endian'} 1.0", f"element vertex {len(positions)}"]
    lines += [f"property float {axis}" for axis in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    lines += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header"]
    if ascii_:
        lines += [f"{x:.6g} {y:.6g} {z:.6g} 255 128 0" for x, y, z in positions.tolist()]
        lines += [f"3 {a} {b} {c}" for a, b, c in triangles.tolist()]
        return ("\n".join(lines) + "\n").encode()
    body = b"".join(struct.pack("<3f3B", *p, 255, 128, 0) for p in positions.tolist())
    body += b"".join(struct.pack("<B3i", 3, *t) for t in triangles.tolist())
    return ("\n".join(lines) + "\n").encode() + body


def off() -> bytes:
    """Triangles, a concave polygon, colours of vertices and of faces."""
    positions, _, _, triangles = make.bumpy_sphere(6, 8)
    lines = ["COFF # a ball", f"{len(positions)} {len(triangles) + 1} 0"]
    lines += [f"{x:.6g} {y:.6g} {z:.6g} 255 128 0 255" for x, y, z in positions.tolist()]
    lines += [f"3 {a} {b} {c} 0 0 255" for a, b, c in triangles.tolist()] + ["5 0 9 17 26 33"]
    return ("\n".join(lines) + "\n").encode()


def threemf() -> bytes:
    """Two parts, components, transforms, base materials and a colour group."""
    positions, _, _, triangles = make.bumpy_sphere(6, 8)
    ball = threemf_maker.mesh(
        positions.tolist(), triangles.tolist(), ['pid="7" p1="0" p2="1" p3="0"', 'pid="5" p1="0"']
    )
    resources = (
        '<basematerials id="5"><base name="wax" displaycolor="#FF0000"/><base name="glass" displaycolor="#0000FF80"/>'
        '</basematerials><m:colorgroup id="7"><m:color color="#00FF00"/><m:color color="#FFFF00"/></m:colorgroup>'
    )
    resources += threemf_maker.shape(1, ball, 'name="ball" pid="5" pindex="1"')
    components = (
        '<components><component objectid="1" transform="0 1 0 -1 0 0 0 0 1 5 0 0"/>'
        '<component p:path="/3D/Objects/other.model" objectid="1"/></components>'
    )
    resources += threemf_maker.shape(2, components)
    build = '<item objectid="2"/><item objectid="1" transform="2 0 0 0 2 0 0 0 2 0 9 0"/>'
    other = threemf_maker.model(threemf_maker.shape(1, threemf_maker.mesh()), "", 'unit="inch"')
    root = threemf_maker.model(resources, build, 'unit="inch" requiredextensions="p"')
    return threemf_maker.package({threemf_maker.ROOT: root, "3D/Objects/other.model": other})


def _data_uri(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()
