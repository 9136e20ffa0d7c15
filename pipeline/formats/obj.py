"""Wavefront OBJ.

Read here and not by a library, so that errors name the line, and every file that the model names is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray, IntArray
from ..errors import EXPORT_AGAIN, ModelError
from ..gltf.document import LINES, POINTS
from ..gltf.source_files import read_file, read_uri
from ..mesh.polygons import triangulate
from ..mesh.weld import weld_corners
from ..pictures.color import srgb_to_linear
from .mtl import picture_names
from .mtl_to_gltf import add_materials
from .normals import HARD_EDGE, corner_normals
from .translated import Part, Translated, require_finite

_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t]*$", re.MULTILINE)
MODELS_FOLDER = PurePosixPath()

Corner = tuple[int, int, int]  # indices of position, texture coordinate and normal; −1 if absent


def obj_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file, its material libraries and their pictures, as (key, content), each once.

    Missing libraries are left out. Raises ModelError if another file is missing, or outside the model's folder.
    """
    raw = read_file(path)
    yield path.name, raw
    seen: set[str] = set()
    for library in _libraries(path, raw):
        found = _find(path, library)
        if library in seen or found is None:
            continue
        seen.add(library)
        content = read_uri(path, quote(found), library)[0]
        yield library, content
        for number, picture in picture_names(content):
            key = _picture_key(library, picture)
            if key not in seen:
                seen.add(key)
                name = _find(path, picture, folder=PurePosixPath(found).parent) or picture
                yield key, read_uri(path, quote(name), f"{library}, line {number}")[0]


def read_obj(path: Path) -> Translated:
    """Read an OBJ file with its materials and pictures.

    Polygons become triangles; lines and points stay lines and points. Raises ModelError with file and line.
    """
    files = dict(obj_files(path))
    raw = _normal_line_ends(files[path.name])
    statements = _Statements(has_objects=re.search(rb"^[ \t]*o[ \t]", raw, re.MULTILINE) is not None)
    for number, line in _lines(raw):
        try:
            statements.read(line)
        except (ValueError, IndexError):
            quoted = line[:80].decode("utf-8", "replace").strip()
            problem = f'"{quoted}" cannot be read'
            raise ModelError(problem, place=f"line {number:,}", remedy=EXPORT_AGAIN) from None
    result = Translated([], files=list(files.values()))
    for library in dict.fromkeys(_libraries(path, raw)):
        if library not in files:
            result.notes.append(f"{library} is missing: its materials are plain")
            continue
        pictures = {key.removeprefix(_picture_key(library, "")): content for key, content in files.items()}
        add_materials(files[library], library, pictures, result)
    materials: dict[str, int] = {}
    for index, material in enumerate(result.materials):
        materials.setdefault(material["name"], index)
    for name in statements.materials:
        if name and name not in materials:
            materials[name] = len(result.materials)
            result.materials.append({"name": name, "pbrMetallicRoughness": {"metallicFactor": 0.0}})
    result.objects = _objects(statements, materials, path.stem)
    return result


