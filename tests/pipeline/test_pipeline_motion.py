"""Skinned and morphed meshes have tiers, and what is said of these holds while they move.

With `--models DIR` the facts are shown over every model below DIR that deforms, too.
"""

from __future__ import annotations

from pathlib import Path

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file, khronos_errors
from posing import Json, Posed, Vertices, posed_base, source_vertices, tiers
from sampled_distance import Target, points_of
from streamxr.pipeline.build import find_models
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.mesh.surface import without_degenerates
from streamxr.pipeline.settings import Settings

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
    """A built model, its source, and its trees that deform, with the source mesh of each."""

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
            pytest.skip("nothing of it deforms")

    def times(self) -> list[tuple[int | None, float]]:
        """The pose of the file, and of every animation some times that are no keyframes."""
        ends = [a["duration"] for a in self.built.manifest["animations"]]
        return [(None, 0.0)] + [(i, end * share) for i, end in enumerate(ends) for share in (0.013, 0.31, 0.52, 0.87)]


@pytest.fixture(scope="module")
def moving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Moving:
    folder = tmp_path_factory.mktemp("moving")
    if isinstance(request.param, Path):
        return Moving(request.param, folder / "build")
    return Moving(make.save(MAKERS[request.param](), folder, request.param), folder / "build")


def distance(one: Vertices, posed: np.ndarray, other: Vertices, its: np.ndarray) -> float:
    a, b = (without_degenerates(v.surface(p)) for v, p in ((one, posed), (other, its)))
    pairs = ((a, b), (b, a))
    return max(float(Target(t).distances(points_of(s, POINTS, VERTICES)).max()) for s, t in pairs)


def test_meshes_that_deform_have_tiers(moving: Moving) -> None:
    for tree, source, chain in moving.trees:
        counts = [len(tier.triangles) for tier in chain]
        assert counts == [region["triangles"] for region in tree["regions"]]
        assert counts == sorted(set(counts))
        if len(source.triangles) > 1000:
            assert len(chain) > 1
        errors = [region["error"] for region in tree["regions"]]
        assert errors == sorted(set(errors), reverse=True)


def test_skins_pose_to_the_source_within_the_stated_error(moving: Moving) -> None:
    for tree, source, chain in moving.trees:
        for animation, time in moving.times():
            truth, pose = Posed(moving.source, animation, time), posed_base(moving.built, animation, time)
            for node in tree["nodes"]:
                wanted = truth.draw(node, source)
                for region, tier in zip(tree["regions"], chain, strict=True):
                    far = distance(source, wanted, tier, pose.draw(node, tier))
                    assert far <= region["error"] * tree["scale"] * (1 + 1e-6)


def test_morphs_are_within_the_stated_error_at_any_weights(moving: Moving) -> None:
    rng = np.random.default_rng(3)
    for tree, source, chain in moving.trees:
        count = len(source.deltas)
        if tree["kind"] != "morphed":
            continue
        for weights in [*np.eye(count), *rng.random((4, count)), np.ones(count)]:
            for region, tier in zip(tree["regions"], chain, strict=True):
                far = distance(source, source.morphed(weights), tier, tier.morphed(weights))
                assert far <= region["error"] * (1 + 1e-6)


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
                    space = pose.draw(node, tier)
                    if tree["kind"] == "morphed":
                        space = tier.morphed(pose.weights[node])
                    assert np.linalg.norm(space - centre, axis=1).max() <= radius * (1 + 1e-3)


def test_a_seam_of_texture_or_normal_does_not_open_in_motion(moving: Moving) -> None:
    for _, _, chain in moving.trees:
        for tier in chain[:-1]:
            _, same = np.unique(tier.positions, axis=0, return_inverse=True)
            everything = np.concatenate([tier.weights, *tier.deltas], axis=1)
            for column in everything.T:
                low, high = np.full(same.max() + 1, np.inf), np.full(same.max() + 1, -np.inf)
                np.minimum.at(low, same.reshape(-1), column)
                np.maximum.at(high, same.reshape(-1), column)
                assert np.allclose(low, high, atol=1e-6)


def test_their_files_are_valid(moving: Moving) -> None:
    files = [moving.built.root / moving.built.manifest["base"]["uri"]]
    files += [
        moving.built.root / r["refinement"]["uri"] for t, _, _ in moving.trees for r in t["regions"] if r["refinement"]
    ]
    assert khronos_errors(files) == {}


def test_a_base_stays_small_under_heavy_morph_targets(tmp_path: Path) -> None:
    maker = make.morphing_ball(40, 40)
    target = maker.json["meshes"][0]["primitives"][0]["targets"][0]
    maker.json["meshes"][0]["primitives"][0]["targets"] = [dict(target) for _ in range(30)]
    del maker.json["meshes"][0]["weights"], maker.json["meshes"][0]["extras"], maker.json["animations"]
    built = build_file(make.save(maker, tmp_path, "heavy"), tmp_path / "build")
    assert built.manifest["base"]["bytes"] <= 60_000
    assert len(built.manifest["trees"][0]["regions"]) > 1


def test_a_joint_chain_that_is_stored_at_another_scale_has_errors_in_metres(tmp_path: Path) -> None:
    maker = make.bending_arm(24, 12)
    plain = build_file(make.save(maker, tmp_path, "plain"), tmp_path / "plain", SMALL).manifest["trees"][0]
    inverse = maker.json["skins"][0]["inverseBindMatrices"]
    view = maker.json["bufferViews"][maker.json["accessors"][inverse]["bufferView"]]
    matrices = np.frombuffer(maker.chunk, "<f4", 48, view["byteOffset"]).reshape(3, 4, 4) * np.float32(100)
    matrices[:, :, 3] = [0, 0, 0, 1]
    maker.chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] = matrices.astype("<f4").tobytes()
    larger = build_file(make.save(maker, tmp_path, "larger"), tmp_path / "larger", SMALL).manifest["trees"][0]
    for one, other in zip(plain["regions"], larger["regions"], strict=True):
        assert other["error"] > 20 * one["error"]
