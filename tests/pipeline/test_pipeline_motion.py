"""Skinned and morphed meshes have tiers, whose errors, spheres and bounds hold in motion.

With `--models DIR`, every deforming model below DIR is tested too.
"""

from __future__ import annotations

from pathlib import Path

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file, khronos_errors
from posing import Json, Posed, Vertices, posed_base, source_vertices, tiers
from sampled_distance import Target, points_of
from streamxr.pipeline.arrays import FloatArray
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.gltf.skinning import DeformableVertices, MeshPoses
from streamxr.pipeline.mesh.surface import without_degenerates
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.source_folder import find_models
from streamxr.pipeline.trees.posed_error import PosedSurface, posed_error

MAKERS = {"arm": make.bending_arm, "ball": make.morphing_ball, "dancer": make.dancing_arm}
SMALL = Settings(base_triangles=150)
POINTS, VERTICES = 1500, 1500


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "moving" in metafunc.fixturenames:
        folder: Path | None = metafunc.config.getoption("models")
        jobs = find_models(folder.resolve())[0] if folder else []
        cases = [pytest.param(name, id=name) for name in MAKERS]
        cases += [pytest.param(job.path, id=job.name) for job in jobs if job.path.suffix in (".glb", ".gltf")]
        metafunc.parametrize("moving", cases, indirect=True, scope="module")


class Moving:
    """A built model, its source, and its deforming trees, each with its source mesh and its tiers."""

    def __init__(self, path: Path, root: Path) -> None:
        self.source: Document = read_model(path)
        self.built: Built = build_file(path, root, SMALL)
        nodes = self.source.json["nodes"]
        self.trees: list[tuple[Json, Vertices, list[Vertices]]] = [
            (t, source_vertices(self.source, nodes[t["nodes"][0]]["mesh"]), tiers(self.built, t))
            for t in self.built.manifest["trees"]
            if t["kind"] in ("skinned", "morphed")
        ]
        if not self.trees:
            pytest.skip("the model has no deforming mesh")

    def times(self) -> list[tuple[int | None, float]]:
        """(animation, time): the rest pose, and for each animation some times between its keyframes."""
        ends = [a["duration"] for a in self.built.manifest["animations"]]
        return [(None, 0.0)] + [(i, end * share) for i, end in enumerate(ends) for share in (0.013, 0.31, 0.52, 0.87)]


@pytest.fixture(scope="module")
def moving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Moving:
    folder = tmp_path_factory.mktemp("moving")
    if isinstance(request.param, Path):
        return Moving(request.param, folder / "build")
    return Moving(make.save(MAKERS[request.param](), folder, request.param), folder / "build")


def distance(a: Vertices, a_positions: np.ndarray, b: Vertices, b_positions: np.ndarray) -> float:
    """The largest distance, both ways, between samples of one posed mesh and the other."""
    one, other = (without_degenerates(v.surface(x)) for v, x in ((a, a_positions), (b, b_positions)))
    pairs = ((one, other), (other, one))
    return max(float(Target(t).distances(points_of(s, POINTS, VERTICES)).max()) for s, t in pairs)


def test_deforming_meshes_have_tiers(moving: Moving) -> None:
    for tree, source, chain in moving.trees:
        counts = [len(tier.triangles) for tier in chain]
        assert counts == [region["triangles"] for region in tree["regions"]]
        assert counts == sorted(set(counts))
        if len(source.triangles) > 1000:
            assert len(chain) > 1
        errors = [region["error"] for region in tree["regions"]]
        assert errors == sorted(set(errors), reverse=True)


def test_posed_tiers_are_within_the_stated_error_of_the_posed_source(moving: Moving) -> None:
    for tree, source, chain in moving.trees:
        for animation, time in moving.times():
            source_pose, base_pose = Posed(moving.source, animation, time), posed_base(moving.built, animation, time)
            for node in tree["nodes"]:
                positions = source_pose.draw(node, source)
                for region, tier in zip(tree["regions"], chain, strict=True):
                    error = distance(source, positions, tier, base_pose.draw(node, tier))
                    assert error <= region["error"] * tree["scale"] * (1 + 1e-6)


def test_morphed_tiers_are_within_the_stated_error_at_any_weights(moving: Moving) -> None:
    rng = np.random.default_rng(3)
    for tree, source, chain in moving.trees:
        count = len(source.deltas)
        if tree["kind"] != "morphed":
            continue
        for weights in [*np.eye(count), *rng.random((4, count)), np.ones(count)]:
            for region, tier in zip(tree["regions"], chain, strict=True):
                error = distance(source, source.morphed(weights), tier, tier.morphed(weights))
                assert error <= region["error"] * (1 + 1e-6)


