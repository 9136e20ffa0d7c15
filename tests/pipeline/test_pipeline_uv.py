"""The precision of texture coordinates follows the size of their pictures, and nothing else of these."""

from __future__ import annotations

from collections.abc import Callable

import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from hypothesis import given
from hypothesis import strategies as st
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.gltf.draco import MAX_UV_BITS, Grid, encode_primitive, uv_bits
from streamxr.pipeline.gltf.texture_uses import texels_per_uv
from streamxr.pipeline.settings import Settings

GRID = Grid((-1.0, -1.0, -1.0), 2.0, 14)


@given(st.sampled_from([1, 16, 256, 1000, 2048, 4096]), st.floats(0.01, 60), st.floats(-5, 5))
def test_a_step_is_at_most_a_quarter_of_a_texel(texels: int, span: float, start: float) -> None:
    uv = start + span * np.random.default_rng(1).random((50, 2))
    positions = np.random.default_rng(2).uniform(-1, 1, (50, 3))
    triangles = np.arange(48).reshape(-1, 3)
    numbers = np.repeat(np.arange(50, dtype=np.float32)[:, None], 3, axis=1)  # a target that identifies each vertex
    attributes = {"POSITION": positions, "TEXCOORD_0": uv}
    encoded = encode_primitive(attributes, triangles, GRID, Settings(), [{"POSITION": numbers}], texels=texels)
    order = encoded.targets[0]["POSITION"][:, 0].astype(int)
    moved = np.abs(encoded.attributes["TEXCOORD_0"].values - uv[order]).max()
    float32 = np.abs(uv).max() * 2.0**-23
    assert moved <= 0.5 * 0.25 / texels + float32


def test_there_are_no_more_bits_than_that_step_needs() -> None:
    unit = np.array([[0.0, 0.0], [1.0, 0.5]])
    assert uv_bits(unit, 2048) == 14  # 8,192 steps need one value more
    assert uv_bits(unit * 0.5, 2048) == 13
    assert uv_bits(unit * 1000, 8192) == MAX_UV_BITS


def test_texels_are_those_of_the_largest_finest_level_times_its_repeats() -> None:
    maker = make.Maker()
    small, large = (maker.picture(make.noise(side)) for side in (64, 256))
    tiled = {"index": small, "extensions": {"KHR_texture_transform": {"scale": [6, 1]}}}
    maker.material(pbrMetallicRoughness={"baseColorTexture": {"index": large}}, normalTexture={"index": small})
    maker.material(pbrMetallicRoughness={"baseColorTexture": {"index": large, "texCoord": 1}}, emissiveTexture=tiled)
    maker.material(name="plain")
    document = Document("", maker.json | {"buffers": [{}]}, (bytes(maker.chunk),), {}, "", 0)
    settings = Settings(max_color_pixels=128)
    assert [texels_per_uv(document, m, Settings()) for m in (0, 1, 2, None)] == [256, 6 * 64, 0, 0]
    assert texels_per_uv(document, 0, settings) == 128


def geometry(built: Built) -> list[str]:
    return [r["refinement"]["uri"] for t in built.manifest["trees"] for r in t["regions"] if r["refinement"]]


@pytest.mark.parametrize("side", [64, 2048])
def test_repainting_a_picture_changes_no_geometry(build: Callable[..., Built], side: int) -> None:
    plain, other = np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 99, np.uint8)
    built = []
    for number, pixels in enumerate((plain, other)):
        maker = make.textured_sphere(40, 60)
        maker.json["images"][0]["bufferView"] = maker.view(make.png(pixels))
        built.append(build(maker, f"ball{number}"))
    first, second = built
    assert geometry(first) == geometry(second) != []
    fine = {64: 9, 2048: 14}[side]
    assert uv_bits(np.array([[0.0, 0.0], [1.0, 1.0]]), side) == fine
