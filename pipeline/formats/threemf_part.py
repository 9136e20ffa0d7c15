"""One model part of a 3MF package: its objects, colours and build items, as its XML states them."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..arrays import BoolArray, FloatArray, IntArray
from ..errors import EXPORT_AGAIN, ModelError, shown
from .zip_package import SEPARATOR, ZipPackage

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
MATERIALS = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
TRIANGLE_SETS = "http://schemas.microsoft.com/3dmanufacturing/trianglesets/2021/07"
SUPPORTED = (CORE, MATERIALS, PRODUCTION, TRIANGLE_SETS)  # extensions that a part may require
METRES = {"micron": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "inch": 0.0254, "foot": 0.3048, "meter": 1.0}
DEFAULT_UNIT = "millimeter"
NO_TRANSFORM = "1 0 0 0 1 0 0 0 1 0 0 0"
MAX_INDEX = 1 << 31  # 3MF limits indices to 31 bits
MAX_ENTRY = 1e30  # of a matrix: past any size that float32 positions can have
_COLOR = re.compile("#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")


@dataclass(frozen=True)
class Reference:
    """A component or a build item: the object it places, its matrix (4, 4) for column vectors, and its place in the
    file.

    path: the part that defines the object; None for the same part.
    """

    path: str | None
    id: str
    matrix: FloatArray
    place: str


@dataclass
class ObjectResource:
    """An object resource: a mesh, or components.

    group, color: of triangles without a colour of their own. positions: three numbers for each vertex. triangles: three
    indices for each triangle. properties: for each triangle the number of its colour group (−1: the object's own) and
    the indices of three colours in the group (−1: the object's own).
    instances: how many objects it places, itself included; nesting: of its components. Both are 0 until counted.
    """

    name: str
    place: str
    group: str | None
    color: int
    positions: array[float] = field(default_factory=lambda: array("d"))
    triangles: array[int] = field(default_factory=lambda: array("q"))
    properties: array[int] = field(default_factory=lambda: array("q"))
    components: list[Reference] = field(default_factory=list)
    instances: int = 0
    nesting: int = 0


class ModelPart:
    """The content of one model part.

    metres: of one unit of length. objects: object resources by id, in file order.
    colors: (k, 4) sRGB codes and alpha of all colour groups; is_base: (k,) whether a row is a base material;
    color_names: the names of base materials by row.
    left_out: elements with colours that this reader does not support.
    """

    def __init__(self, package: ZipPackage, name: str) -> None:
        """Raises ModelError with part and line if the XML does not conform."""
        self.name = name
        self.metres = METRES[DEFAULT_UNIT]
        self.objects: dict[str, ObjectResource] = {}
        self.items: list[Reference] = []
        self.color_names: dict[int, str] = {}
        self.left_out: set[str] = set()
        self._namespaces: dict[str, str] = {}
        self._object: ObjectResource | None = None
        self._codes: list[tuple[int, ...]] = []
        self._groups: dict[str, tuple[int, int]] = {}  # first row and number of rows
        self._group = ""  # the group that is open
        self._numbers: dict[str, int] = {}  # of the groups that triangles name
        package.read_xml(name, self._element, self._namespaces)
        self.colors: npt.NDArray[np.uint8] = np.array(self._codes, np.uint8).reshape(-1, 4)
        self.is_base: BoolArray = np.zeros(len(self.colors) + 1, np.bool_)  # with one more row, for −1
        self.is_base[list(self.color_names)] = True

    def color_rows(self, resource: ObjectResource) -> IntArray:
        """The row of `colors` of each corner (m, 3); −1 without a colour.

        Raises ModelError if a triangle names a colour that its group does not have.
        """
        properties = np.array(resource.properties, np.int64).reshape(-1, 4)
        # The last group is the object's own: number −1.
        groups = [self._groups.get(key, (0, 0)) for key in (*self._numbers, resource.group or "")]
        start, size = np.array(groups, np.int64).T[:, properties[:, 0]]
        index = np.where(properties[:, 1:] < 0, resource.color, properties[:, 1:])
        colored = (size > 0) & (index[:, 0] >= 0)
        bad = np.flatnonzero(colored & ((index < 0) | (index >= size[:, None])).any(axis=1))
        if len(bad):
            problem = f"names colour {index[bad[0]].max():,} of a group of {size[bad[0]]:,}"
            raise ModelError(problem, place=f"{resource.place}, triangle {bad[0] + 1:,}", remedy=EXPORT_AGAIN)
        return np.where(colored[:, None], start[:, None] + index, -1)

    def _element(self, tag: str, attributes: dict[str, str], line: int) -> None:
        namespace, _, name = tag.rpartition(SEPARATOR)
        try:
            if namespace == CORE:
                self._core_element(name, attributes, line)
            elif namespace == MATERIALS:
                self._materials_element(name, attributes)
        except KeyError as error:
            raise ModelError(f"{name} has no {error.args[0]}", place=self._at(line), remedy=EXPORT_AGAIN) from None
        except (ValueError, OverflowError):
            raise ModelError(f"{name} cannot be read", place=self._at(line), remedy=EXPORT_AGAIN) from None

    def _core_element(self, name: str, attributes: dict[str, str], line: int) -> None:
        resource = self._object
        if name == "vertex" and resource is not None:
            resource.positions.extend((float(attributes["x"]), float(attributes["y"]), float(attributes["z"])))
        elif name == "triangle" and resource is not None:
            resource.triangles.extend((int(attributes["v1"]), int(attributes["v2"]), int(attributes["v3"])))
            resource.properties.extend(self._properties(attributes))
        elif name == "component" and resource is not None:
            resource.components.append(self._reference(attributes, line))
        elif name == "item":
            self.items.append(self._reference(attributes, line))
        elif name == "object":
            self._add_object(attributes, line)
        elif name == "basematerials":
            self._open_group(attributes["id"])
        elif name == "base":
            self.color_names[len(self._codes)] = attributes["name"]
            self._add_color(attributes["displaycolor"])
        elif name == "model":
            self._check_model(attributes, line)

    def _materials_element(self, name: str, attributes: dict[str, str]) -> None:
        if name == "colorgroup":
            self._open_group(attributes["id"])
        elif name == "color":
            self._add_color(attributes["color"])
        elif name in ("texture2dgroup", "compositematerials", "multiproperties"):
            self.left_out.add(name)

    def _check_model(self, attributes: dict[str, str], line: int) -> None:
        unit = attributes.get("unit", DEFAULT_UNIT)
        if unit not in METRES:
            problem = f"has the unit {shown(unit)}, which is not one of {', '.join(METRES)}"
            raise ModelError(problem, place=self._at(line), remedy=EXPORT_AGAIN)
        self.metres = METRES[unit]
        required = [self._namespaces.get(prefix, prefix) for prefix in attributes.get("requiredextensions", "").split()]
        unknown = [each for each in required if each not in SUPPORTED]
        if unknown:
            problem = f"requires the extension {shown(unknown[0])}, which this version cannot read"
            raise ModelError(problem, place=self._at(line), remedy="export without it")

    def _add_object(self, attributes: dict[str, str], line: int) -> None:
        key = attributes["id"]
        if key in self.objects:
            raise ModelError(f"defines object {shown(key)} twice", place=self._at(line), remedy=EXPORT_AGAIN)
        name = attributes.get("name") or f"object {key}"
        place = f"{self.name}, object {shown(key)}"
        color = int(attributes.get("pindex", 0))
        if not 0 <= color < MAX_INDEX:
            raise ValueError
        self._object = ObjectResource(name, place, attributes.get("pid"), color)
        self.objects[key] = self._object

    def _open_group(self, key: str) -> None:
        self._group = key
        self._groups[key] = (len(self._codes), 0)

    def _add_color(self, text: str) -> None:
        """Append `#RRGGBB` or `#RRGGBBAA` to the open group."""
        if _COLOR.fullmatch(text) is None or self._group not in self._groups:
            raise ValueError
        self._codes.append(tuple(bytes.fromhex(text[1:].ljust(8, "F"))))
        start, count = self._groups[self._group]
        self._groups[self._group] = (start, count + 1)

    def _reference(self, attributes: dict[str, str], line: int) -> Reference:
        values: FloatArray = np.array([float(word) for word in attributes.get("transform", NO_TRANSFORM).split()])
        if len(values) != 12 or not (np.abs(values) < MAX_ENTRY).all():
            raise ModelError("transform must be 12 finite numbers", place=self._at(line), remedy=EXPORT_AGAIN)
        matrix = np.eye(4)
        matrix[:3] = values.reshape(4, 3).T  # the file's matrices multiply row vectors
        path = attributes.get(f"{PRODUCTION}{SEPARATOR}path")
        return Reference(path, attributes["objectid"], matrix, self._at(line))

    def _properties(self, attributes: dict[str, str]) -> tuple[int, int, int, int]:
        key, first = attributes.get("pid"), attributes.get("p1")
        if first is None:
            return -1, -1, -1, -1
        group = -1 if key is None else self._numbers.setdefault(key, len(self._numbers))
        # One index is that of all three corners.
        return group, int(first), int(attributes.get("p2", first)), int(attributes.get("p3", first))

    def _at(self, line: int) -> str:
        return f"{self.name}, line {line:,}"
