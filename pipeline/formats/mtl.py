"""Wavefront MTL: read the materials of an OBJ file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..errors import ModelError
from ..pictures.color import srgb_to_linear

# Map statements with a counterpart in glTF; `bump` and `map_bump` only if the picture is a normal map.
MAPS = ("map_kd", "map_ke", "map_d", "map_pr", "map_pm", "norm", "bump", "map_bump")
# Options of a map statement, with the largest number of words after each.
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2,
            "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1}  # fmt: skip


@dataclass(frozen=True)
class Map:
    """A map statement: the path of the picture as written, and the transform of its coordinates.

    strength: of a normal map.
    """

    picture: str
    scale: tuple[float, float]
    offset: tuple[float, float]
    strength: float


@dataclass
class MtlMaterial:
    """The statements of one material. Colours are linear; maps are by keyword in lower case."""

    name: str
    place: str
    color: list[float] | None = None
    emission: list[float] | None = None
    opacity: float | None = None
    transparency: float | None = None
    roughness: float = 0.9
    metalness: float | None = None
    maps: dict[str, Map] = field(default_factory=dict)

    def read(self, words: list[str], place: str) -> bool:
        """Read a statement. Returns false if it changes the picture and glTF has no counterpart."""
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
            # Roughness r from a Blinn-Phong exponent: n = 2 / r⁴ − 2 (Walter et al. 2007, with r² as the width of GGX).
            self.roughness = min(1.0, (2.0 / (max(0.0, _number(words[-1], place)) + 2.0)) ** 0.25)
        elif keyword == "pr":
            self.roughness = _unit(words[-1], place)
        elif keyword == "pm":
            self.metalness = _unit(words[-1], place)
        elif keyword in MAPS:
            self.maps[keyword] = read_map(words[1:])
        else:
            return not keyword.startswith(("map_", "disp", "decal", "refl"))
        return True


def picture_names(library: bytes) -> Iterator[tuple[int, str]]:
    """The line number and the path of every picture that glTF has a counterpart for."""
    for number, words in _statements(library):
        if words[0].lower() in MAPS and len(words) > 1:
            yield number, read_map(words[1:]).picture


def parse_materials(library: bytes, title: str) -> tuple[list[MtlMaterial], set[str]]:
    """The materials of a library, and the keywords that glTF has no counterpart for.

    title: the name of the library, for errors. Raises ModelError with library and line.
    """
    materials: list[MtlMaterial] = []
    left_out: set[str] = set()
    for number, words in _statements(library):
        place = f"{title}, line {number}"
        if words[0].lower() == "newmtl":
            materials.append(MtlMaterial(" ".join(words[1:]), place))
        elif materials and len(words) > 1 and not materials[-1].read(words, place):
            left_out.add(words[0])
    return materials, left_out


def read_map(words: list[str]) -> Map:
    """Read the words of a map statement after its keyword. File names may contain spaces."""
    options: dict[str, list[str]] = {}
    at = 0
    while at < len(words) - 1 and (most := _OPTIONS.get(words[at].lower())):
        option = words[at].lower()
        at += 1
        last = min(at + most, len(words) - 1)
        # -o, -s and -t take one to three numbers.
        while at < last and (most < 3 or _is_number(words[at])):
            options.setdefault(option, []).append(words[at])
            at += 1

    def pair(option: str, default: float) -> tuple[float, float]:
        values = [float(word) for word in options.get(option, []) if _is_number(word)] + [default] * 2
        return values[0], values[1]

    strength = options.get("-bm", ["1"])[0]
    name = " ".join(words[at:]).strip('"').replace("\\", "/")
    return Map(name, pair("-s", 1.0), pair("-o", 0.0), float(strength) if _is_number(strength) else 1.0)


def _statements(library: bytes) -> Iterator[tuple[int, list[str]]]:
    """The line number and the words of each line that is not empty or a comment."""
    for number, raw in enumerate(library.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        words = raw.decode("utf-8", "replace").split()
        if words and not words[0].startswith("#"):
            yield number, words


def _color(words: list[str], place: str) -> list[float]:
    """A colour in linear light, from sRGB components, as modelling programs show them. One component is grey."""
    values = [_unit(word, place) for word in words[1:4]]
    values = values * 3 if len(values) == 1 else values
    if len(values) != 3:
        raise ModelError(f'"{" ".join(words)[:60]}" is not a colour', place=place)
    codes = np.rint(np.array(values) * 255).astype(np.uint8)
    return [round(float(x), 6) for x in srgb_to_linear(codes)]


def _unit(word: str, place: str) -> float:
    """A number, clamped to 0…1."""
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
