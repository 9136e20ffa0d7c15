"""The bicycle: hundreds of parts that hold together, a laced wheel, a closed chain, a palette, cards and glass."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pygltflib
import pytest
from numpy.typing import NDArray
from PIL import Image
from sample_files import areas, document, triangle_count, values, world_matrices
from samples import bicycle, drivetrain, palette, wheels
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TOUCH_M = 0.005  # parts of which samples are in one cell of this size are taken to touch
SAMPLE_M2 = 8e-6  # area of a part for each sample


@pytest.fixture(scope="module")
def gltf() -> Any:
    return document("bicycle")


def parts(gltf: Any) -> list[tuple[str, NDArray[np.float64]]]:
    """Name and triangles (n, 3, 3), in the scene, of each node with a mesh."""
    world, found = world_matrices(gltf), []
    for index, node in enumerate(gltf.nodes):
        if node.mesh is not None:
            (primitive,) = gltf.meshes[node.mesh].primitives
            points = values(gltf, primitive.attributes.POSITION) @ world[index][:3, :3].T + world[index][:3, 3]
            found.append((node.name, points[values(gltf, primitive.indices).reshape(-1, 3).astype(int)]))
    return found


def loose_parts(named: list[tuple[str, NDArray[np.float64]]]) -> list[str]:
    """Names of the parts that do not hang together with the largest group of parts that touch each other."""
    rng = np.random.default_rng(0)
    samples, owners = [], []
    for number, (_, corner) in enumerate(named):
        area = areas(corner.reshape(-1, 3), np.arange(corner.shape[0] * 3).reshape(-1, 3))
        count = max(200, int(area.sum() / SAMPLE_M2))
        chosen = rng.choice(len(area), count, p=area / area.sum())
        weights = rng.dirichlet([1, 1, 1], count)
        samples.append((corner[chosen] * weights[..., None]).sum(axis=1))
        owners.append(np.full(count, number))
    points, owner = np.concatenate(samples), np.concatenate(owners)
    rows, columns, size = [], [], len(named)
    for shift in np.ndindex(2, 2, 2):  # samples on two sides of a cell's face are in one cell of a shifted grid
        cell = np.floor(points / TOUCH_M + np.array(shift) / 2).astype(np.int64) @ [1, 1 << 20, 1 << 40]
        _, place = np.unique(cell, return_inverse=True)
        rows.append(owner)
        columns.append(place + size)
        size += place.max() + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    _, group = connected_components(coo_array((np.ones(len(row)), (row, column)), (size, size)), directed=False)
    group = group[: len(named)]
    main = np.bincount(group).argmax()
    return [name for (name, _), own in zip(named, group, strict=True) if own != main]


def test_no_part_floats(gltf: Any) -> None:
    assert loose_parts(parts(gltf)) == []


def test_a_part_moved_by_a_decimetre_is_found_loose(gltf: Any) -> None:
    up = np.array([0, 0.1, 0])
    lifted = [(name, corner + up if name == "Tail lamp glass" else corner) for name, corner in parts(gltf)]
    assert loose_parts(lifted) == ["Tail lamp glass"]


def test_the_complete_bicycle_has_the_size_of_an_artists_model() -> None:
    content = bicycle.build("test")
    whole = pygltflib.GLTF2.load_from_bytes(content)
    assert len(content) < 12e6
    assert 150_000 < triangle_count(whole) < 250_000
    used = [node.mesh for node in whole.nodes if node.mesh is not None]
    assert len(used) > 400
    assert len(set(used)) < len(used) / 2, "most parts are copies"


def test_a_few_parts_have_extras(gltf: Any) -> None:
    assert {node.name for node in gltf.nodes if node.extras} == {"Saddle", "Headlamp", "Bell", "Basket rim"}


def test_cards_are_cut_out_and_glass_blends(gltf: Any) -> None:
    modes = {material.name: material.alphaMode for material in gltf.materials}
    assert modes["foliage"] == "MASK"
    assert modes["glass"] == modes["ruby glass"] == "BLEND"
    (image,) = [image for image in gltf.images if image.name == "foliage_base"]
    view = gltf.bufferViews[image.bufferView]
    encoded = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    alpha = np.asarray(Image.open(io.BytesIO(encoded)).getchannel("A"))
    assert 0.2 < (alpha > 127).mean() < 0.8


def test_parts_with_the_palette_point_into_the_middle_of_texels(gltf: Any) -> None:
    middles = (np.arange(palette.TEXELS) + 0.5) / palette.TEXELS
    names = [material.name for material in gltf.materials]
    shared = {names.index(name) for name in ("palette", "enamel", "enamel sheet", "cloth")}
    pictures = {gltf.materials[index].pbrMetallicRoughness.baseColorTexture.index for index in shared}
    assert len(pictures) == 1
    assert gltf.samplers[gltf.textures[pictures.pop()].sampler].magFilter == pygltflib.NEAREST
    texels = set()
    for mesh in gltf.meshes:
        (primitive,) = mesh.primitives
        if primitive.material in shared:
            uvs = values(gltf, primitive.attributes.TEXCOORD_0)
            assert np.isin(uvs, middles.astype(np.float32)).all(), mesh.name
            texels |= {tuple(uv) for uv in np.unique(uvs, axis=0)}
    assert len(texels) > 30


def test_each_wheel_has_36_spokes_to_36_places_on_its_rim(gltf: Any) -> None:
    world = world_matrices(gltf)
    name = {node.name: index for index, node in enumerate(gltf.nodes)}
    for wheel in ("Front", "Rear"):
        axle = np.linalg.inv(world[name[f"{wheel} wheel"]])
        angles = []
        for kind in ("trailing", "leading"):
            for number in range(1, 19):
                index = name[f"{wheel} {kind} spoke {number}"]
                (primitive,) = gltf.meshes[gltf.nodes[index].mesh].primitives
                placed = axle @ world[index]
                points = values(gltf, primitive.attributes.POSITION) @ placed[:3, :3].T + placed[:3, 3]
                far = points[np.linalg.norm(points[:, :2], axis=1).argmax()]
                assert np.linalg.norm(far[:2]) == pytest.approx(wheels.RIM_HOLE_M, abs=0.002)
                angles.append(np.degrees(np.arctan2(far[1], far[0])) % 360)
        gaps = np.diff(np.sort(angles))
        assert gaps == pytest.approx(10, abs=2), wheel


def test_the_chain_is_closed_and_its_links_are_one_pitch_apart(gltf: Any) -> None:
    world = world_matrices(gltf)
    links = {node.name: world[index] for index, node in enumerate(gltf.nodes) if " link " in node.name}
    count = len(links) // 2
    pins = []
    for number in range(1, count + 1):
        for kind in ("Outer", "Inner"):
            link = links[f"{kind} link {number}"]
            pins.append([(link @ [end * drivetrain.PITCH_M / 2, 0, 0, 1])[:3] for end in (-1, 1)])
    start, end = np.array(pins).transpose(1, 0, 2)
    assert len(pins) > 90
    assert np.linalg.norm(end - np.roll(start, -1, axis=0), axis=1).max() < 0.0003


def test_both_tyres_and_the_kickstand_touch_the_ground(gltf: Any) -> None:
    on_ground = {name for name, corner in parts(gltf) if corner[..., 1].min() < 2e-5}
    assert on_ground == {"Front tyre", "Rear tyre", "Kickstand"}


def test_mudguards_and_cloth_are_thin_sheets_with_open_edges(gltf: Any) -> None:
    for name, corner in parts(gltf):
        if name in ("Front mudguard", "Rear mudguard", "Basket cloth", "Chain guard"):
            _, place = np.unique(np.round(corner.reshape(-1, 3), 5), axis=0, return_inverse=True)
            triangle = place.reshape(-1, 3)
            edges = np.sort(np.concatenate([triangle, np.roll(triangle, -1, axis=1)]).reshape(2, -1).T, axis=1)
            _, uses = np.unique(edges, axis=0, return_counts=True)
            assert (uses == 1).sum() > 20, name
