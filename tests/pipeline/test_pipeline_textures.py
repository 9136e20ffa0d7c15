"""Texture levels: averaged by role, stored once, independent of geometry."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file
from PIL import Image
from streamxr.pipeline.pictures.levels import LevelsTask, Picture, Pyramid, build_levels
from streamxr.pipeline.settings import Role, Settings

BEST = Settings(color_quality=100, normal_quality=100, data_quality=100)


def pyramid(pixels: np.ndarray, role: Role, settings: Settings = BEST) -> Pyramid:
    picture = Picture(make.png(pixels), "test", "image 0", role)
    coarse, fine = (build_levels(LevelsTask(picture, settings, finest)) for finest in (False, True))
    levels = coarse + fine
    return Pyramid(picture.name, role, levels)


def decoded(built: Pyramid, side: int) -> np.ndarray:
    level = next(level for level in built.levels if level.width == side)
    return np.asarray(Image.open(io.BytesIO(level.content))).astype(int)


def checker(side: int) -> np.ndarray:
    board = np.indices((side, side)).sum(axis=0) % 2 * 255
    return np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("texture_format", ["webp", "jpeg", "png"])
@pytest.mark.parametrize("role", ["color", "data"])
def test_a_palette_keeps_the_colour_of_every_texel(role: Role, texture_format: Any) -> None:
    for side in (8, 16, 64):
        texels = make.noise(side)
        built = pyramid(texels, role, Settings(texture_format=texture_format))
        assert (decoded(built, side) == texels[:, :, :3]).all(), side


def test_levels_of_a_large_picture_are_lossy() -> None:
    photo, palette = (pyramid(make.noise(side), "color", Settings()).levels for side in (256, 64))
    assert len(photo[2].content) < len(palette[2].content) / 2, "the level of 64 pixels of both"


def test_sizes_halve_down_to_a_few_pixels() -> None:
    levels = pyramid(make.noise(256)[:, :128], "data").levels
    assert [(x.width, x.height) for x in levels] == [(8, 16), (16, 32), (32, 64), (64, 128), (128, 256)]


def test_colour_is_averaged_in_linear_light() -> None:
    # Half of the light is the sRGB code 188, not 128.
    assert abs(decoded(pyramid(checker(64), "color"), 32).mean() - 188) < 2


def test_data_is_averaged_as_stored() -> None:
    assert abs(decoded(pyramid(checker(64), "data"), 32).mean() - 127.5) < 2


def test_normals_stay_of_unit_length() -> None:
    tilted = np.full((64, 64, 3), 128, np.uint8)
    tilted[:, ::2] = [128 + 110, 128, 128 + 64]
    tilted[:, 1::2] = [128 - 110, 128, 128 + 64]
    vectors = decoded(pyramid(tilted, "normal"), 32) / 127.5 - 1
    assert np.abs(np.linalg.norm(vectors, axis=2) - 1).max() < 0.05


def test_odd_sizes_halve_too() -> None:
    wide = pyramid(np.full((5, 300, 3), 77, np.uint8), "data").levels
    assert [(x.width, x.height) for x in wide] == [(9, 1), (18, 1), (37, 1), (75, 1), (150, 2), (300, 5)]
    ramp = np.repeat(np.linspace(0, 255, 75)[None, :, None], 51, axis=0).repeat(3, axis=2).astype(np.uint8)
    assert abs(decoded(pyramid(ramp, "data"), 37).mean() - ramp.mean()) < 2
    assert [(x.width, x.height) for x in pyramid(np.zeros((1, 1, 3), np.uint8), "color").levels] == [(1, 1)]


def test_a_strip_of_colours_has_one_level_and_keeps_them() -> None:
    texels = make.noise(256)[:1]
    built = pyramid(texels, "color", Settings())
    assert [level.width for level in built.levels] == [256]
    assert (decoded(built, 256) == texels[:, :, :3]).all()


def test_each_role_has_its_own_size_limit() -> None:
    capped = Settings(max_color_pixels=64, max_normal_pixels=32, max_data_pixels=100)
    found = {role: pyramid(make.noise(256), role, capped).levels[-1].width for role in get_args(Role)}
    assert found == {"color": 64, "normal": 32, "data": 100}


def test_a_picture_reduced_to_the_limit_is_averaged_by_role() -> None:
    assert abs(decoded(pyramid(checker(64), "color", replace(BEST, max_color_pixels=32)), 32).mean() - 188) < 2


def test_transparent_pixels_do_not_bleed_their_colour() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, ::2] = [255, 0, 0, 255]
    pixels[:, 1::2] = [0, 255, 0, 0]
    small = decoded(pyramid(pixels, "color"), 32)
    assert small.shape[2] == 4
    assert small[:, :, 0].mean() > 245
    assert small[:, :, 1].mean() < 10
    assert abs(small[:, :, 3].mean() - 127.5) < 3


@pytest.mark.parametrize(("mode", "green"), [("OPAQUE", 188), ("BLEND", 255), ("MASK", 255)])
def test_colours_have_full_weight_if_the_material_ignores_alpha(
    build: Callable[..., Built], mode: str, green: int
) -> None:
    pixels = np.zeros((512, 512, 4), np.uint8)
    pixels[:, ::2] = [0, 255, 0, 255]  # beside transparent black, which is visible if alpha is ignored
    maker = make.textured_sphere(12, 16)
    maker.json["images"][0]["bufferView"] = maker.view(make.png(pixels))
    maker.json["materials"][0]["alphaMode"] = mode
    document, chunk = build(maker).base
    view = document["bufferViews"][document["images"][0]["bufferView"]]
    small = Image.open(io.BytesIO(chunk[view["byteOffset"] :][: view["byteLength"]]))
    assert small.size in ((128, 128), (256, 256))
    assert small.mode == "RGBA"
    assert abs(np.asarray(small)[:, :, 1].mean() - green) < 3


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


def test_one_picture_inside_one_model_and_beside_another_is_stored_once(tmp_path: Path) -> None:
    inside = make.textured_sphere(12, 16)
    beside = make.textured_sphere(12, 16)
    (tmp_path / "wood.png").write_bytes(make.png(make.noise(256)))
    beside.json["images"] = [{"name": "wood", "uri": "wood.png"}]
    first, second = (
        build_file(make.save(maker, tmp_path, name), tmp_path / "build")
        for maker, name in ((inside, "inside"), (beside, "beside"))
    )
    assert pictures(first) == pictures(second)
    assert len(list((tmp_path / "build").rglob("*.webp"))) == len(first.manifest["textures"][0]["levels"]) - 1


def test_two_images_with_the_same_bytes_are_one(build: Callable[..., Built]) -> None:
    maker = make.textured_sphere(12, 16)
    again = maker.picture(make.noise(256), "the same under another name")
    maker.json["materials"][1]["emissiveTexture"] = {"index": again}
    built = build(maker)
    assert len(built.manifest["textures"]) == 1
    assert [m["textures"] for m in built.manifest["materials"]] == [[0], [0]]


def test_images_that_no_texture_uses_are_not_read(build: Callable[..., Built]) -> None:
    maker = make.textured_sphere(12, 16)
    maker.json["images"] += [
        {"uri": "left-behind.png"},
        {"mimeType": "image/png", "bufferView": maker.view(b"rubbish")},
    ]
    maker.json["textures"].append({"source": 2})  # a texture that no material uses
    assert len(build(maker).manifest["textures"]) == 1


def test_a_wrong_media_type_is_ignored(build: Callable[..., Built]) -> None:
    maker = make.textured_sphere(12, 16)
    maker.json["images"][0]["mimeType"] = "image/jpeg"
    assert len(build(maker).manifest["textures"]) == 1


@pytest.mark.parametrize(("texture_format", "suffix"), [("png", "png"), ("jpeg", "jpg")])
def test_with_png_or_jpeg_the_base_needs_no_picture_extension(
    build: Callable[..., Built], texture_format: str, suffix: str
) -> None:
    built = build(make.textured_sphere(12, 16), settings=Settings(texture_format=texture_format))
    document, _ = built.base
    assert "EXT_texture_webp" not in document["extensionsUsed"]
    assert document["textures"] == [{"source": 0}]
    assert document["images"][0]["mimeType"] == {"png": "image/png", "jpg": "image/jpeg"}[suffix]
    assert pictures(built)[1].endswith(f".{suffix}")


def test_png_keeps_every_pixel() -> None:
    pixels = make.noise(64, channels=4)
    level = pyramid(pixels, "color", Settings(texture_format="png")).levels[-1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(level.content))), pixels)


def test_with_jpeg_pictures_with_alpha_become_png() -> None:
    jpeg = Settings(texture_format="jpeg")
    assert {x.format for x in pyramid(make.noise(128, channels=4), "color", jpeg).levels} == {"png"}
    assert {x.format for x in pyramid(make.noise(128), "color", jpeg).levels} == {"jpg"}
    # Normal maps lose the alpha of their files.
    assert {x.format for x in pyramid(make.noise(128, channels=4), "normal", jpeg).levels} == {"jpg"}


def test_only_the_smallest_level_is_in_the_base(build: Callable[..., Built]) -> None:
    (texture,) = build(make.textured_sphere(12, 16, picture=512)).manifest["textures"]
    assert [level["uri"] is None for level in texture["levels"]] == [True, False, False]
    assert [level["width"] for level in texture["levels"]] == [128, 256, 512]


@pytest.mark.parametrize(("pixels", "width"), [(make.noise(512) // 16, 256), (make.noise(512), 128)])
def test_a_base_has_a_finer_colour_picture_if_that_is_cheap(pixels: np.ndarray, width: int, tmp_path: Path) -> None:
    maker = make.Maker()
    positions, normals, uv, triangles = make.bumpy_sphere(12, 16)
    material = maker.material(pbrMetallicRoughness={"baseColorTexture": {"index": maker.picture(pixels)}})
    maker.node(mesh=maker.mesh(maker.primitive(positions, triangles, material, NORMAL=normals, TEXCOORD_0=uv)))
    built = build_file(make.save(maker, tmp_path, "ball"), tmp_path / "build")
    assert built.manifest["textures"][0]["levels"][0]["width"] == width
