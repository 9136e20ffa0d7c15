"""Wavefront OBJ and MTL. Read here and not by a library, so that errors name the line and every file is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import numpy as np

from .document import Json, resolve
from .errors import ModelError
from .surface import AnyArray, BoolArray, FloatArray
from .textures import srgb_to_linear
from .translated import HARD_EDGE, Part, Translated, corner_normals, indexed, require_finite

_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
_MAP = re.compile(rb"^[ \t]*(map_Kd|map_Ke|norm)[ \t]+(.+?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
# Options of a map statement and how many words follow each.
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2,
            "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1}  # fmt: skip


def obj_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file, its material libraries and their pictures, each once; a library that is missing is left out."""
    raw = _read(path)
    yield path.name, raw
    seen: set[str] = set()
    for match in _LIBRARY.finditer(raw):
        library = _clean(match.group(1))
        content = _beside(path, library, "mtllib", optional=True)
        if library in seen or content is None:
            continue
        seen.add(library)
        yield library, content
        for line in _MAP.finditer(content):
            picture = _picture(line.group(2).decode("utf-8", "replace"))
            if picture not in seen:
                seen.add(picture)
                number = content.count(b"\n", 0, line.start()) + 1
                found = _beside(path, picture, f"{library}, line {number}", optional=False)
                assert found is not None
                yield picture, found


