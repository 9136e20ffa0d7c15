"""The glTF document in memory: its JSON, unchanged, and checked access to the JSON's members.

The document stays a plain dictionary, because everything that the pipeline does not understand must survive it (extras,
unknown extensions, XMP). Every index and every length in it is untrusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import FloatArray
from ..errors import ModelError, shown

Json = dict[str, Any]

DRACO = "KHR_draco_mesh_compression"
TEXTURE_TRANSFORM = "KHR_texture_transform"
# The modes of primitives.
POINTS, LINES, LINE_LOOP, LINE_STRIP, TRIANGLES, TRIANGLE_STRIP, TRIANGLE_FAN = range(7)
MAX_INTEGER = 1 << 53  # larger JSON numbers are not exact integers in a double


@dataclass(frozen=True)
class Document:
    """A parsed glTF asset.

    buffers: the content of each buffer. image_files: image index → encoded bytes, of images outside the buffers.
    sha256: over the file and every file that it names. bytes: the sum of their sizes.
    notes: remarks for the artist about how the file was read.
    """

    name: str
    json: Json
    buffers: tuple[bytes, ...]
    image_files: dict[int, bytes]
    sha256: str
    bytes: int
    notes: tuple[str, ...] = ()


def items(document: Json, key: str, place: str = "") -> list[Json]:
    """The array `key` of the document (or of the object at `place`); empty if absent.

    Raises ModelError if it is not an array of objects.
    """
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(element, dict) for element in found):
        raise ModelError("must be an array of objects", place=f"{place}, {key}" if place else key)
    return found


def item(document: Json, key: str, index: Any, place: str) -> Json:
    """Element `index` of the top-level array `key`.

    place: the object that holds the index, for the error. Raises ModelError if there is no such element.
    """
    found = document.get(key, [])
    if not isinstance(found, list):
        raise ModelError("must be an array of objects", place=key)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise ModelError(f"points at {key}[{shown(index)}], but the file has {len(found)} {key}", place=place)
    # Check this element alone: the pipeline looks up nodes by the hundred thousand.
    if not isinstance(found[index], dict):
        raise ModelError("must be an object", place=f"{key}[{index}]")
    element: Json = found[index]
    return element


def objects_in(value: Any) -> list[Json]:
    """The objects in a value that should be an array of objects; empty if it is not an array."""
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []


def integer(holder: Json, key: str, place: str, default: int | None = None) -> int:
    """The property `key` as a non-negative integer. Raises ModelError if it is anything else."""
    value = holder.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise ModelError(f"{key} must be a non-negative integer, not {shown(value)}", place=place)
    return value


def numbers(value: Any, count: int, place: str) -> FloatArray:
    """A JSON array of `count` finite numbers, as float64 (count,). Raises ModelError if it is anything else."""
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e300 for x in value)
    ):
        raise ModelError(f"must be {count} finite numbers", place=place)
    return np.array(value, np.float64)


def label(noun: str, index: int, holder: Json) -> str:
    """The name of an object of the document in an error, such as `mesh 3 "seat"`."""
    name = holder.get("name")
    return f'{noun} {index} "{name[:80]}"' if isinstance(name, str) and name else f"{noun} {index}"


def name_of(holder: Json, fallback: str) -> str:
    """The name of an object of the document; `fallback` if it has none."""
    name = holder.get("name")
    return name if isinstance(name, str) and name else fallback


def texture_slots(holder: Any) -> Iterator[tuple[str, Json]]:
    """Every textureInfo in a material, its extensions included, as (property name, textureInfo).

    The name of each such property ends in `Texture`, and its value has an `index`. This holds for all ratified material
    extensions, so that new ones pass through without a list of them here. The index is not checked.
    """
    if isinstance(holder, dict):
        for key, value in holder.items():
            if key == "extras":
                continue
            if key.endswith("Texture") and isinstance(value, dict):
                yield key, value
            yield from texture_slots(value)
