"""Every way in which glTF can store a surface gives the same surface."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from streamxr.pipeline.bundle.validate import decode_stream
from streamxr.pipeline.mesh.surface import merge

SIDE = 9  # vertices along a side of the patch


def patch() -> tuple[np.ndarray, np.ndarray]:
    """A bumpy grid whose coordinates are multiples of 1/255, and its triangles."""
    x, z = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    y = (x * 5 + z * z * 3) % 17
    codes = np.stack([x * 30, y * 4, z * 30], axis=-1).reshape(-1, 3).astype("<u1")
    a = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).reshape(-1)
    triangles = np.concatenate([np.stack([a, a + SIDE, a + 1], 1), np.stack([a + 1, a + SIDE, a + SIDE + 1], 1)])
    return codes, triangles


CODES, TRIANGLES = patch()
POSITIONS = (CODES.astype(np.float32) / np.float32(255)).astype("<f4")


def drawn(maker: make.Maker, primitive: make.Json) -> make.Maker:
    maker.node(mesh=maker.mesh(primitive, name="patch"), name="patch")
    return maker


def plain() -> make.Maker:
    maker = make.Maker()
    return drawn(maker, maker.primitive(POSITIONS, TRIANGLES))


def indices_of(kind: str) -> Callable[[], make.Maker]:
    def model() -> make.Maker:
        maker = make.Maker()
        primitive = maker.primitive(POSITIONS, None)
        primitive["indices"] = maker.accessor(TRIANGLES.reshape(-1).astype(kind))
        return drawn(maker, primitive)

    return model


def without_indices() -> make.Maker:
    maker = make.Maker()
    return drawn(maker, maker.primitive(POSITIONS[TRIANGLES.reshape(-1)], None))


def strip() -> make.Maker:
    """One strip, row by row; repeated indices join each row to the next."""
    rows: list[int] = []
    for row in range(SIDE - 1):
        zigzag = [i for x in range(SIDE) for i in (row * SIDE + x, (row + 1) * SIDE + x)]
        rows += ([rows[-1], zigzag[0]] if rows else []) + zigzag
    maker = make.Maker()
    return drawn(maker, maker.primitive(POSITIONS, np.array(rows)) | {"mode": 5})


def fans() -> make.Maker:
    """One fan for each square."""
    maker = make.Maker()
    whole = maker.primitive(POSITIONS, None)
    squares = [(b, a, c, d) for (a, c, b), (_, _, d) in zip(*np.split(TRIANGLES, 2), strict=True)]
    primitives = [whole | {"mode": 6, "indices": maker.accessor(np.array(q, "<u4"))} for q in squares]
    maker.node(mesh=maker.mesh(*primitives))
    return maker


def normalised_bytes() -> make.Maker:
    maker = make.Maker()
    primitive = maker.primitive(POSITIONS, TRIANGLES)
    padded = np.zeros((len(CODES), 4), "<u1")
    padded[:, :3] = CODES
    accessor = maker.json["accessors"][primitive["attributes"]["POSITION"]]
    accessor |= {"bufferView": maker.view(padded.tobytes()), "componentType": 5121, "normalized": True}
    accessor |= {"min": CODES.min(axis=0).tolist(), "max": CODES.max(axis=0).tolist()}
    maker.json["bufferViews"][-1]["byteStride"] = 4
    maker.json["extensionsUsed"] = maker.json["extensionsRequired"] = ["KHR_mesh_quantization"]
    return drawn(maker, primitive)


def interleaved() -> make.Maker:
    maker = make.Maker()
    primitive = maker.primitive(POSITIONS, TRIANGLES)
    both = np.concatenate([np.full((len(POSITIONS), 3), 7, "<f4"), POSITIONS], axis=1)
    accessor = maker.json["accessors"][primitive["attributes"]["POSITION"]]
    accessor |= {"bufferView": maker.view(both.tobytes()), "byteOffset": 12}
    maker.json["bufferViews"][-1]["byteStride"] = 24
    return drawn(maker, primitive)


def sparse(*, with_view: bool) -> Callable[[], make.Maker]:
    def model() -> make.Maker:
        maker = make.Maker()
        primitive = maker.primitive(POSITIONS, TRIANGLES, _FILLER=np.zeros((len(POSITIONS), 4), "<f4"))
        moved = np.arange(0, len(POSITIONS), 1 if not with_view else 3)
        accessor = maker.json["accessors"][primitive["attributes"]["POSITION"]]
        if with_view:
            wrong = POSITIONS.copy()
            wrong[moved] = 99
            accessor["bufferView"] = maker.view(wrong.tobytes())
        else:
            del accessor["bufferView"]
        accessor["sparse"] = {
            "count": len(moved),
            "indices": {"bufferView": maker.view(moved.astype("<u2").tobytes()), "componentType": 5123},
            "values": {"bufferView": maker.view(POSITIONS[moved].tobytes())},
        }
        return drawn(maker, primitive)

    return model


def triangles_of(built: Built) -> set[tuple[Any, ...]]:
    """The triangles of the base as corner positions, starting with the smallest vertex number."""
    document, chunk = built.base
    parts = []
    for node in document["nodes"]:
        for primitive in document["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            view = document["bufferViews"][primitive["extensions"]["KHR_draco_mesh_compression"]["bufferView"]]
            parts.append(decode_stream(chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], 0))
    surface = merge(parts)
    first = surface.triangles.argmin(axis=1)
    turned = np.stack([surface.triangles[np.arange(len(first)), (first + k) % 3] for k in range(3)], axis=1)
    return {tuple(map(tuple, corners)) for corners in surface.positions[turned].tolist()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("plain")
    found = triangles_of(build_file(make.save(plain(), folder, "model"), folder / "build"))
    assert len(found) == len(TRIANGLES)
    return found


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(indices_of("<u1"), id="byte indices"),
        pytest.param(indices_of("<u2"), id="short indices"),
        pytest.param(without_indices, id="no indices"),
        pytest.param(strip, id="strip"),
        pytest.param(fans, id="fans"),
        pytest.param(normalised_bytes, id="normalised bytes"),
        pytest.param(interleaved, id="interleaved"),
        pytest.param(sparse(with_view=True), id="sparse"),
        pytest.param(sparse(with_view=False), id="sparse without a view"),
    ],
)
def test_every_way_to_store_a_surface_gives_the_same_triangles(
    build: Callable[..., Built], model: Callable[[], make.Maker], expected: set[tuple[Any, ...]]
) -> None:
    assert triangles_of(build(model())) == expected


@pytest.mark.parametrize("where", ["data uri", "file", "file with a byte order mark"])
def test_a_buffer_may_be_a_data_uri_or_a_file(tmp_path: Path, where: str, expected: set[tuple[Any, ...]]) -> None:
    document, chunk = make.unpack(plain().glb())
    (tmp_path / "my data.bin").write_bytes(chunk)
    uri = "data:application/octet-stream;base64," + base64.b64encode(chunk).decode()
    document["buffers"] = [{"byteLength": len(chunk), "uri": uri if where == "data uri" else "my%20data.bin"}]
    path = tmp_path / "model.gltf"
    path.write_text(json.dumps(document), encoding="utf-8-sig" if "mark" in where else "utf-8")
    assert triangles_of(build_file(path, tmp_path / "build")) == expected


def test_the_transforms_of_parent_nodes_apply(build: Callable[..., Built], expected: set[tuple[Any, ...]]) -> None:
    """A half turn around y and a mirror in z, and a matrix of the child node that reverses both."""
    maker = plain()
    undo = np.diag([-1.0, 1, 1, 1])
    maker.json["nodes"][0]["matrix"] = undo.T.reshape(-1).tolist()
    maker.json["scenes"][0]["nodes"] = []
    maker.node(rotation=[0, 1, 0, 0], scale=[1, 1, -1], children=[0])
    assert triangles_of(build(maker)) == expected


def test_a_few_small_copies_are_flattened_into_one_tree(build: Callable[..., Built]) -> None:
    maker = plain()
    maker.node(mesh=0, translation=[2, 0, 0])
    maker.node(mesh=0, translation=[4, 0, 0], scale=[-1, 1, 1])
    built = build(maker)
    (tree,) = built.manifest["trees"]
    assert tree["kind"] == "static"
    assert tree["regions"][0]["triangles"] == 3 * len(TRIANGLES)
    assert len(triangles_of(built)) == 3 * len(TRIANGLES)


def test_even_a_small_material_has_a_primitive_in_the_base(build: Callable[..., Built]) -> None:
    """Kind k of a tree is primitive k of the base's mesh, so that the coarsest tier must contain every kind."""
    maker = make.Maker()
    positions, _, _, triangles = make.bumpy_sphere(60, 80)
    patches = np.array_split(triangles, [9000, 9010, 9011, 9020])
    for number in range(len(patches)):
        maker.material(name=f"m{number}")
    maker.node(mesh=maker.mesh(*(maker.primitive(positions, t, m) for m, t in enumerate(patches))))
    built = build(maker)
    document, _ = built.base
    (tree,) = built.manifest["trees"]
    assert len(tree["regions"]) > 1
    assert tree["regions"][0]["primitives"] == list(range(len(patches)))
    mesh = document["meshes"][document["nodes"][tree["nodes"][0]]["mesh"]]
    assert [p["material"] for p in mesh["primitives"]] == [k["material"] for k in tree["primitives"]]