def read_obj(path: Path) -> Translated:
    """Read an OBJ file with its materials and pictures.

    Polygons are split into fans; lines and points are left out, with a note. Raises ModelError with file and line.
    """
    files = list(obj_files(path))
    content = dict(files)
    raw = files[0][1]
    scan = _Scan()
    for number, line in enumerate(raw.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").split(b"\n"), 1):
        try:
            scan.line(line)
        except (ValueError, IndexError):
            shown = line[:80].decode("utf-8", "replace").strip()
            raise ModelError(f'"{shown}" cannot be read', place=f"line {number:,}", remedy="export it again") from None
    result = Translated([], files=[c for _, c in files])
    for match in _LIBRARY.finditer(raw):
        library = _clean(match.group(1))
        if library not in content:
            result.notes.append(f"{library} is missing: its materials are plain")
        else:
            _read_mtl(content[library], library, content, result)
    known = {material["name"]: index for index, material in enumerate(result.materials)}
    for name in scan.materials:
        if name and name not in known:
            known[name] = len(result.materials)
            result.materials.append({"name": name, "pbrMetallicRoughness": {"metallicFactor": 0.0}})
    if scan.ignored:
        result.notes.append(f"{scan.ignored:,} lines or points of the OBJ are left out")
    _assemble(scan, known, result, path.stem)
    return result


class _Scan:
    """Collects the statements of an OBJ file."""

    def __init__(self) -> None:
        self.positions: list[tuple[float, ...]] = []
        self.colored = False
        self.uv: list[tuple[float, float]] = []
        self.normals: list[tuple[float, float, float]] = []
        self.materials: list[str] = [""]
        self.objects: list[str] = [""]
        self.corners: list[tuple[int, int, int]] = []  # of triangles, three a face; −1 where absent
        self.where: list[tuple[int, int]] = []  # object and material of each triangle
        self.ignored = 0
        self._material = 0
        self._object = 0
        self._index = {"": 0}

    def line(self, line: bytes) -> None:
        words = line.split()
        if not words:
            return
        keyword = words[0]
        if keyword == b"v":
            values = tuple(map(float, words[1:]))
            if len(values) < 3:
                raise ValueError
            self.colored |= len(values) >= 6
            self.positions.append(values[:3] + (values[3:6] if len(values) >= 6 else (1.0, 1.0, 1.0)))
        elif keyword == b"vt":
            self.uv.append((float(words[1]), float(words[2]) if len(words) > 2 else 0.0))
        elif keyword == b"vn":
            self.normals.append((float(words[1]), float(words[2]), float(words[3])))
        elif keyword == b"f":
            corners = [self._corner(word) for word in words[1:]]
            if len(corners) < 3:
                raise ValueError
            for second, third in pairwise(corners[1:]):
                self.corners += (corners[0], second, third)
                self.where.append((self._object, self._material))
        elif keyword in (b"l", b"p"):
            self.ignored += 1
        elif keyword == b"usemtl":
            name = _clean(line.split(None, 1)[1] if len(words) > 1 else b"")
            if name not in self._index:
                self._index[name] = len(self.materials)
                self.materials.append(name)
            self._material = self._index[name]
        elif keyword == b"o":
            self.objects.append(_clean(line.split(None, 1)[1] if len(words) > 1 else b""))
            self._object = len(self.objects) - 1

    def _corner(self, word: bytes) -> tuple[int, int, int]:
        parts = [*word.split(b"/"), b"", b""][:3]
        counts = (len(self.positions), len(self.uv), len(self.normals))
        found = [-1, -1, -1]
        for k, (part, count) in enumerate(zip(parts, counts, strict=True)):
            if not part:
                if k == 0:
                    raise ValueError
                continue
            index = int(part)
            index = index - 1 if index > 0 else count + index
            if not 0 <= index < count:
                raise IndexError
            found[k] = index
        return found[0], found[1], found[2]


def _assemble(scan: _Scan, known: dict[str, int], result: Translated, stem: str) -> None:
    """One object after the other, one part a material."""
    if not scan.corners:
        raise ModelError("holds no face", remedy="export at least one object with faces")
    vertices: FloatArray = np.array(scan.positions, np.float64)
    require_finite(vertices[:, :3], "vertices (v)")
    positions = vertices[:, :3] + 0.0
    index = np.array(scan.corners, np.int64).reshape(-1, 3, 3)
    points, texture, normal = index[:, :, 0], index[:, :, 1], index[:, :, 2]
    own_normals = corner_normals(positions, points, HARD_EDGE)
    if scan.normals:
        given = np.array(scan.normals, np.float64)
        length: FloatArray = np.asarray(np.linalg.norm(given, axis=1))
        good: BoolArray = np.asarray((length > 0) & (length < np.inf))  # false for NaN too
        unit = np.where(good[:, None], given / np.where(good, length, 1.0)[:, None], 0.0)
        use = (normal >= 0) & good[np.maximum(normal, 0)]
        own_normals = np.where(use[:, :, None], unit[np.maximum(normal, 0)], own_normals)
    corners: dict[str, AnyArray] = {"POSITION": positions[points], "NORMAL": own_normals}
    textured: BoolArray = np.asarray((texture >= 0).all(axis=1))
    if scan.uv:
        uv = np.array(scan.uv, np.float64)
        uv[:, 1] = 1.0 - uv[:, 1]
        if not np.isfinite(uv).all():
            raise ModelError("a texture coordinate (vt) is not a finite number", remedy="export it again")
        corners["TEXCOORD_0"] = np.where(textured[:, None, None], uv[np.maximum(texture, 0)], 0.0)
    if scan.colored:
        codes = np.rint(np.clip(vertices[:, 3:], 0, 1) * 255).astype(np.uint8)
        corners["COLOR_0"] = srgb_to_linear(codes).astype(np.float64)[points]
    where = np.array(scan.where, np.int64)
    keys, part_of = np.unique(where, axis=0, return_inverse=True)
    named: dict[int, list[Part]] = {}
    for number, (obj, material) in enumerate(keys):
        for has_uv in (False, True):
            mine = (part_of.reshape(-1) == number) & (textured == has_uv)
            if not mine.any():
                continue
            own = {k: v[mine] for k, v in corners.items() if has_uv or k != "TEXCOORD_0"}
            attributes, triangles = indexed(own)
            name = scan.materials[material]
            named.setdefault(int(obj), []).append(Part(attributes, triangles, known.get(name)))
    result.objects = [(scan.objects[obj] or stem, parts) for obj, parts in sorted(named.items())]


def _read_mtl(text: bytes, library: str, content: dict[str, bytes], result: Translated) -> None:
    """Add the materials of a library: colour, emission, opacity, roughness and metal, and their pictures."""
    material: Json | None = None
    for number, raw in enumerate(text.split(b"\n"), 1):
        words = raw.decode("utf-8", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        place = f"{library}, line {number}"
        keyword = words[0].lower()
        if keyword == "newmtl":
            material = {
                "name": " ".join(words[1:]),
                "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9},
                "doubleSided": True,
            }
            result.materials.append(material)
            continue
        if material is None:
            continue
        pbr = material["pbrMetallicRoughness"]
        if keyword == "kd":
            alpha = pbr.get("baseColorFactor", [1, 1, 1, 1])[3]
            pbr["baseColorFactor"] = [*_color(words, place), alpha]
        elif keyword == "ke":
            if max(color := _color(words, place)) > 0:
                material["emissiveFactor"] = color
        elif keyword in ("d", "tr"):
            value = _unit(words[-1], place)
            alpha = value if keyword == "d" else 1.0 - value
            if alpha < 1.0:
                pbr["baseColorFactor"] = [*pbr.get("baseColorFactor", [1, 1, 1, 1])[:3], alpha]
                material["alphaMode"] = "BLEND"
        elif keyword == "ns":
            # Blinn-Phong exponent to roughness: n = 2 / r⁴ − 2 (Walter et al. 2007, with r² as GGX's width).
            exponent = max(0.0, _number(words[-1], place))
            pbr["roughnessFactor"] = min(1.0, (2.0 / (exponent + 2.0)) ** 0.25)
        elif keyword == "pr":
            pbr["roughnessFactor"] = _unit(words[-1], place)
        elif keyword == "pm":
            pbr["metallicFactor"] = _unit(words[-1], place)
        elif keyword in ("map_kd", "map_ke", "norm"):
            picture = _picture(" ".join(words[1:]))
            if picture not in content:
                raise ModelError(f"{keyword} names no picture", place=place)
            titles = [title for title, _ in result.images]
            if picture not in titles:
                titles.append(picture)
                result.images.append((picture, content[picture]))
            info = {"index": titles.index(picture)}
            if keyword == "map_kd":
                pbr["baseColorTexture"] = info
                pbr["baseColorFactor"] = [1, 1, 1, pbr.get("baseColorFactor", [1, 1, 1, 1])[3]]
            elif keyword == "map_ke":
                material |= {"emissiveTexture": info, "emissiveFactor": [1, 1, 1]}
            else:
                material["normalTexture"] = info


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
    try:
        value = float(word)
        if not np.isfinite(value):
            raise ValueError
    except ValueError:
        raise ModelError(f'"{word[:40]}" is not a finite number', place=place) from None
    return value


def _picture(text: str) -> str:
    """The file name of a map statement, its options left out."""
    words = text.split()
    at = 0
    while at < len(words) - 1 and (count := _OPTIONS.get(words[at].lower())):
        at += 1
        last = min(at + count, len(words) - 1)
        # -o, -s and -t take one to three numbers.
        while at < last and (count < 3 or _is_number(words[at])):
            at += 1
    return " ".join(words[at:]).replace("\\", "/")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _clean(name: bytes) -> str:
    return name.strip().decode("utf-8", "replace").replace("\\", "/")


def _beside(path: Path, name: str, place: str, *, optional: bool) -> bytes | None:
    """The contents of a file that must lie in the model's folder."""
    try:
        missing = optional and not (path.parent / name).is_file() and ".." not in name and not name.startswith("/")
    except (OSError, ValueError):  # longer than any file name, or with a NUL
        raise ModelError(f'"{name[:80]}" is not a file name', place=place) from None
    return None if missing else resolve(path, quote(name), place)[0]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}") from None
