"""Wavefront MTL: the materials of an OBJ file, and the pictures that they name."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from ..errors import ModelError
from ..gltf.document import Json
from ..pictures.codec import MAX_PIXELS
from ..pictures.color import srgb_to_linear
from .translated import Translated

# Map statements that have a place in glTF; `bump` and `map_bump` only where the picture is a normal map.
MAPS = ("map_kd", "map_ke", "map_d", "map_pr", "map_pm", "norm", "bump", "map_bump")
# Options of a map statement and how many words follow each at most.
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2,
            "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1}  # fmt: skip
# Other pictures become PNG, the one lossless format that glTF takes.
_GLTF_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
_GLTF_FORMATS = ("PNG", "JPEG", "WEBP")
_OTHER_FORMATS = ("TGA", "BMP", "TIFF", "GIF")
MOSTLY_BLUE = 0.7  # of full blue: the mean of a normal map, whose texels point outwards; no height map is blue
CUT_OUT = 0.98  # an opacity picture with more than this share of black and white cuts out, and blends nothing


@dataclass(frozen=True)
class Map:
    """A map statement: the picture's path as written, and how its coordinates are moved."""

    picture: str
    scale: tuple[float, float]
    offset: tuple[float, float]
    strength: float


def picture_names(library: bytes) -> Iterator[tuple[int, str]]:
    """Line number and path of every picture that glTF has a place for."""
    for number, words in _statements(library):
        if words[0].lower() in MAPS and len(words) > 1:
            yield number, read_map(words[1:]).picture


def read_materials(library: bytes, title: str, pictures: Mapping[str, bytes], result: Translated) -> None:
    """Add the materials of a library to `result`.

    title: the library's name, for errors. pictures: the contents behind each path that `picture_names` gives.
    """
    material: _Material | None = None
    left_out: set[str] = set()
    for number, words in _statements(library):
        place = f"{title}, line {number}"
        if words[0].lower() == "newmtl":
            if material is not None:
                material.finish(pictures, result)
            material = _Material(" ".join(words[1:]), place)
        elif material is not None and len(words) > 1 and not material.take(words, place):
            left_out.add(words[0])
    if material is not None:
        material.finish(pictures, result)
    if left_out:
        result.notes.append(f"{title}: left out, since glTF has no place for it: {', '.join(sorted(left_out))}")


def read_map(words: list[str]) -> Map:
    """A map statement without its keyword; file names may hold spaces."""
    found: dict[str, list[str]] = {}
    at = 0
    while at < len(words) - 1 and (most := _OPTIONS.get(words[at].lower())):
        option = words[at].lower()
        at += 1
        last = min(at + most, len(words) - 1)
        # -o, -s and -t take one to three numbers.
        while at < last and (most < 3 or _is_number(words[at])):
            found.setdefault(option, []).append(words[at])
            at += 1

    def pair(option: str, default: float) -> tuple[float, float]:
        values = [float(word) for word in found.get(option, []) if _is_number(word)] + [default] * 2
        return values[0], values[1]

    strength = found.get("-bm", ["1"])[0]
    name = " ".join(words[at:]).strip('"').replace("\\", "/")
    return Map(name, pair("-s", 1.0), pair("-o", 0.0), float(strength) if _is_number(strength) else 1.0)


