"""The pure parts of benchmarks/pictures: cameras, measures, cuts, and the search for equal counts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "pictures"))
from flat import FlatMesh
from measures import Floats, Pictures, blurred, measure, measure_with, on_background
from ours import cut_of
from reporting import with_section
from search import best_share
from views import DIRECTIONS, FIELD_OF_VIEW, Box, cameras

SIDE = 24
BOX = Box((-1.0, 0.0, -2.0), (3.0, 1.0, 5.0))


def squares(*columns: tuple[int, int], color: tuple[int, int, int] = (255, 255, 255)) -> Pictures:
    """A picture for each pair of columns (first, end), between which rows 8 to 16 are opaque."""
    pictures = np.zeros((len(columns), SIDE, SIDE, 4), np.uint8)
    for picture, (first, end) in zip(pictures, columns, strict=True):
        picture[8:16, first:end] = (*color, 255)
    return pictures


def lightness(one: Floats, other: Floats) -> Floats:
    """A plain measure of difference, of colours and of pictures alike."""
    difference: Floats = np.abs(one - other).mean(axis=-1)
    return difference


def test_overlap_is_the_mean_of_intersection_over_union() -> None:
    reference, candidate = squares((4, 12), (4, 12)), squares((8, 16), (4, 12))
    assert measure_with(lightness, lightness, reference, candidate).overlap == pytest.approx((4 / 12 + 1) / 2)


def test_pixels_that_are_half_covered_or_less_are_outside_of_the_silhouette() -> None:
    faint = squares((4, 12))
    faint[..., 3] //= 2
    assert measure_with(lightness, lightness, squares((4, 12)), faint).overlap == 0.0


def test_differences_count_in_the_union_of_both_silhouettes_alone() -> None:
    here, there = squares((2, 6)), squares((16, 20))
    found = measure_with(lightness, lightness, here, there)
    pair = on_background(here[0]), on_background(there[0])
    union = np.zeros((SIDE, SIDE), bool)
    union[8:16, 2:6] = union[8:16, 16:20] = True
    assert found.flip == pytest.approx(lightness(*pair)[union].mean())
    assert found.colour == pytest.approx(lightness(*map(blurred, pair))[union].mean())
    assert found.far == 0.0


def test_equal_pictures_and_empty_views_do_not_differ() -> None:
    for pictures in (squares((4, 12), (2, 20)), squares((0, 0))):
        found = measure_with(lightness, lightness, pictures, pictures)
        assert (found.overlap, found.colour, found.far, found.flip) == (1.0, 0.0, 0.0, 0.0)


def test_a_vanished_model_has_no_overlap_and_shows_the_background() -> None:
    found = measure_with(lightness, lightness, squares((4, 12)), squares((0, 0)))
    assert found.overlap == 0.0
    assert found.flip == pytest.approx(1 - np.mean([0.25, 0.35, 0.6]))


def test_pictures_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        measure_with(lightness, lightness, squares((4, 12)), squares((4, 12), (4, 12)))


def test_black_and_white_differ_by_a_hundred() -> None:
    pytest.importorskip("skimage", reason="make bench-pictures installs it")
    pytest.importorskip("flip_evaluator", reason="make bench-pictures installs it")
    white, black = squares((0, SIDE)), squares((0, SIDE), color=(0, 0, 0))
    for pictures in (white, black):
        pictures[:] = pictures[:, 12:13]
    found = measure(white, black)
    assert found.colour == pytest.approx(100, abs=0.01)
    assert found.far == 1.0
    assert 0.9 < found.flip <= 1.0


def test_a_blur_keeps_the_mean_of_linear_light() -> None:
    picture = np.zeros((SIDE, SIDE, 3))
    picture[:, : SIDE // 2] = 1.0
    assert blurred(picture)[0, SIDE // 2 - 1 : SIDE // 2 + 1, 0] == pytest.approx([0.854, 0.584], abs=0.001)
    assert blurred(np.full((SIDE, SIDE, 3), 0.3)) == pytest.approx(0.3)


def test_every_camera_sees_the_whole_box() -> None:
    corners = np.array([[x, y, z] for x in (-1, 3) for y in (0, 1) for z in (-2, 5)], float)
    half = np.tan(np.radians(FIELD_OF_VIEW / 2))
    for camera in cameras(BOX):
        position, target = np.array(camera.position), np.array(camera.target)
        forward = (target - position) / np.linalg.norm(target - position)
        right = np.cross(forward, camera.up)
        right /= np.linalg.norm(right)
        away = corners - position
        depth = away @ forward
        assert (depth > camera.near).all()
        assert (depth < camera.far).all()
        for axis in (right, np.cross(right, forward)):
            assert (np.abs(away @ axis) <= half * depth).all()


def test_the_sphere_around_the_box_nearly_fills_the_picture() -> None:
    for camera in cameras(BOX):
        distance = float(np.linalg.norm(np.subtract(camera.position, BOX.centre)))
        angle = np.degrees(np.arcsin(BOX.radius / distance))
        assert 0.98 * FIELD_OF_VIEW / 2 < angle < FIELD_OF_VIEW / 2


def test_cameras_look_from_different_sides_and_no_camera_looks_along_its_up_axis() -> None:
    found = cameras(BOX)
    directions = np.array([np.subtract(c.position, c.target) for c in found])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    cosines = directions @ directions.T - 2 * np.eye(len(directions))
    assert cosines.max() < np.cos(np.radians(25))
    for direction, camera in zip(directions, found, strict=True):
        assert abs(direction @ np.array(camera.up)) < 0.95
    assert len(found) == len(DIRECTIONS) == 8


def test_a_box_without_extent_is_refused() -> None:
    for corner in ((1.0, 1.0, 1.0), (np.inf, 1.0, 1.0)):
        with pytest.raises(ValueError, match="no extent"):
            cameras(Box((1.0, 1.0, 1.0), corner))


def test_a_cut_has_the_regions_of_its_tier_and_trees_that_end_before_it() -> None:
    def region(tier: int, parent: int | None, *children: int) -> dict[str, object]:
        return {"tier": tier, "parent": parent, "children": list(children)}

    regions = [region(0, None, 1), region(1, 0, 2, 3), region(2, 1, 4, 5), region(2, 1), region(3, 2), region(3, 2)]
    assert [cut_of(regions, tier) for tier in range(4)] == [{}, {0: [1]}, {1: [2, 3]}, {1: [3], 2: [4, 5]}]
    skips = [region(0, None, 1), region(2, 0)]
    assert [cut_of(skips, tier) for tier in range(4)] == [{}, {}, {0: [1]}, {0: [1]}]


def test_the_search_finds_the_largest_amount_within_the_goal() -> None:
    asked: list[float] = []

    def amount(share: float) -> int:
        asked.append(share)
        return int(1000 * share**2)

    share = best_share(amount, 250, 0.1)
    assert 0.97 * 250 <= amount(share) <= 250
    assert all(0 < each <= 1 for each in asked)


def test_a_tool_that_gives_too_much_at_any_share_gives_its_least() -> None:
    asked: list[float] = []

    def amount(share: float) -> int:
        asked.append(share)
        return max(int(1000 * share), 600)

    assert amount(best_share(amount, 500, 0.9)) == 600
    assert len(asked) < 6


def test_a_tool_whose_amounts_jump_past_the_goal_stays_below_it() -> None:
    found = best_share(lambda share: 10 if share < 0.3 else 5000, 1000, 0.05)
    assert found < 0.3
    assert best_share(lambda share: int(100 * share), 1000, 0.5) == 1.0


def test_a_flat_mesh_is_written_and_read_with_the_same_values(tmp_path: Path) -> None:
    mesh = flat_mesh()
    mesh.write(tmp_path / "mesh.flat")
    read = FlatMesh.read(tmp_path / "mesh.flat")
    assert list(read.attributes) == list(mesh.attributes)
    for name, values in mesh.attributes.items():
        assert np.array_equal(read.attributes[name], values)
    assert np.array_equal(read.materials, mesh.materials)
    assert np.array_equal(read.triangles, mesh.triangles)


def test_welding_joins_equal_vertices_of_one_material_alone() -> None:
    welded = flat_mesh().welded()
    assert welded.triangles.tolist() == [[0, 1, 2], [2, 1, 3], [4, 1, 3]]
    assert welded.materials.tolist() == [0, 0, 0, 0, 1]
    assert welded.attributes["POSITION"].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0]]


def flat_mesh() -> FlatMesh:
    """Three triangles; of the vertices at one place, one has another material."""
    positions = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    attributes = {"POSITION": np.array(positions, np.float32), "TEXCOORD_0": np.zeros((7, 2), np.float32)}
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 4, 5]], np.uint32)
    return FlatMesh(attributes, np.array([0, 0, 0, 0, 0, 0, 1], np.int32), triangles)


def test_a_section_is_replaced_and_all_others_are_kept() -> None:
    page = "# One\n\na\n\n# Two\n\nb\n\n## Part\n\n# Three\n\nc\n"
    assert with_section(page, "# Two", "# Two\n\nnew\n") == "# One\n\na\n\n# Two\n\nnew\n\n# Three\n\nc\n"
    assert with_section(page, "# Four", "# Four\n\nd\n") == page + "\n# Four\n\nd\n"