def test_bounds_include_the_lines_of_a_moving_node(build: Callable[..., Built]) -> None:
    maker = plain()
    line = maker.primitive(np.array([[0, 0, 0], [0, 5, 0]], "<f4"), None) | {"mode": 1}
    maker.json["meshes"][0]["primitives"].append(line)
    times = maker.accessor(np.array([0, 1], "<f4"))
    path = maker.accessor(np.zeros((2, 3), "<f4"))
    channel = {"sampler": 0, "target": {"node": 0, "path": "translation"}}
    maker.json["animations"] = [{"samplers": [{"input": times, "output": path}], "channels": [channel]}]
    built = build(maker)
    assert [t["kind"] for t in built.manifest["trees"]] == ["rigid"]
    assert built.manifest["bounds"]["max"][1] == 5


def test_the_errors_of_a_morphed_mesh_grow_with_its_node(build: Callable[..., Built]) -> None:
    maker = make.morphing_quad()
    maker.json["nodes"][0]["scale"] = [3, 3, 3]
    (tree,) = build(maker).manifest["trees"]
    assert (tree["kind"], tree["space"]) == ("morphed", "mesh")
    assert tree["scale"] == pytest.approx(3, rel=1e-5)


def test_a_node_of_another_scene_keeps_its_place(build: Callable[..., Built]) -> None:
    """Animations and the manifest refer to nodes by number. A mesh that is not drawn is left out, with its skin."""
    maker = make.skinned_strip()
    other = maker.mesh(*maker.json["meshes"][0]["primitives"])
    maker.json["scenes"].append({"nodes": [maker.node(root=False, mesh=other, skin=0, name="elsewhere")]})
    document, _ = build(maker).base
    assert [n["name"] for n in document["nodes"]] == ["tip", "hip", "ribbon", "elsewhere"]
    assert document["scenes"][1] == {"nodes": [3]}
    assert document["nodes"][3] == {"name": "elsewhere"}
