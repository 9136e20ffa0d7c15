"""KTX2 levels from the real encoder, beside a base that every viewer opens."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gltf_maker as make
import pytest
from builds import Built
from streamxr.pipeline.build import build as build_folder
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.pictures import ktx2
from streamxr.pipeline.pictures.levels import level_sizes, too_large_for_ktx2
from streamxr.pipeline.settings import Settings

KTX2 = Settings(texture_format="ktx2")
ETC1S, UASTC = 163, 166  # Khronos Data Format: KHR_DF_MODEL_ETC1S, KHR_DF_MODEL_UASTC
LINEAR, SRGB = 1, 2


@pytest.fixture
def encoder() -> None:
    try:
        ktx2.find_encoder()
    except ModelError:
        pytest.skip("no KTX2 encoder is installed: npm ci in viewer/ installs it")


def describe(content: bytes) -> dict[str, int]:
    """Header fields of a KTX2 file: KTX File Format Specification 2.0, sections 3 and 4."""
    width, height, _, _, _, levels = struct.unpack_from("<6I", content, 20)
    dfd = struct.unpack_from("<I", content, 48)[0]
    model, _, transfer = struct.unpack_from("<3B", content, dfd + 12)
    return {"width": width, "height": height, "levels": levels, "model": model, "transfer": transfer}


@pytest.mark.usefixtures("encoder")
def test_finer_levels_are_ktx2_for_their_role_and_the_base_stays_webp(build: Callable[..., Built]) -> None:
    maker = make.textured_sphere(12, 16)
    bumps = maker.picture(make.noise(256, seed=1), "bumps")
    maker.json["materials"][0]["normalTexture"] = {"index": bumps}
    built = build(maker, settings=KTX2)
    assert {image["mimeType"] for image in built.base[0]["images"]} == {"image/webp"}
    color, normal = (
        describe((built.root / texture["levels"][-1]["uri"]).read_bytes()) for texture in built.manifest["textures"]
    )
    assert color == {"width": 256, "height": 256, "levels": 9, "model": ETC1S, "transfer": SRGB}
    assert normal == {"width": 256, "height": 256, "levels": 9, "model": UASTC, "transfer": LINEAR}


@pytest.mark.usefixtures("encoder")
def test_the_same_pixels_give_the_same_file() -> None:
    pixels = make.noise(32, channels=4)
    assert ktx2.encode(pixels, "color") == ktx2.encode(pixels, "color")


def test_gpu_bytes_count_blocks() -> None:
    # 8×8 pixels: 4 blocks, then one for each of 4×4, 2×2 and 1×1.
    assert ktx2.gpu_bytes(8, 8, "color", alpha=False) == 7 * 8
    assert ktx2.gpu_bytes(8, 8, "color", alpha=True) == 7 * 16
    assert ktx2.gpu_bytes(8, 8, "normal", alpha=False) == 7 * 16


def test_sides_of_ktx2_levels_are_whole_blocks() -> None:
    assert level_sizes(1000, 750, "color", KTX2)[-4:] == [(125, 93), (248, 184), (500, 372), (1000, 748)]
    assert level_sizes(4096, 1, "data", KTX2)[-1] == (4096, 4)


def test_pictures_too_large_for_the_encoder_are_halved() -> None:
    assert level_sizes(4096, 4096, "color", KTX2)[-1] == (2048, 2048)
    assert too_large_for_ktx2(4096, 4096, "color", KTX2)
    assert not too_large_for_ktx2(4096, 2048, "color", KTX2)
    assert not too_large_for_ktx2(4096, 4096, "color", Settings())


def test_a_missing_encoder_is_reported_before_the_build_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.save(make.textured_sphere(12, 16), tmp_path, "ball")
    monkeypatch.setenv("PATH", str(tmp_path))
    ktx2.find_encoder.cache_clear()
    with pytest.raises(ModelError, match="npm install"):
        build_folder(tmp_path, tmp_path / "build", KTX2, jobs=1)
    assert not (tmp_path / "build").exists()
