"""The sample models: valid files, closed meshes, sound skins and clips, and the script that makes them."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from click.testing import CliRunner
from PIL import Image
from sample_files import (
    DETAIL,
    MODULES,
    ROOT,
    areas,
    content,
    document,
    points_in_rest_pose,
    primitives,
    triangle_count,
    values,
)  # isort: skip

import make_samples  # isort: skip
from samples import koi, lantern, trefoil  # isort: skip
from samples.mesh import Mesh  # isort: skip

TRIANGLES = {"koi": (5_000, 30_000), "lantern": (5_000, 15_000)}

every_sample = pytest.mark.parametrize("name", list(MODULES))


def edges_not_shared_by_two(*meshes: Mesh) -> int:
    """The number of edges, by float32 positions, without exactly one triangle on each side."""
    points = np.concatenate([mesh.positions.astype(np.float32)[mesh.triangles].reshape(-1, 3) for mesh in meshes])
    _, corner = np.unique(points, axis=0, return_inverse=True)
    triangles = corner.reshape(-1, 3).astype(np.int64)
    start, end = np.concatenate([triangles, np.roll(triangles, -1, axis=1)], axis=0).reshape(2, -1)
    directed, count = np.unique(start << 32 | end, return_counts=True)
    reverse = (directed & 0xFFFFFFFF) << 32 | directed >> 32
    return int((count != 1).sum() + (~np.isin(reverse, directed)).sum())


@every_sample
def test_a_sample_passes_the_khronos_validator_without_a_warning(name: str, tmp_path: Path) -> None:
    node, package = shutil.which("node"), ROOT / "viewer/node_modules/gltf-validator"
    if node is None or not package.is_dir():
        pytest.skip("needs node and viewer/node_modules (npm ci in viewer/)")
    path = tmp_path / f"{name}.glb"
    path.write_bytes(content(name))
    script = (
        "const [, package_, path] = process.argv;"
        "require(package_).validateBytes(new Uint8Array(require('fs').readFileSync(path)))"
        ".then((report) => console.log(JSON.stringify(report.issues)));"
    )
    run = subprocess.run([node, "-e", script, str(package), str(path)], capture_output=True, text=True, check=True)
    issues = json.loads(run.stdout)
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


@pytest.mark.parametrize("name", list(TRIANGLES))
def test_small_samples_have_as_many_triangles_as_intended(name: str) -> None:
    low, high = TRIANGLES[name]
    assert low <= triangle_count(document(name)) <= high


@every_sample
def test_vertices_are_finite_and_have_orthonormal_frames(name: str) -> None:
    gltf = document(name)
    for mesh, primitive in primitives(gltf):
        points, normals = (values(gltf, getattr(primitive.attributes, key)) for key in ("POSITION", "NORMAL"))
        assert np.isfinite(points).all(), mesh
        assert np.isfinite(values(gltf, primitive.attributes.TEXCOORD_0)).all(), mesh
        assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-5, mesh
        if primitive.attributes.TANGENT is None:
            assert gltf.materials[primitive.material].normalTexture is None, mesh
            continue
        tangents = values(gltf, primitive.attributes.TANGENT)
        assert np.abs(np.linalg.norm(tangents[:, :3], axis=1) - 1).max() < 1e-5, mesh
        assert np.abs((tangents[:, :3] * normals).sum(axis=1)).max() < 1e-4, mesh
        assert set(np.unique(tangents[:, 3])) <= {-1.0, 1.0}, mesh


@every_sample
def test_no_triangle_is_degenerate(name: str) -> None:
    gltf = document(name)
    for mesh, primitive in primitives(gltf):
        triangles = values(gltf, primitive.indices).reshape(-1, 3)
        # 1e-12 m² is a square micrometre.
        assert areas(values(gltf, primitive.attributes.POSITION), triangles).min() > 1e-12, mesh


@every_sample
def test_normals_point_to_the_front_of_their_triangles(name: str) -> None:
    gltf = document(name)
    for mesh, primitive in primitives(gltf):
        triangles = values(gltf, primitive.indices).reshape(-1, 3)
        corner = values(gltf, primitive.attributes.POSITION).astype(np.float64)[triangles]
        face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        mean = values(gltf, primitive.attributes.NORMAL)[triangles].mean(axis=1)
        assert ((face * mean).sum(axis=1) > 0).mean() > 0.999, mesh


@every_sample
def test_a_sample_stands_on_the_floor_over_its_origin(name: str) -> None:
    points = points_in_rest_pose(document(name))
    foot = points[points[:, 1] < 1e-4]
    assert abs(points[:, 1].min()) < 1e-6
    assert np.abs(foot.min(axis=0)[[0, 2]] + foot.max(axis=0)[[0, 2]]).max() < 2e-3


@every_sample
def test_making_a_sample_twice_gives_the_same_bytes(name: str) -> None:
    assert MODULES[name].build("test", DETAIL[name]) == content(name)


@every_sample
def test_names_of_nodes_materials_and_meshes_are_unique(name: str) -> None:
    gltf = document(name)
    for elements in (gltf.nodes, gltf.materials, gltf.meshes):
        names = [element.name for element in elements]
        assert all(names)
        assert len(set(names)) == len(names)


def test_the_sculpture_has_many_triangles_no_hole_and_no_sliver() -> None:
    marble, bronze = trefoil.meshes()
    assert len(marble.triangles) + len(bronze.triangles) >= 600_000
    assert edges_not_shared_by_two(marble, bronze) == 0
    for mesh in (marble, bronze):
        assert areas(mesh.positions.astype(np.float32), mesh.triangles).min() > 1e-12


def test_a_missing_triangle_leaves_three_open_edges() -> None:
    marble, bronze = trefoil.meshes(DETAIL["sculpture"])
    open_mesh = Mesh(marble.positions, marble.normals, marble.uvs, marble.triangles[1:])
    assert edges_not_shared_by_two(marble, bronze) == 0
    assert edges_not_shared_by_two(open_mesh, bronze) == 3


def test_the_sculpture_is_between_one_and_two_metres_tall() -> None:
    assert 1.0 < points_in_rest_pose(document("sculpture"))[:, 1].max() < 2.0


def test_the_marble_charts_do_not_overlap_and_stay_in_the_picture() -> None:
    marble, _ = trefoil.meshes(DETAIL["sculpture"])
    assert marble.uvs.min() >= 0
    assert marble.uvs.max() <= 1
    corner = marble.uvs[marble.triangles]
    d1, d2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    turn = d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]
    assert (turn < 0).all() or (turn > 0).all()
    # Each chart stays in its own row of the picture.
    row = np.floor(corner[..., 1] * trefoil.MARBLE_CHARTS)
    assert (row == row[:, :1]).all()


def test_pictures_of_the_lantern_decode_at_their_full_size() -> None:
    gltf = pygltflib.GLTF2.load_from_bytes(lantern.build("test"))
    sizes = set()
    for image in gltf.images:
        view = gltf.bufferViews[image.bufferView]
        encoded = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        with Image.open(io.BytesIO(encoded)) as picture:
            picture.load()
            assert picture.get_format_mimetype() == image.mimeType
            sizes.add(picture.size)
    assert sizes == {(1024, 1024)}


def test_skin_weights_sum_to_one_over_joints_that_exist() -> None:
    gltf = document("koi")
    skinned = [node for node in gltf.nodes if node.skin is not None]
    assert len(skinned) == 2
    for node in skinned:
        count = len(gltf.skins[node.skin].joints)
        for primitive in gltf.meshes[node.mesh].primitives:
            weights = values(gltf, primitive.attributes.WEIGHTS_0)
            joints = values(gltf, primitive.attributes.JOINTS_0)
            assert np.abs(weights.sum(axis=1) - 1).max() < 1e-6
            assert weights.min() >= 0
            assert joints.max() < count
            assert set(np.unique(joints[weights > 0])) <= set(range(count))


def test_every_clip_ends_with_its_first_keyframe() -> None:
    gltf = document("koi")
    assert [clip.name for clip in gltf.animations] == ["Swim", "Glide"]
    for clip in gltf.animations:
        ends = set()
        for channel in clip.channels:
            sampler = clip.samplers[channel.sampler]
            seconds, keys = values(gltf, sampler.input)[:, 0], values(gltf, sampler.output)
            assert seconds[0] == 0
            assert (np.diff(seconds) > 0).all()
            assert keys[0].tobytes() == keys[-1].tobytes()
            assert len(np.unique(keys, axis=0)) > 1, "a channel without motion"
            if channel.target.path == "rotation":
                assert np.abs(np.linalg.norm(keys, axis=1) - 1).max() < 1e-6
            ends.add(float(seconds[-1]))
        assert len(ends) == 1


def test_both_rigid_nodes_and_joints_are_animated() -> None:
    gltf = document("koi")
    joints = {joint for skin in gltf.skins for joint in skin.joints}
    for clip in gltf.animations:
        moved = {channel.target.node for channel in clip.channels}
        assert moved & joints
        assert any(gltf.nodes[node].mesh is not None for node in moved - joints)


def test_the_gears_stay_in_mesh() -> None:
    """In one clip, the sun passes as many teeth as each planet, in the opposite direction."""
    gltf = document("koi")
    name = {node.name: index for index, node in enumerate(gltf.nodes)}
    for clip in gltf.animations:
        turned = {}
        for channel in clip.channels:
            if channel.target.path == "rotation":
                keys = values(gltf, clip.samplers[channel.sampler].output).astype(np.float64)
                half = np.arctan2(keys[:, 1], keys[:, 3])
                step = np.diff(half)
                step -= np.pi * np.round(step / np.pi)  # a quaternion and its negative are the same rotation
                turned[channel.target.node] = np.degrees(2 * step.sum())
        assert turned[name["Rotor"]] == pytest.approx(360)
        for i in range(koi.PLANETS):
            planet = turned[name[f"Planet {i + 1}"]]
            assert planet * koi.PLANET_TEETH == pytest.approx(-360 * koi.SUN_TEETH)


def test_a_model_that_is_up_to_date_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "lantern.glb"
    path.write_bytes(lantern.build(make_samples.current_recipe(), DETAIL["lantern"]))
    before = path.stat().st_mtime_ns
    result = CliRunner().invoke(make_samples.main, ["lantern", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "up to date" in result.output
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("junk", [b"", b"glTF", b"glTF" + b"\xff" * 40, b"#!/bin/sh\n" * 9])
def test_a_file_of_another_program_has_no_recipe(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "lantern.glb"
    path.write_bytes(junk)
    assert make_samples.made_with(path) is None
    assert make_samples.made_with(tmp_path / "missing.glb") is None


def test_the_script_makes_a_sample_that_states_its_recipe(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "models/make_samples.py"), "lantern", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert make_samples.made_with(tmp_path / "lantern.glb") == make_samples.current_recipe()
    assert [path.name for path in tmp_path.iterdir()] == ["lantern.glb"]


def test_the_error_names_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(make_samples.main, ["lantern", "--out", str(tmp_path / "file" / "out")])
    assert result.exit_code == 1
    assert str(tmp_path / "file" / "out") in result.output


def test_the_error_for_an_unknown_name_lists_the_known_names() -> None:
    result = CliRunner().invoke(make_samples.main, ["teapot"])
    assert result.exit_code == 2
    assert "teapot" in result.output
    assert "sculpture, koi, bicycle, lantern" in result.output
