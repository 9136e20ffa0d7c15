"""3MF: objects of triangles, placed by build items and components, with colours.

Read here and not by a library: trimesh 5.2 drops the colours, needs two more packages, and repeats the triangles of
objects in other parts, which is how slicers save them (production extension).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import EXPORT_AGAIN, ModelError, shown
from ..gltf.document import Json
from ..gltf.source_files import read_file
from ..mesh.weld import weld_corners
from ..pictures.color import srgb_to_linear
from .normals import HARD_EDGE, corner_normals
from .threemf_part import ModelPart, ObjectResource, Reference
from .translated import PLAIN, Part, Placement, Translated, require_finite
from .zip_package import SEPARATOR, ZipPackage

RELATIONSHIPS = "_rels/.rels"
MODEL_TYPE = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
DEFAULT_MODEL = "3D/3dmodel.model"
MAX_INSTANCES = 1 << 16  # of objects: components of components multiply them
MAX_NESTING = 32  # of components in components
IDENTITY: FloatArray = np.eye(4)


def read_3mf(path: Path) -> Translated:
    """Read a 3MF file: the objects that its build places. The file states its unit and its up axis (z).

    Base materials become materials, and the colours of triangles and of their corners become vertex colours; pictures
    and composite materials are left out. Raises ModelError with part and line.
    """
    raw = read_file(path)
    package = ZipPackage(raw)
    root = ModelPart(package, _root_name(package))
    parts = _other_parts(package, root)
    for part in (*parts.values(), root):
        _count_instances(part, parts)
    total = sum(_target(item, root, parts)[0].instances for item in root.items)
    if total > MAX_INSTANCES:
        raise ModelError(f"places {total:,} objects, more than {MAX_INSTANCES:,}", place=root.name)
    result = Translated([], [{"name": "3mf", **PLAIN}], files=[raw], metres=root.metres, up="z")
    objects = _Objects(result)
    for item in root.items:
        for resource, part, matrix in _instances(item, root, parts, IDENTITY):
            result.placements.append(Placement(objects.index(resource, part), resource.name, matrix))
    if not result.placements:
        raise ModelError("builds no triangle", place=root.name, remedy="export at least one object")
    for part in (root, *parts.values()):
        if part.left_out:
            names = ", ".join(sorted(part.left_out))
            result.notes.append(f"{part.name}: left out, as this version does not read it: {names}")
    return result


def _root_name(package: ZipPackage) -> str:
    """The name of the part that holds the build."""
    names: list[str] = []

    def note(tag: str, attributes: dict[str, str], _line: int) -> None:
        if tag.endswith(f"{SEPARATOR}Relationship") and attributes.get("Type") == MODEL_TYPE:
            names.append(attributes.get("Target", "").lstrip("/"))

    if RELATIONSHIPS in package:
        package.read_xml(RELATIONSHIPS, note)
    return names[0] if names else DEFAULT_MODEL


def _other_parts(package: ZipPackage, root: ModelPart) -> dict[str, ModelPart]:
    """The parts that components and build items name, by their paths (production extension)."""
    references = [*root.items, *(c for resource in root.objects.values() for c in resource.components)]
    parts: dict[str, ModelPart] = {}
    for reference in references:
        if reference.path is None or reference.path in parts:
            continue
        part = parts[reference.path] = ModelPart(package, reference.path.lstrip("/"))
        if part.metres != root.metres:
            raise ModelError(f"has another unit than {root.name}", place=part.name, remedy=EXPORT_AGAIN)
        for nested in (c for resource in part.objects.values() for c in resource.components):
            if nested.path is not None:
                problem = f"has a path, which only {root.name} may have"
                raise ModelError(problem, place=nested.place, remedy=EXPORT_AGAIN)
    return parts


def _target(reference: Reference, part: ModelPart, parts: dict[str, ModelPart]) -> tuple[ObjectResource, ModelPart]:
    """The object that a component or a build item of `part` places, and its part."""
    owner = part if reference.path is None else parts[reference.path]
    resource = owner.objects.get(reference.id)
    if resource is None:
        problem = f"names object {shown(reference.id)}, which {owner.name} does not define"
        raise ModelError(problem, place=reference.place, remedy=EXPORT_AGAIN)
    return resource, owner


def _count_instances(part: ModelPart, parts: dict[str, ModelPart]) -> None:
    """Count the objects that each object of a part places. Raises ModelError for cycles and for deep nesting.

    Objects come after those that their components name, as 3MF requires; this rules out cycles.
    """
    for resource in part.objects.values():
        instances, nesting = 1, 0
        for component in resource.components:
            target, _ = _target(component, part, parts)
            if target.instances == 0:
                problem = f"names object {shown(component.id)}, which is not defined before it"
                raise ModelError(problem, place=component.place, remedy=EXPORT_AGAIN)
            instances += target.instances
            nesting = max(nesting, target.nesting + 1)
        if nesting > MAX_NESTING:
            raise ModelError(f"has components nested more than {MAX_NESTING} levels deep", place=resource.place)
        resource.instances, resource.nesting = instances, nesting


def _instances(
    reference: Reference, part: ModelPart, parts: dict[str, ModelPart], above: FloatArray
) -> Iterator[tuple[ObjectResource, ModelPart, FloatArray]]:
    """Each object with triangles that a component or a build item places, its part, and its matrix (4, 4)."""
    resource, owner = _target(reference, part, parts)
    with np.errstate(over="ignore", invalid="ignore"):  # the document's reader refuses matrices that are not finite
        matrix = above @ reference.matrix
    if resource.triangles:
        yield resource, owner, matrix
    for component in resource.components:
        yield from _instances(component, owner, parts, matrix)


class _Objects:
    """Adds each object to the translated model when an instance first needs it."""

    def __init__(self, result: Translated) -> None:
        self._result = result
        self._indices: dict[int, int] = {}
        self._materials: dict[tuple[str, int], int] = {}
        self._translucent: int | None = None

    def index(self, resource: ObjectResource, part: ModelPart) -> int:
        """The index of an object among the translated ones."""
        if id(resource) not in self._indices:
            self._indices[id(resource)] = len(self._result.objects)
            self._result.objects.append((resource.name, self._parts(resource, part)))
        return self._indices[id(resource)]

    def _parts(self, resource: ObjectResource, part: ModelPart) -> list[Part]:
        """One part for triangles without colour, one for vertex colours, and one for each base material."""
        positions, triangles = _geometry(resource)
        rows = part.color_rows(resource)
        named: dict[str, AnyArray] = {
            "POSITION": positions[triangles],
            "NORMAL": corner_normals(positions, triangles, HARD_EDGE),
        }
        first = rows[:, 0]
        material = np.where((first >= 0) & part.is_base[first], first, -1)
        # Number of the part of each triangle: −2 without colour, −1 with vertex colours, else its base material's row.
        number = np.where(first < 0, -2, material)
        order = np.argsort(number, kind="stable")
        distinct, starts = np.unique(number[order], return_index=True)
        result = []
        for each, chosen in zip(distinct.tolist(), np.split(order, starts[1:]), strict=True):
            own = {name: values[chosen] for name, values in named.items()}
            index = 0
            if each >= 0:
                index = self._base_material(part, each)
            elif each == -1:
                colors = part.colors[rows[chosen]]
                own["COLOR_0"] = srgb_to_linear(colors[:, :, :3]).astype(np.float64)
                if (colors[:, :, 3] < 255).any():
                    own["COLOR_0"] = np.concatenate([own["COLOR_0"], colors[:, :, 3:] / 255], axis=2)
                    index = self._translucent_material()
            attributes, indices = weld_corners(own)
            result.append(Part(attributes, indices, index))
        return result

    def _base_material(self, part: ModelPart, row: int) -> int:
        key = (part.name, row)
        if key not in self._materials:
            *rgb, alpha = part.colors[row]
            light = [round(float(x), 6) for x in srgb_to_linear(np.array(rgb))]
            pbr = {**PLAIN["pbrMetallicRoughness"], "baseColorFactor": [*light, round(float(alpha) / 255, 6)]}
            material: Json = {**PLAIN, "name": part.color_names[row], "pbrMetallicRoughness": pbr}
            if alpha < 255:
                material["alphaMode"] = "BLEND"
            self._materials[key] = self._add(material)
        return self._materials[key]

    def _translucent_material(self) -> int:
        if self._translucent is None:
            self._translucent = self._add({"name": "3mf translucent", **PLAIN, "alphaMode": "BLEND"})
        return self._translucent

    def _add(self, material: Json) -> int:
        self._result.materials.append(material)
        return len(self._result.materials) - 1


def _geometry(resource: ObjectResource) -> tuple[FloatArray, IntArray]:
    """Positions (n, 3) and triangles (m, 3) of an object, checked."""
    positions = np.array(resource.positions, np.float64).reshape(-1, 3)
    require_finite(positions, resource.place)
    triangles = np.array(resource.triangles, np.int64).reshape(-1, 3)
    bad = np.argwhere((triangles < 0) | (triangles >= len(positions)))
    if len(bad):
        row, column = bad[0].tolist()
        problem = f"names vertex {triangles[row, column]:,} of {len(positions):,}"
        raise ModelError(problem, place=f"{resource.place}, triangle {row + 1:,}", remedy=EXPORT_AGAIN)
    return positions + 0.0, triangles