class _Statements:
    """The collected statements of an OBJ file.

    has_objects: whether the file has object statements; if it has none, its groups are the objects.
    """

    def __init__(self, *, has_objects: bool) -> None:
        self.positions: list[tuple[float, ...]] = []
        self.colored = False
        self.uv: list[tuple[float, float]] = []
        self.normals: list[tuple[float, float, float]] = []
        self.materials: list[str] = [""]
        self.objects: list[str] = [""]
        self.corners: list[Corner] = []  # three for each triangle
        self.triangles: list[tuple[int, int]] = []  # object and material of each
        self.lines_and_points: dict[tuple[int, int, int], list[int]] = {}  # (object, material, mode) → vertices
        self._object_keyword = b"o" if has_objects else b"g"
        self._material = 0
        self._object = 0
        self._material_index = {"": 0}
        self._object_index = {"": 0}

    def read(self, line: bytes) -> None:
        """Add one statement. Raises ValueError or IndexError if it is malformed."""
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
            self._add_face([self._corner(word) for word in words[1:]])
        elif keyword == b"l":
            vertices = [self._corner(word)[0] for word in words[1:]]
            self._add_vertices(LINES, [end for pair in pairwise(vertices) for end in pair])
        elif keyword == b"p":
            self._add_vertices(POINTS, [self._corner(word)[0] for word in words[1:]])
        elif keyword == b"usemtl":
            name = _name(line.split(None, 1)[1] if len(words) > 1 else b"")
            self._material = _index_of(name, self.materials, self._material_index)
        elif keyword == self._object_keyword:
            # Exporters return to a group to add to it.
            name = _name(line.split(None, 1)[1] if len(words) > 1 else b"")
            self._object = _index_of(name, self.objects, self._object_index)

    def _add_face(self, corners: list[Corner]) -> None:
        if len(corners) < 3:
            raise ValueError
        if len(corners) == 3:
            self.corners += corners
            self.triangles.append((self._object, self._material))
            return
        cut = triangulate([self.positions[corner[0]][:3] for corner in corners])
        for triangle in cut:
            self.corners += (corners[k] for k in triangle)
        self.triangles += [(self._object, self._material)] * len(cut)

    def _add_vertices(self, mode: int, vertices: list[int]) -> None:
        self.lines_and_points.setdefault((self._object, self._material, mode), []).extend(vertices)

    def _corner(self, word: bytes) -> Corner:
        """The indices in `v/vt/vn`; negative ones count back from the last statement."""
        parts = [*word.split(b"/"), b"", b""][:3]
        counts = (len(self.positions), len(self.uv), len(self.normals))
        indices = [-1, -1, -1]
        for k, (part, count) in enumerate(zip(parts, counts, strict=True)):
            if not part:
                if k == 0:
                    raise ValueError
                continue
            index = int(part)
            index = index - 1 if index > 0 else count + index
            if not 0 <= index < count:
                raise IndexError
            indices[k] = index
        return indices[0], indices[1], indices[2]


def _index_of(name: str, names: list[str], known: dict[str, int]) -> int:
    """The index of a name in `names`, where it is appended if it is not `known`."""
    if name not in known:
        known[name] = len(names)
        names.append(name)
    return known[name]


def _objects(statements: _Statements, materials: dict[str, int], stem: str) -> list[tuple[str, list[Part]]]:
    """The objects in file order, with a part for each material, and apart for triangles with and without UV."""
    if not statements.corners and not any(statements.lines_and_points.values()):
        raise ModelError("holds no face", remedy="export at least one object with faces")
    vertices: FloatArray = np.array(statements.positions, np.float64)
    require_finite(vertices[:, :3], "vertices (v)")
    positions = vertices[:, :3] + 0.0  # −0.0 becomes 0.0
    colors: FloatArray | None = None
    if statements.colored:
        codes = np.rint(np.clip(vertices[:, 3:], 0, 1) * 255).astype(np.uint8)
        colors = srgb_to_linear(codes).astype(np.float64)
    index = np.array(statements.corners, np.int64).reshape(-1, 3, 3)
    corners, textured = _corner_attributes(statements, index, positions, colors)
    owners = np.array(statements.triangles, np.int64).reshape(-1, 2)
    keys, part_of = np.unique(owners, axis=0, return_inverse=True)
    parts: dict[int, list[Part]] = {}
    for number, (obj, material) in enumerate(keys):
        for has_uv in (False, True):
            chosen = (part_of.reshape(-1) == number) & (textured == has_uv)
            if not chosen.any():
                continue
            own = {name: values[chosen] for name, values in corners.items() if has_uv or name != "TEXCOORD_0"}
            attributes, triangles = weld_corners(own)
            material_index = materials.get(statements.materials[material])
            parts.setdefault(int(obj), []).append(Part(attributes, triangles, material_index))
    for (obj, material, mode), indices in statements.lines_and_points.items():
        loose: dict[str, AnyArray] = {"POSITION": positions[indices].astype(np.float32)}
        if colors is not None:
            loose["COLOR_0"] = colors[indices].astype(np.float32)
        if indices:
            material_index = materials.get(statements.materials[material])
            parts.setdefault(obj, []).append(Part(loose, None, material_index, mode))
    return [(statements.objects[obj] or stem, listed) for obj, listed in sorted(parts.items())]


