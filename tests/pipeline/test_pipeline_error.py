"""The geometric error is a tight upper bound of the true two-sided distance."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, decoded_regions
from hypothesis import given
from hypothesis import strategies as st
from sampled_distance import Target, sampled_distance
from streamxr.pipeline.gltf.source_files import read_document
from streamxr.pipeline.mesh.geometric_error import TOLERANCE, geometric_error
from streamxr.pipeline.mesh.surface import Surface, merge
from streamxr.pipeline.mesh.topology import unique_rows
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.scene import read_scene

FLOOR = 1e-6
lengths = st.floats(0.001, 10)


def surface(positions: np.ndarray, triangles: np.ndarray) -> Surface:
    welded, index = unique_rows(np.asarray(positions, np.float64))
    triangles = index[triangles]
    return Surface(welded, triangles, np.zeros(len(triangles), np.int64), np.zeros((len(triangles), 3, 2)))


def sheet(columns: int, rows: int, height: Callable[[np.ndarray, np.ndarray], np.ndarray] | float = 0.0) -> Surface:
    """A grid over the unit square."""
    x, z = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1))
    y = height(x, z) if callable(height) else np.full_like(x, height)
    a = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).reshape(-1)
    across = columns + 1
    triangles = np.concatenate([np.stack([a, a + across, a + 1], 1), np.stack([a + 1, a + across, a + across + 1], 1)])
    return surface(np.stack([x, y, z], axis=-1).reshape(-1, 3), triangles)


def moved(one: Surface, offset: tuple[float, float, float]) -> Surface:
    return Surface(one.positions + np.array(offset), one.triangles, one.kinds, one.uv)


def assert_tight(found: float, true: float) -> None:
    assert true * (1 - 1e-9) <= found <= true * (1 + TOLERANCE) * (1 + 1e-9) + 2 * FLOOR


@given(gap=lengths)
def test_parallel_planes_are_their_gap_apart(gap: float) -> None:
    assert_tight(geometric_error(sheet(7, 5), sheet(3, 2, gap), FLOOR).bound, gap)


@given(height=lengths)
def test_a_removed_spike_counts_with_its_height(height: float) -> None:
    spiked = sheet(8, 8, lambda x, z: np.where((x == 0.5) & (z == 0.5), height, 0.0))
    assert_tight(geometric_error(spiked, sheet(2, 2), FLOOR).bound, height)


@given(overhang=lengths)
def test_a_tier_that_extends_past_its_source_counts_with_its_overhang(overhang: float) -> None:
    """The one-sided distance from the source to the tier is zero."""
    wide = sheet(2, 2)
    wide = Surface(wide.positions * [1 + overhang, 1, 1], wide.triangles, wide.kinds, wide.uv)
    assert_tight(geometric_error(sheet(8, 8), wide, FLOOR).bound, overhang)


@given(distance=lengths)
def test_a_removed_component_counts_with_its_distance(distance: float) -> None:
    speck = Surface(sheet(1, 1).positions * 0.01, *(lambda s: (s.triangles, s.kinds, s.uv))(sheet(1, 1)))
    source = merge([sheet(6, 6), moved(speck, (0.5, distance, 0.5))])
    assert_tight(geometric_error(source, sheet(3, 3), FLOOR).bound, distance)


def test_a_surface_has_no_distance_from_itself() -> None:
    bumpy = sheet(20, 20, lambda x, z: np.sin(9 * x) * np.cos(7 * z))
    assert geometric_error(bumpy, bumpy, FLOOR).bound <= 2 * FLOOR


@given(seed=st.integers(0, 2**32 - 1), fine=st.integers(1, 12), coarse=st.integers(1, 6))
def test_no_sample_of_two_triangle_soups_exceeds_the_bound(seed: int, fine: int, coarse: int) -> None:
    rng = np.random.default_rng(seed)
    one = surface(rng.random((fine * 3, 3)), np.arange(fine * 3).reshape(-1, 3))
    other = surface(rng.random((coarse * 3, 3)), np.arange(coarse * 3).reshape(-1, 3))
    bound = geometric_error(one, other, FLOOR).bound
    sampled = sampled_distance(one, other, 4000)
    assert sampled <= bound * (1 + 1e-9)
    assert bound <= 1.15 * sampled + 2 * FLOOR


def test_the_sampled_distance_matches_known_distances() -> None:
    point = np.array([[0.3, 2.0, 0.3], [-3.0, 4.0, 0.5], [0.25, 0.0, 0.25]])
    flat = sheet(40, 40)
    assert Target(flat).distances(point) == pytest.approx([2, 5, 0], abs=1e-12)


def torus() -> make.Maker:
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 160, endpoint=False), np.linspace(0, 2 * np.pi, 80, endpoint=False))
    r = 0.35 + 0.03 * np.sin(11 * u) * np.cos(7 * v)
    positions = np.stack([(1 + r * np.cos(v)) * np.cos(u), r * np.sin(v), (1 + r * np.cos(v)) * np.sin(u)], -1)
    i, j = np.meshgrid(np.arange(80), np.arange(160), indexing="ij")
    a, b = i * 160 + j, i * 160 + (j + 1) % 160
    c, d = (i + 1) % 80 * 160 + j, (i + 1) % 80 * 160 + (j + 1) % 160
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return drawn(positions.reshape(-1, 3), triangles)


def terrain() -> make.Maker:
    """An open patch of hills: its border has no neighbouring region."""
    hills = sheet(110, 110, lambda x, z: 0.1 * np.sin(9 * x + 4 * z) * np.cos(8 * z) + 0.02 * np.sin(61 * x * z))
    return drawn(hills.positions, hills.triangles)


def sphere() -> make.Maker:
    return make.textured_sphere(80, 110)


def drawn(positions: np.ndarray, triangles: np.ndarray) -> make.Maker:
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(positions.astype("<f4"), triangles)))
    return maker


@pytest.mark.parametrize("made", [sphere, torus, terrain])
def test_the_stated_error_of_a_region_bounds_the_sampled_distance(
    build: Callable[..., Built], made: Callable[[], make.Maker]
) -> None:
    built = build(made(), settings=Settings(leaf_triangles=1200, base_triangles=600))
    (tree,) = built.manifest["trees"]
    source = read_scene(read_document(built.root.parent / "model.glb")).trees[0].source.surface
    tiers: dict[int, list[Surface]] = {}
    for region, surface in decoded_regions(built, tree).items():
        tiers.setdefault(tree["regions"][region]["tier"], []).append(surface)
    assert len(tiers) >= 3
    for tier, parts in tiers.items():
        stated = max(r["error"] for r in tree["regions"] if r["tier"] == tier)
        sampled = sampled_distance(source, merge(parts))
        assert sampled <= stated
        if tier < max(tiers):  # the finest tier differs by rounding only, and its bound is not tightened
            assert stated <= 1.3 * sampled
