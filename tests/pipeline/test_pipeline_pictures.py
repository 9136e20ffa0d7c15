"""PNG, JPEG and WebP files of every kind are decoded as glTF specifies, or refused with a clear error."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from PIL import Image
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.pictures.codec import decode_picture, picture_size

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
RGBA = RNG.integers(0, 256, (6, 9, 4)).astype(np.uint8)
GREY = RGB[:, :, 0]


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def png_file(
    width: int, height: int, depth: int, kind: int, raw: bytes, *chunks: tuple[bytes, bytes], adam7: int = 0
) -> bytes:
    """A PNG file of filtered rows, of kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, adam7)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def rows(values: np.ndarray) -> bytes:
    """PNG rows without a filter; 16-bit values are big-endian."""
    flat = values.reshape(len(values), -1)
    return b"".join(b"\0" + row.astype(values.dtype.newbyteorder(">")).tobytes() for row in flat)


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, None], 3, axis=2)


def interlaced(pixels: np.ndarray) -> bytes:
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    parts = [pixels[y::dy, x::dx] for y, dy, x, dx in passes]
    return b"".join(rows(part) for part in parts if part.size)


DEEP = RNG.integers(0, 65536, (6, 9)).astype(np.uint16)
DEEP_RGBA = RNG.integers(0, 65536, (6, 9, 4)).astype(np.uint16)
PALETTE = RNG.integers(0, 256, (16, 3)).astype(np.uint8)
INDEX = RNG.integers(0, 16, (6, 9)).astype(np.uint8)
FADE = np.linspace(0, 255, 16).astype(np.uint8)
PLTE = (b"PLTE", PALETTE.tobytes())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(Image.fromarray(RGB), "PNG"), RGB),
        (saved(Image.fromarray(RGBA), "PNG"), RGBA),
        (saved(Image.fromarray(RGBA[:, :, :2], "LA"), "PNG"), np.dstack([grey3(RGBA[:, :, 0]), RGBA[:, :, 1]])),
        (saved(Image.fromarray(GREY > 99), "PNG"), grey3((GREY > 99) * 255)),
        (png_file(9, 6, 16, 0, rows(DEEP)), grey3(DEEP >> 8)),
        (
            png_file(9, 6, 16, 0, rows(DEEP), (b"tRNS", struct.pack(">H", DEEP[2, 3]))),
            np.dstack([grey3(DEEP >> 8), np.where(np.isin(DEEP, DEEP[2, 3]), 0, 255)]),
        ),
        (png_file(9, 6, 16, 6, rows(DEEP_RGBA)), DEEP_RGBA >> 8),
        (png_file(9, 6, 8, 3, rows(INDEX), PLTE), PALETTE[INDEX]),
        (
            png_file(9, 6, 8, 3, rows(INDEX), PLTE, (b"tRNS", FADE.tobytes())),
            np.dstack([PALETTE[INDEX], FADE[INDEX]]),
        ),
        (png_file(9, 6, 8, 2, interlaced(RGB), adam7=1), RGB),
        (saved(Image.fromarray(RGBA), "WEBP", lossless=True, exact=True), RGBA),
        (saved(Image.fromarray(RGB[:1, :1]), "PNG"), RGB[:1, :1]),
    ],
    ids=["rgb", "rgba", "grey-alpha", "1-bit", "16-bit-grey", "16-bit-grey-key", "16-bit-rgba", "palette",
         "palette-alpha", "interlaced", "webp", "1x1"],
)  # fmt: skip
def test_pixels_are_decoded_exactly(content: bytes, expected: np.ndarray) -> None:
    assert np.array_equal(decode_picture(content, "image 0"), expected)
    assert picture_size(content, "image 0") == (expected.shape[1], expected.shape[0])


def test_an_opaque_alpha_channel_is_dropped() -> None:
    opaque = np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)])
    assert decode_picture(saved(Image.fromarray(opaque), "PNG"), "image 0").shape[2] == 3


def test_orientation_profile_and_gamma_are_ignored() -> None:
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    plain = saved(image, "JPEG", quality=95)
    assert np.array_equal(
        decode_picture(saved(image, "JPEG", quality=95, exif=exif), "image 0"), decode_picture(plain, "image 0")
    )
    profiled = saved(image, "PNG", icc_profile=b"\x00" * 128)
    assert np.array_equal(decode_picture(profiled, "image 0"), RGB)
    dark = png_file(9, 6, 8, 2, rows(RGB), (b"gAMA", struct.pack(">I", 100000)))
    assert np.array_equal(decode_picture(dark, "image 0"), RGB)


def test_cmyk_jpegs_become_rgb() -> None:
    red = Image.new("RGB", (32, 32), (220, 30, 20)).convert("CMYK")
    found = decode_picture(saved(red, "JPEG", quality=95), "image 0")
    assert np.abs(found.astype(int) - [220, 30, 20]).max() < 12


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_decoded(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ((200, 10, 10), (10, 200, 10))]
    options = {"lossless": True} if name == "WEBP" else {}
    content = saved(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert (decode_picture(content, "image 0") == [200, 10, 10]).all()


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_damaged_files_are_decoded_or_refused_with_their_place(name: str) -> None:
    whole = saved(Image.fromarray(make.noise(24)), name)
    refused = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        damaged = bytearray(whole)
        if seed % 3 == 0:
            del damaged[int(random.integers(1, len(damaged))) :]
        for _ in range(seed % 5):
            damaged[int(random.integers(len(damaged)))] = int(random.integers(256))
        try:
            assert decode_picture(bytes(damaged), "image 7").dtype == np.uint8
        except ModelError as error:
            refused.append(error)
    assert len(refused) > 20
    assert {error.place for error in refused} == {"image 7"}
    assert all(error.remedy for error in refused)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    bomb = png_file(20000, 20000, 1, 0, b"")  # without pixels: the header alone must be refused
    with pytest.raises(ModelError, match="pixels"):
        decode_picture(bomb, "image 0")
