"""The pure parts of benchmarks/pictures: cameras and measures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "pictures"))
from measures import Floats, Pictures, blurred, measure, measure_with, on_background
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