def _corner_attributes(
    statements: _Statements, index: IntArray, positions: FloatArray, colors: FloatArray | None
) -> tuple[dict[str, AnyArray], BoolArray]:
    """The attributes (m, 3, k) of the corners of all triangles, and whether each triangle has UV.

    index: (m, 3, 3) position, UV and normal of each corner, −1 if absent. Normals that are absent or zero are computed.
    """
    points, texture, normal = index[:, :, 0], index[:, :, 1], index[:, :, 2]
    normals = corner_normals(positions, points, HARD_EDGE)
    if statements.normals:
        given = np.array(statements.normals, np.float64)
        length: FloatArray = np.asarray(np.linalg.norm(given, axis=1))
        good: BoolArray = np.asarray((length > 0) & (length < np.inf))  # false for NaN too
        unit = np.where(good[:, None], given / np.where(good, length, 1.0)[:, None], 0.0)
        use = (normal >= 0) & good[np.maximum(normal, 0)]
        normals = np.where(use[:, :, None], unit[np.maximum(normal, 0)], normals)
    corners: dict[str, AnyArray] = {"POSITION": positions[points], "NORMAL": normals}
    textured: BoolArray = np.asarray((texture >= 0).all(axis=1))
    if statements.uv:
        uv = np.array(statements.uv, np.float64)
        uv[:, 1] = 1.0 - uv[:, 1]
        if not np.isfinite(uv).all():
            raise ModelError("a texture coordinate (vt) is not a finite number", remedy=EXPORT_AGAIN)
        corners["TEXCOORD_0"] = np.where(textured[:, None, None], uv[np.maximum(texture, 0)], 0.0)
    if colors is not None:
        corners["COLOR_0"] = colors[points]
    return corners, textured


def _libraries(path: Path, raw: bytes) -> Iterator[str]:
    """The names of the material libraries.

    A statement holds one name, perhaps with spaces, or several names.
    """
    for match in _LIBRARY.finditer(_normal_line_ends(raw)):
        name = _name(match.group(1))
        words = name.split()
        if len(words) > 1 and _find(path, name) is None and all(w.lower().endswith(".mtl") for w in words):
            yield from words
        else:
            yield name


def _picture_key(library: str, picture: str) -> str:
    """The key of a picture: libraries in different folders may give one name to different pictures."""
    return f"{library}\n{picture}"


def _normal_line_ends(raw: bytes) -> bytes:
    return raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; a line that ends with a backslash is joined to the next."""
    held = b""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.endswith(b"\\"):
            held += line[:-1] + b" "
            continue
        yield number, held + line
        held = b""


def _name(written: bytes) -> str:
    """A name without quotes and white space around it, with slashes between folders."""
    return written.strip().strip(b'"').decode("utf-8", "replace").replace("\\", "/")


def _find(path: Path, name: str, folder: PurePosixPath = MODELS_FOLDER) -> str | None:
    """The path of a named file below the model's folder; None if there is none.

    folder: of the library that names the file. Looks beside the library, then in the model's folder, then for the last
    part of the name in both, since exporters write paths of their own machine. Case does not matter, as on the systems
    that most of these files come from. Returns a path that leaves the folder unchanged, so that the caller refuses it.
    """
    written = PurePosixPath(name)
    if name.startswith("/") or ".." in written.parts:
        return name if not (path.parent / written.name).is_file() else written.name
    for candidate in (folder / name, written, folder / written.name, PurePosixPath(written.name)):
        place = path.parent
        for part in candidate.parts:
            try:
                exact = place / part
                place = exact if exact.exists() else next(p for p in sorted(place.iterdir()) if _same(p.name, part))
            except (OSError, ValueError, StopIteration):
                break
        else:
            if place.is_file():
                return place.relative_to(path.parent).as_posix()
    return None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
