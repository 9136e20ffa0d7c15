"""Texture levels: averaged for what they mean, stored once, apart from geometry."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from PIL import Image
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.textures import Pyramid, Role, TextureUse, build_pyramid

BEST = Settings(color_quality=100, normal_quality=100, data_quality=100)


def pyramid(pixels: np.ndarray, role: Role, settings: Settings = BEST) -> Pyramid:
    return build_pyramid(make.png(pixels), TextureUse(0, role, "test"), settings)


def decoded(built: Pyramid, side: int) -> np.ndarray:
    level = next(level for level in built.levels if level.width == side)
    return np.asarray(Image.open(io.BytesIO(level.content))).astype(int)


def checker(side: int) -> np.ndarray:
    board = np.indices((side, side)).sum(axis=0) % 2 * 255
    return np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)


def test_sizes_halve_down_to_a_few_pixels() -> None:
    levels = pyramid(make.noise(256)[:, :128], "data").levels
    assert [(x.width, x.height) for x in levels] == [(8, 16), (16, 32), (32, 64), (64, 128), (128, 256)]


def test_colour_is_averaged_in_linear_light() -> None:
    # Half of the light is the sRGB code 188, not 128.
    assert abs(decoded(pyramid(checker(64), "color"), 32).mean() - 188) < 2


def test_other_maps_are_averaged_as_they_are() -> None:
    assert abs(decoded(pyramid(checker(64), "data"), 32).mean() - 127.5) < 2


def test_normals_stay_of_unit_length() -> None:
    tilted = np.full((64, 64, 3), 128, np.uint8)
    tilted[:, ::2] = [128 + 110, 128, 128 + 64]
    tilted[:, 1::2] = [128 - 110, 128, 128 + 64]
    vectors = decoded(pyramid(tilted, "normal"), 32) / 127.5 - 1
    assert np.abs(np.linalg.norm(vectors, axis=2) - 1).max() < 0.05


def test_transparent_pixels_do_not_bleed_their_colour() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = [255, 0, 0, 255]
    pixels[:, 1::2] = [0, 255, 0, 0]
    small = decoded(pyramid(pixels, "color"), 32)
    assert small.shape[2] == 4
    assert small[:, :, 0].mean() > 245
    assert small[:, :, 1].mean() < 10
    assert abs(small[:, :, 3].mean() - 127.5) < 3


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nrubbish", make.png(make.noise(64))[:600], b"GIF89a"])
def test_an_unreadable_picture_is_a_clear_error(content: bytes) -> None:
    with pytest.raises(ModelError, match="readable"):
        build_pyramid(content, TextureUse(3, "color", "sky"), Settings())


def test_a_decompression_bomb_is_refused() -> None:
    bomb = io.BytesIO()
    Image.new("1", (30000, 30000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 200_000
    with pytest.raises(ModelError, match="pixels"):
        build_pyramid(bomb.getvalue(), TextureUse(0, "color", "bomb"), Settings())


def geometry(built: Built) -> list[str]:
    return [r["refinement"]["uri"] for t in built.manifest["trees"] for r in t["regions"] if r["refinement"]]


def pictures(built: Built) -> list[Any]:
    return [level["uri"] for t in built.manifest["textures"] for level in t["levels"]]


def test_a_changed_picture_changes_no_geometry(build: Callable[..., Built]) -> None:
    first = build(make.textured_sphere(40, 60, seed=1), "first")
    second = build(make.textured_sphere(40, 60, seed=2), "second")
    assert geometry(first) == geometry(second) != []
    assert pictures(first) != pictures(second)


def test_one_picture_in_two_assets_is_stored_once(build: Callable[..., Built]) -> None:
    first = build(make.textured_sphere(40, 60), "first")
    second = build(make.textured_sphere(20, 30), "second")
    assert pictures(first) == pictures(second)


def test_only_the_smallest_level_is_in_the_base(build: Callable[..., Built]) -> None:
    (texture,) = build(make.textured_sphere(12, 16, picture=512)).manifest["textures"]
    assert [level["uri"] is None for level in texture["levels"]] == [True, False, False]
    assert [level["width"] for level in texture["levels"]] == [128, 256, 512]