class _Material:
    """Collects the statements of one material."""

    pictures: Mapping[str, bytes]
    result: Translated

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.place = place
        self.color: list[float] | None = None
        self.emission: list[float] | None = None
        self.opacity: float | None = None
        self.transparency: float | None = None
        self.roughness = 0.9
        self.metal: float | None = None
        self.maps: dict[str, Map] = {}

    def take(self, words: list[str], place: str) -> bool:
        """Take a statement in; False where glTF has no place for it and it would be missed."""
        keyword = words[0].lower()
        if keyword in ("kd", "ke"):
            if words[1].lower() in ("spectral", "xyz"):
                return False
            if keyword == "kd":
                self.color = _color(words, place)
            else:
                self.emission = _color(words, place)
        elif keyword == "d":
            self.opacity = _unit(words[-1], place)
        elif keyword == "tr":
            self.transparency = _unit(words[-1], place)
        elif keyword == "ns":
            # Blinn-Phong exponent to roughness: n = 2 / r⁴ − 2 (Walter et al. 2007, with r² as GGX's width).
            self.roughness = min(1.0, (2.0 / (max(0.0, _number(words[-1], place)) + 2.0)) ** 0.25)
        elif keyword == "pr":
            self.roughness = _unit(words[-1], place)
        elif keyword == "pm":
            self.metal = _unit(words[-1], place)
        elif keyword in MAPS:
            self.maps[keyword] = read_map(words[1:])
        else:
            return not keyword.startswith(("map_", "disp", "decal", "refl"))
        return True

    def finish(self, pictures: Mapping[str, bytes], result: Translated) -> None:
        """Append the material and its pictures."""
        self.pictures, self.result = pictures, result
        # Where both are given, as some exporters do with Tr = d, the opacity counts.
        alpha = self.opacity if self.opacity is not None else 1.0 - (self.transparency or 0.0)
        has_color = "map_kd" in self.maps
        color = self.color if self.color is not None and not has_color else [1.0, 1.0, 1.0]
        pbr: Json = {"baseColorFactor": [*color, alpha], "metallicFactor": self.metal or 0.0}
        pbr["roughnessFactor"] = self.roughness
        material: Json = {"name": self.name, "pbrMetallicRoughness": pbr, "doubleSided": True}
        if alpha < 1.0:
            material["alphaMode"] = "BLEND"
        if "map_d" in self.maps:
            material["alphaMode"] = self._opacity(pbr, has_color)
        elif has_color:
            pbr["baseColorTexture"] = self._texture("map_kd")
        if "map_pr" in self.maps or "map_pm" in self.maps:
            self._metal_and_roughness(pbr)
        if "map_ke" in self.maps:
            # Exporters write Ke 0 beside a map; light of no colour is no light.
            material |= {"emissiveTexture": self._texture("map_ke"), "emissiveFactor": [1.0, 1.0, 1.0]}
        elif self.emission is not None and max(self.emission) > 0:
            material["emissiveFactor"] = self.emission
        self._normals(material)
        result.materials.append(material)

    def _texture(self, keyword: str, title: str = "", content: bytes = b"") -> Json:
        """A textureInfo for a map's own picture, or for one that was made of it."""
        use = self.maps[keyword]
        if not content:
            title = use.picture
            content = _as_gltf(self.pictures[title], f"{self.place}, {title}")
        # One picture is stored once, under whatever names it comes.
        contents = [known for _, known in self.result.images]
        if content not in contents:
            contents.append(content)
            self.result.images.append((PurePosixPath(title).name, content))
        info: Json = {"index": contents.index(content)}
        if use.scale != (1.0, 1.0) or use.offset != (0.0, 0.0):
            (su, sv), (ou, ov) = use.scale, use.offset
            # v points up in OBJ and down in glTF.
            transform = {"scale": [su, sv], "offset": [ou, 1.0 - sv - ov]}
            info["extensions"] = {"KHR_texture_transform": transform}
        return info

    def _open(self, keyword: str, mode: str) -> Image.Image:
        title = self.maps[keyword].picture
        return _opened(self.pictures[title], f"{self.place}, {title}").convert(mode)

    def _opacity(self, pbr: Json, has_color: bool) -> str:
        """The colour picture with the opacity picture as its alpha; returns the alpha mode."""
        title = self.maps["map_d"].picture
        picture = _opened(self.pictures[title], f"{self.place}, {title}")
        opacity = picture.getchannel("A") if "A" in picture.getbands() else picture.convert("L")
        color = self._open("map_kd", "RGB") if has_color else Image.new("RGB", opacity.size, (255, 255, 255))
        opacity = opacity.resize(color.size) if opacity.size != color.size else opacity
        color.putalpha(opacity)
        keyword = "map_kd" if has_color else "map_d"
        pbr["baseColorTexture"] = self._texture(keyword, f"{self.maps[keyword].picture} with opacity", _png(color))
        counts = opacity.histogram()
        return "MASK" if sum(counts[:8]) + sum(counts[-8:]) > CUT_OUT * sum(counts) else "BLEND"

    def _metal_and_roughness(self, pbr: Json) -> None:
        """One picture of both: roughness is glTF's green, metal its blue."""
        green = self._open("map_pr", "L") if "map_pr" in self.maps else None
        blue = self._open("map_pm", "L") if "map_pm" in self.maps else None
        size = max((p.size for p in (green, blue) if p is not None), key=lambda s: s[0] * s[1])
        channels = [Image.new("L", size, 255)]
        channels += [Image.new("L", size, 255) if p is None else p.resize(size) for p in (green, blue)]
        packed = _png(Image.merge("RGB", channels))
        keyword = "map_pr" if green is not None else "map_pm"
        pbr["metallicRoughnessTexture"] = self._texture(keyword, f"{self.maps[keyword].picture} packed", packed)
        pbr["roughnessFactor"] = 1.0 if green is not None else self.roughness
        pbr["metallicFactor"] = 1.0 if blue is not None else pbr["metallicFactor"]

    def _normals(self, material: Json) -> None:
        if "norm" in self.maps:
            material["normalTexture"] = self._texture("norm")
            return
        keyword = next((k for k in ("map_bump", "bump") if k in self.maps), None)
        if keyword is None:
            return
        blue = self._open(keyword, "RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(blue, tuple)
        if blue[2] < MOSTLY_BLUE * 255 or max(blue[:2]) > 0.6 * 255:
            self.result.notes.append(f"{self.maps[keyword].picture} is a height map, which glTF has no place for")
            return
        material["normalTexture"] = self._texture(keyword)
        if self.maps[keyword].strength != 1.0:
            material["normalTexture"]["scale"] = self.maps[keyword].strength


def _statements(library: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and words of the lines that say something."""
    for number, raw in enumerate(library.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        words = raw.decode("utf-8", "replace").split()
        if words and not words[0].startswith("#"):
            yield number, words


def _as_gltf(content: bytes, place: str) -> bytes:
    """The picture as it is where glTF takes its format, else as PNG."""
    return content if content.startswith(_GLTF_MAGIC) else _png(_opened(content, place))


def _opened(content: bytes, place: str) -> Image.Image:
    known = content.startswith(_GLTF_MAGIC)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_GLTF_FORMATS if known else _OTHER_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ModelError(f"is over {MAX_PIXELS:,} pixels", place=place, remedy="make it smaller") from None
    except (OSError, SyntaxError, ValueError) as error:
        remedy = "save it as PNG or JPEG"
        raise ModelError(f"is no readable picture: {str(error)[:120]}", place=place, remedy=remedy) from None


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _color(words: list[str], place: str) -> list[float]:
    """Three components, taken as sRGB (as modelling programs show them), linear; one stands for all."""
    values = [_unit(word, place) for word in words[1:4]]
    values = values * 3 if len(values) == 1 else values
    if len(values) != 3:
        raise ModelError(f'"{" ".join(words)[:60]}" is no colour', place=place)
    codes = np.rint(np.array(values) * 255).astype(np.uint8)
    return [round(float(x), 6) for x in srgb_to_linear(codes)]


def _unit(word: str, place: str) -> float:
    return min(1.0, max(0.0, _number(word, place)))


def _number(word: str, place: str) -> float:
    if not _is_number(word) or not np.isfinite(float(word)):
        raise ModelError(f'"{word[:40]}" is not a finite number', place=place)
    return float(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