def test_spheres_and_bounds_hold_every_pose(moving: Moving) -> None:
    low, high = (np.array(moving.built.manifest["bounds"][end]) for end in ("min", "max"))
    extent = float(np.linalg.norm(high - low))
    for tree, source, chain in moving.trees:
        *centre, radius = tree["regions"][0]["sphere"]
        for animation, time in moving.times():
            pose = Posed(moving.source, animation, time)
            for node in tree["nodes"]:
                posed = pose.draw(node, source)
                assert (posed >= low - 2e-3 * extent).all()
                assert (posed <= high + 2e-3 * extent).all()
                for tier in chain:
                    in_tree = pose.draw(node, tier)
                    if tree["kind"] == "morphed":
                        in_tree = tier.morphed(pose.weights[node])
                    assert np.linalg.norm(in_tree - centre, axis=1).max() <= radius * (1 + 1e-3)


def test_seams_of_texture_and_normals_stay_closed_in_motion(moving: Moving) -> None:
    for _, _, chain in moving.trees:
        for tier in chain[:-1]:
            _, same = np.unique(tier.positions, axis=0, return_inverse=True)
            moving_attributes = np.concatenate([tier.weights, *tier.deltas], axis=1)
            for column in moving_attributes.T:
                low, high = np.full(same.max() + 1, np.inf), np.full(same.max() + 1, -np.inf)
                np.minimum.at(low, same.reshape(-1), column)
                np.maximum.at(high, same.reshape(-1), column)
                assert np.allclose(low, high, atol=1e-6)


def test_files_of_deforming_meshes_pass_the_khronos_validator(moving: Moving) -> None:
    files = [moving.built.root / moving.built.manifest["base"]["uri"]]
    files += [
        moving.built.root / r["refinement"]["uri"] for t, _, _ in moving.trees for r in t["regions"] if r["refinement"]
    ]
    assert khronos_errors(files) == {}


def test_the_base_of_a_mesh_with_heavy_morph_targets_stays_small(tmp_path: Path) -> None:
    maker = make.morphing_ball(40, 40)
    target = maker.json["meshes"][0]["primitives"][0]["targets"][0]
    maker.json["meshes"][0]["primitives"][0]["targets"] = [dict(target) for _ in range(30)]
    del maker.json["meshes"][0]["weights"], maker.json["meshes"][0]["extras"], maker.json["animations"]
    built = build_file(make.save(maker, tmp_path, "heavy"), tmp_path / "build")
    assert built.manifest["base"]["bytes"] <= 60_000
    assert len(built.manifest["trees"][0]["regions"]) > 1


def test_errors_are_in_metres_even_if_inverse_bind_matrices_scale(tmp_path: Path) -> None:
    maker = make.bending_arm(24, 12)
    plain = build_file(make.save(maker, tmp_path, "plain"), tmp_path / "plain", SMALL).manifest["trees"][0]
    inverse = maker.json["skins"][0]["inverseBindMatrices"]
    view = maker.json["bufferViews"][maker.json["accessors"][inverse]["bufferView"]]
    matrices = np.frombuffer(maker.chunk, "<f4", 48, view["byteOffset"]).reshape(3, 4, 4) * np.float32(100)
    matrices[:, :, 3] = [0, 0, 0, 1]
    maker.chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] = matrices.astype("<f4").tobytes()
    larger = build_file(make.save(maker, tmp_path, "larger"), tmp_path / "larger", SMALL).manifest["trees"][0]
    for plain_region, larger_region in zip(plain["regions"], larger["regions"], strict=True):
        assert larger_region["error"] > 20 * plain_region["error"]


def test_a_tier_whose_triangles_have_become_points_has_the_error_of_these_points() -> None:
    """Rounding may leave no triangle of a tiny tier with three different positions."""
    place = np.array([0.25, 0.25, 0.0])
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])

    def posed(positions: FloatArray, triangles: list[list[int]]) -> PosedSurface:
        count = len(positions)
        vertices = DeformableVertices(
            positions, np.zeros((count, 1), np.int64), np.ones((count, 1)), np.zeros((0, count, 3))
        )
        return PosedSurface(vertices, np.array(triangles))

    still = MeshPoses(np.eye(4)[None, None], np.zeros((1, 0)))
    error = posed_error(
        posed(square, [[0, 1, 2], [0, 2, 3]]), posed(np.tile(place, (3, 1)), [[0, 1, 2]]), [still], 1e-4
    )
    furthest = float(np.linalg.norm(square[2] - place))
    assert furthest <= error.bound <= 1.1 * furthest
