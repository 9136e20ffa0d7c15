"""Wavefront OBJ. Read here and not by a library, so that errors name the line and every file is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..errors import ModelError
from ..gltf.source_files import read_file, read_uri
from ..mesh.polygons import triangulate
from ..mesh.weld import weld_corners
from ..pictures.color import srgb_to_linear
from .mtl import picture_names, read_materials
from .translated import HARD_EDGE, LINES, POINTS, Part, Translated, corner_normals, require_finite

_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t]*$", re.MULTILINE)
MODELS_FOLDER = PurePosixPath()


def obj_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file, its material libraries and their pictures, each once with a key of its own; a library that is
    missing is left out."""
    raw = read_file(path)
    yield path.name, raw
    seen: set[str] = set()
    for library in _libraries(path, raw):
        found = _beside(path, library)
        if library in seen or found is None:
            continue
        seen.add(library)
        content = read_uri(path, quote(found), library)[0]
        yield library, content
        for number, picture in picture_names(content):
            key = _picture_key(library, picture)
            if key not in seen:
                seen.add(key)
                name = _beside(path, picture, folder=PurePosixPath(found).parent) or picture
                yield key, read_uri(path, quote(name), f"{library}, line {number}")[0]


def read_obj(path: Path) -> Translated:
    """Read an OBJ file with its materials and pictures.

    Polygons are cut into triangles; lines and points stay what they are. Raises ModelError with file and line.
    """
    content = dict(obj_files(path))
    raw = _lines(content[path.name])
    scan = _Scan(objects=re.search(rb"^[ \t]*o[ \t]", raw, re.MULTILINE) is not None)
    for number, line in _statements(raw):
        try:
            scan.line(line)
        except (ValueError, IndexError):
            shown = line[:80].decode("utf-8", "replace").strip()
            raise ModelError(f'"{shown}" cannot be read', place=f"line {number:,}", remedy="export it again") from None
    result = Translated([], files=list(content.values()))
    for library in dict.fromkeys(_libraries(path, raw)):
        if library not in content:
            result.notes.append(f"{library} is missing: its materials are plain")
            continue
        mine = {k.removeprefix(_picture_key(library, "")): v for k, v in content.items()}
        read_materials(content[library], library, mine, result)
    known: dict[str, int] = {}
    for index, material in enumerate(result.materials):
        known.setdefault(material["name"], index)
    for name in scan.materials:
        if name and name not in known:
            known[name] = len(result.materials)
            result.materials.append({"name": name, "pbrMetallicRoughness": {"metallicFactor": 0.0}})
    _assemble(scan, known, result, path.stem)
    return result


