"""Coarser tiers look like their source: hard edges stay hard, textures and colours stay in place."""

from __future__ import annotations

from collections.abc import Callable

import DracoPy
import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from scipy.spatial import cKDTree
from streamxr.pipeline.mesh.simplify import simplify
from streamxr.pipeline.mesh.surface import Surface, without_degenerates
from streamxr.pipeline.mesh.topology import unique_rows
from streamxr.pipeline.settings import Settings

SIDE = 40  # squares along an edge of the box
SMALL = Settings(leaf_triangles=2000, base_triangles=500)


def box() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dense cube with sharp edges and slight ripples for simplification to remove: positions, normals of the flat
    faces, triangles. Every face has its own vertices."""
    u, v = np.meshgrid(np.linspace(-1, 1, SIDE + 1), np.linspace(-1, 1, SIDE + 1), indexing="ij")
    ripple = 0.004 * np.sin(9 * np.pi * u) * np.sin(7 * np.pi * v) * (1 - u * u) * (1 - v * v)
    a = (np.arange(SIDE)[:, None] * (SIDE + 1) + np.arange(SIDE)).reshape(-1)
    b, c, d = a + SIDE + 1, a + SIDE + 2, a + 1
    face = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    positions, normals, triangles = [], [], []
    for axis in range(3):
        for sign in (1.0, -1.0):
            columns = [u * sign, v, (1 + ripple) * sign]
            turned = np.stack([columns[(k - axis) % 3] for k in (0, 1, 2)], axis=-1).reshape(-1, 3)
            outward = np.zeros(3)
            outward[(axis + 2) % 3] = sign
            triangles.append(face + len(positions) * (SIDE + 1) ** 2)
            positions.append(turned)
            normals.append(np.tile(outward, (len(turned), 1)))
    return np.concatenate(positions), np.concatenate(normals), np.concatenate(triangles)


def decoded(built: Built) -> list[tuple[int, DracoPy.DracoMesh]]:
    """Every Draco stream below the base, with its tier."""
    found = []
    for region in built.manifest["trees"][0]["regions"]:
        if region["refinement"] is None:
            continue
        document, chunk = make.unpack((built.root / region["refinement"]["uri"]).read_bytes())
        for mesh in document["meshes"]:
            for primitive in mesh["primitives"]:
                view = document["bufferViews"][primitive["extensions"]["KHR_draco_mesh_compression"]["bufferView"]]
                stream = chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
                found.append((region["tier"] + 1, DracoPy.decode(stream)))
    return found


def corners_of(mesh: DracoPy.DracoMesh, values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[np.asarray(mesh.faces).reshape(-1, 3)]


def test_the_edges_of_a_box_stay_hard_and_its_faces_flat_in_every_tier(build: Callable[..., Built]) -> None:
    positions, normals, triangles = box()
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(positions, triangles, NORMAL=normals.astype("<f4"))))
    built = build(maker, settings=SMALL)
    tiers = set()
    for tier, mesh in decoded(built):
        points, shading = corners_of(mesh, mesh.points), corners_of(mesh, mesh.normals)
        face = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        axis = np.abs(face).argmax(axis=1)
        outward = np.zeros_like(face)
        outward[np.arange(len(face)), axis] = np.sign(face[np.arange(len(face)), axis])
        on_face = (np.abs(points).max(axis=2) > 0.99).all(axis=1)
        cosine = np.einsum("ijk,ik->ij", shading, outward)[on_face]
        area = np.linalg.norm(face, axis=1)[on_face]
        within = (cosine > np.cos(np.radians(5))).all(axis=1)
        # A vertex that slid across an edge shades a sliver; more than a hundredth of the area would be visible.
        assert area[~within].sum() < 0.01 * area.sum()
        tiers.add(tier)
    assert len(tiers) >= 2


def bumpy_field() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A height field whose UV is a known function of position."""
    side = 90
    x, z = np.meshgrid(np.linspace(0, 1, side + 1), np.linspace(0, 1, side + 1))
    y = 0.05 * np.sin(13 * x) * np.cos(11 * z)
    positions = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    a = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).reshape(-1)
    b, c, d = a + side + 1, a + side + 2, a + 1
    return positions, uv_at(positions), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def uv_at(positions: np.ndarray) -> np.ndarray:
    return np.stack([0.1 + 0.8 * positions[:, 0], 0.9 - 0.7 * positions[:, 2]], axis=1)


@pytest.fixture
def field(build: Callable[..., Built]) -> Built:
    positions, uv, triangles = bumpy_field()
    maker = make.Maker()
    picture = maker.picture(make.noise(64))
    material = maker.material(pbrMetallicRoughness={"baseColorTexture": {"index": picture}})
    color = np.round(255 * np.stack([positions[:, 0], 1 - positions[:, 0], positions[:, 2]], 1)).astype("<u1")
    padded = np.concatenate([color, np.full((len(color), 1), 255, "<u1")], axis=1)
    primitive = maker.primitive(
        positions,
        triangles,
        material,
        TEXCOORD_0=uv.astype("<f4"),
        TEXCOORD_1=uv[:, ::-1].astype("<f4"),
        COLOR_0=padded,
    )
    maker.json["accessors"][primitive["attributes"]["COLOR_0"]]["normalized"] = True
    maker.node(mesh=maker.mesh(primitive))
    return build(maker, settings=SMALL)


def test_textures_stay_in_place_in_every_tier(field: Built) -> None:
    for tier, mesh in decoded(field):
        off = np.abs(np.asarray(mesh.tex_coord) - uv_at(np.asarray(mesh.points)))
        assert off.max() < 0.02, tier
        assert off.mean() < 0.002, tier


def test_colours_and_further_uv_sets_are_those_of_the_nearest_source(field: Built) -> None:
    source, _, _ = bumpy_field()
    for _, mesh in decoded(field):
        points = np.asarray(mesh.points)
        nearest = source[cKDTree(source).query(points)[1]]
        colors = np.asarray(mesh.colors) / 255
        assert np.abs(colors[:, 0] - nearest[:, 0]).max() < 0.03
        assert np.abs(colors[:, 2] - nearest[:, 2]).max() < 0.03
        second = next(a for a in mesh.attributes if a["attribute_type"] == 4)
        values = np.asarray(mesh.get_attribute_by_unique_id(second["unique_id"])["data"]).reshape(len(points), -1)
        assert np.abs(values / 65535 - uv_at(nearest)[:, ::-1]).max() < 0.03


def test_the_manifest_states_the_length_of_a_texel(field: Built) -> None:
    """UV covers 0.8 by 0.7 of the picture over a square of one metre, a little more for its bumps."""
    root = field.manifest["trees"][0]["regions"][0]
    assert root["metresPerUv"] == pytest.approx((1 / (0.8 * 0.7)) ** 0.5, rel=0.12)


def test_extreme_texture_coordinates_move_no_vertex_out_of_the_model() -> None:
    positions, _, uv, triangles = make.bumpy_sphere(20, 30)
    random = np.random.default_rng(0)
    wild = 10.0 ** random.uniform(-33, 33, uv.shape) * random.choice([-1, 1], uv.shape)
    welded, index = unique_rows(positions.astype(np.float64))
    kinds = np.zeros(len(triangles), np.int64)
    surface = without_degenerates(Surface(welded, index[triangles], kinds, wild[triangles]))
    for target in (600, 300, 80):
        simple = simplify(surface, target)
        assert len(simple.triangles) <= target
        assert np.abs(simple.positions).max() < 5
