"""Pictures in each format of a bundle."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from servers import script, serve
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.pictures.ktx2 import find_encoder
from visit import Visit

HERE = Path(__file__).parent
FORMATS = ("png", "jpeg", "ktx2")
# A sphere with a colour texture of bands, with noise that is too many bytes for the base, and a normal texture of
# bumps.
MAKE_BALL = """
import sys, pathlib, numpy as np, gltf_maker as make
v, u = np.mgrid[0:256, 0:256] / 256
color = np.stack([0.5 + 0.4 * np.sin(60 * u), 0.5 + 0.4 * np.cos(42 * v), u * v], axis=-1) * 255
color = np.clip(color + np.random.default_rng(1).normal(0, 3, color.shape), 0, 255)
slope = np.stack([0.3 * np.cos(40 * u), 0.3 * np.cos(40 * v), np.ones_like(u)], axis=-1)
normal = (slope / np.linalg.norm(slope, axis=-1, keepdims=True) + 1) * 127.5
maker = make.Maker()
positions, normals, uv, triangles = make.bumpy_sphere(24, 32, bump=0)
textures = [{"index": maker.picture(color, "color")}, {"index": maker.picture(normal, "bumps")}]
maker.material(pbrMetallicRoughness={"baseColorTexture": textures[0], "metallicFactor": 0}, normalTexture=textures[1])
maker.node(mesh=maker.mesh(maker.primitive(positions, triangles, 0, NORMAL=normals, TEXCOORD_0=uv)))
make.save(maker, pathlib.Path(sys.argv[1]), "ball")
"""

UNLOAD = """() => {
    const { demo, streamxr } = window.streamxr;
    const before = demo.renderer.info.memory.textures;
    streamxr.unload([...streamxr.shown][0]);
    return before - demo.renderer.info.memory.textures;
}"""


@dataclass(frozen=True)
class Look:
    """The picture and the levels once all detail was drawn, and the textures freed by unloading the asset."""

    levels: list[int]
    requested: list[str]
    crashes: list[str]
    pixels: np.ndarray
    freed: int


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ball")
    subprocess.run([sys.executable, "-c", MAKE_BALL, folder], cwd=HERE.parent / "pipeline", check=True)
    return folder / "ball.glb"


@pytest.fixture(scope="module")
def looks(ball: Path, browser: Browser) -> dict[str, Look]:
    """By texture format, as far as the encoder is installed."""
    formats = list(FORMATS)
    try:
        find_encoder()
    except ModelError:
        formats.remove("ktx2")
    return {texture_format: look_at(ball, texture_format, browser) for texture_format in formats}


def look_at(ball: Path, texture_format: str, browser: Browser) -> Look:
    bundle = ball.parent / texture_format
    subprocess.run([script("streamxr"), "build", ball, "-o", bundle, "--texture-format", texture_format], check=True)
    with serve(bundle) as site:
        visit = Visit(browser, site, "camera=0,1,1.6,0,1,0")
        try:
            visit.settle()
            levels = visit.page.evaluate("streamxr.session.streamer.assets[0].drawnLevels")
            pixels = np.asarray(Image.open(io.BytesIO(visit.picture())).convert("RGB")).astype(int)
            freed = visit.page.evaluate(UNLOAD)
            return Look(levels, list(visit.requested), visit.crashes, pixels, freed)
        finally:
            visit.close()


@pytest.mark.parametrize("texture_format", FORMATS)
def test_pictures_of_each_format_reach_their_finest_level_and_look_the_same(
    looks: dict[str, Look], texture_format: str
) -> None:
    if texture_format not in looks:
        pytest.skip("there is no KTX2 encoder: npm ci in viewer/ installs one")
    look = looks[texture_format]
    assert look.crashes == []
    assert look.levels == [1, 1]
    ending = {"jpeg": ".jpg"}.get(texture_format, f".{texture_format}")
    assert sum(url.endswith(ending) for url in look.requested) == 2
    # ETC1S blocks differ from bands with noise by 5.7 on average; a wrong colour space would differ by 20.
    assert np.abs(look.pixels - looks["png"].pixels).mean() < 8
    assert look.pixels.std() > 20, "the picture is not empty"


def test_the_transcoder_is_loaded_only_for_a_ktx2_picture(looks: dict[str, Look]) -> None:
    for texture_format, look in looks.items():
        assert any("/basis/" in url for url in look.requested) == (texture_format == "ktx2")


def test_an_unloaded_asset_leaves_no_picture_on_the_gpu(looks: dict[str, Look]) -> None:
    # The two pictures of the base, and the two levels that replaced them.
    assert {look.freed for look in looks.values()} == {4}