class _Scan:
    """Collects the statements of an OBJ file.

    objects: whether the file names objects; where it does not, its groups are taken for them.
    """

    def __init__(self, *, objects: bool) -> None:
        self.positions: list[tuple[float, ...]] = []
        self.colored = False
        self.uv: list[tuple[float, float]] = []
        self.normals: list[tuple[float, float, float]] = []
        self.materials: list[str] = [""]
        self.objects: list[str] = [""]
        self.corners: list[tuple[int, int, int]] = []  # of triangles, three a face; −1 where absent
        self.where: list[tuple[int, int]] = []  # object and material of each triangle
        self.loose: dict[tuple[int, int, int], list[int]] = {}  # (object, material, mode) → vertices
        self._opens_object = b"o" if objects else b"g"
        self._material = 0
        self._object = 0
        self._index = {"": 0}
        self._number = {"": 0}

    def line(self, line: bytes) -> None:
        words = line.partition(b"#")[0].split() if b"#" in line else line.split()
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
            self._face([self._corner(word) for word in words[1:]])
        elif keyword == b"l":
            line_ = [self._corner(word)[0] for word in words[1:]]
            ends = [end for pair in pairwise(line_) for end in pair]
            self.loose.setdefault((self._object, self._material, LINES), []).extend(ends)
        elif keyword == b"p":
            points = [self._corner(word)[0] for word in words[1:]]
            self.loose.setdefault((self._object, self._material, POINTS), []).extend(points)
        elif keyword == b"usemtl":
            name = _clean(line.split(None, 1)[1] if len(words) > 1 else b"")
            if name not in self._index:
                self._index[name] = len(self.materials)
                self.materials.append(name)
            self._material = self._index[name]
        elif keyword == self._opens_object:
            name = _clean(line.split(None, 1)[1] if len(words) > 1 else b"")
            # Exporters return to a group to add to it.
            if name not in self._number:
                self._number[name] = len(self.objects)
                self.objects.append(name)
            self._object = self._number[name]

    def _face(self, corners: list[tuple[int, int, int]]) -> None:
        if len(corners) < 3:
            raise ValueError
        if len(corners) == 3:
            self.corners += corners
            self.where.append((self._object, self._material))
            return
        cut = triangulate([self.positions[corner[0]][:3] for corner in corners])
        for triangle in cut:
            self.corners += (corners[k] for k in triangle)
        self.where += [(self._object, self._material)] * len(cut)

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
    if not scan.corners and not any(scan.loose.values()):
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
    colors: FloatArray | None = None
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
        colors = srgb_to_linear(codes).astype(np.float64)
        corners["COLOR_0"] = colors[points]
    where = np.array(scan.where, np.int64).reshape(-1, 2)
    keys, part_of = np.unique(where, axis=0, return_inverse=True)
    named: dict[int, list[Part]] = {}
    for number, (obj, material) in enumerate(keys):
        for has_uv in (False, True):
            mine = (part_of.reshape(-1) == number) & (textured == has_uv)
            if not mine.any():
                continue
            own = {k: v[mine] for k, v in corners.items() if has_uv or k != "TEXCOORD_0"}
            attributes, triangles = weld_corners(own)
            name = scan.materials[material]
            named.setdefault(int(obj), []).append(Part(attributes, triangles, known.get(name)))
    for (obj, material, mode), indices in scan.loose.items():
        loose: dict[str, AnyArray] = {"POSITION": positions[indices].astype(np.float32)}
        if colors is not None:
            loose["COLOR_0"] = colors[indices].astype(np.float32)
        if indices:
            named.setdefault(obj, []).append(Part(loose, None, known.get(scan.materials[material]), mode))
    result.objects = [(scan.objects[obj] or stem, parts) for obj, parts in sorted(named.items())]


def _libraries(path: Path, raw: bytes) -> Iterator[str]:
    """The libraries that the file names: one a statement, as exporters write names with spaces, or several."""
    for match in _LIBRARY.finditer(_lines(raw)):
        name = _clean(match.group(1))
        several = name.split()
        if len(several) > 1 and _beside(path, name) is None and all(s.lower().endswith(".mtl") for s in several):
            yield from several
        else:
            yield name


def _picture_key(library: str, picture: str) -> str:
    """Two libraries in two folders may mean two pictures by one name."""
    return f"{library}\n{picture}"


def _lines(raw: bytes) -> bytes:
    return raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _statements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines, those that end with a backslash joined to the next."""
    held = b""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.endswith(b"\\"):
            held += line[:-1] + b" "
            continue
        yield number, held + line
        held = b""


def _clean(name: bytes) -> str:
    return name.strip().strip(b'"').decode("utf-8", "replace").replace("\\", "/")


def _beside(path: Path, name: str, folder: PurePosixPath = MODELS_FOLDER) -> str | None:
    """Where below the model's folder the file of this name is, or None: beside the library that names it, as
    written, or, since exporters write paths of their own machine, by its last part in either folder; letters in
    either case, as where these files come from. A path that leaves the folder is returned as it is, to be refused.
    """
    written = PurePosixPath(name)
    if name.startswith("/") or ".." in written.parts:
        return name if not (path.parent / written.name).is_file() else written.name
    for candidate in (folder / name, written, folder / written.name, PurePosixPath(written.name)):
        here = path.parent
        for part in candidate.parts:
            try:
                there = here / part
                found = there if there.exists() else next(p for p in sorted(here.iterdir()) if _same(p.name, part))
            except (OSError, ValueError, StopIteration):
                break
            here = found
        else:
            if here.is_file():
                return here.relative_to(path.parent).as_posix()
    return None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
