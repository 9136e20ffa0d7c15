"""A glTF file as it came: the JSON document, untouched, and checked access to what it points at.

The document stays a plain dictionary, because everything that the pipeline does not understand must
survive it (extras, unknown extensions, XMP). Every index and length in it is treated as hostile.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import ModelError, shown
from .strict_json import parse_json

Json = dict[str, Any]

DRACO = "KHR_draco_mesh_compression"

COMPONENTS: dict[int, np.dtype[Any]] = {
    5120: np.dtype("<i1"),
    5121: np.dtype("<u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    5126: np.dtype("<f4"),
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}

# What the pipeline either understands or carries through without looking inside.
SUPPORTED_REQUIRED = {
    "KHR_animation_pointer",
    "KHR_node_visibility",
    "EXT_texture_webp",
    DRACO,
    "KHR_lights_punctual",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "KHR_xmp_json_ld",
}
# Optional by the letter, but without them most of the geometry would silently be missing.
CHANGES_GEOMETRY = {"EXT_mesh_gpu_instancing"}
MAX_ELEMENTS = 1 << 28  # a stride of one byte can serve any count; 268 million is past any GPU
MAX_INTEGER = 1 << 53  # past this a JSON number is no exact integer


@dataclass(frozen=True)
class Document:
    """A parsed glTF asset. `sha256` covers the file and every file it needs; `bytes` is their sum; `notes` is what
    the artist should know of how it was read."""

    name: str
    json: Json
    buffers: tuple[bytes, ...]
    image_files: dict[int, bytes]
    sha256: str
    bytes: int
    notes: tuple[str, ...] = ()


def read_document(path: Path, name: str | None = None) -> Document:
    """Read a `.glb` or `.gltf` file and every file it needs: its buffers, and the images that a texture shows.

    Raises ModelError when the container, the JSON or a named file is broken or missing.
    """
    raw = _read(path, place="")
    digest = hashlib.sha256(raw)
    total = len(raw)
    if path.suffix.lower() == ".glb":
        text, chunk = _split_glb(raw)
    else:
        text, chunk = raw, None
    document = _parse_gltf(text)

    buffers: list[bytes] = []
    for index, buffer in enumerate(items(document, "buffers")):
        place = f"buffer {index}"
        length = integer(buffer, "byteLength", place)
        uri = buffer.get("uri")
        if uri is None:
            if index != 0 or chunk is None:
                raise ModelError("has no uri and the file has no binary chunk", place=place)
            content = chunk
        else:
            content, external = resolve(path, uri, place)
            if external:
                digest.update(content)
                total += len(content)
        if len(content) < length:
            raise ModelError(
                f"declares {length:,} bytes but only {len(content):,} are there",
                place=place,
                remedy="the file is truncated: export or copy it again",
            )
        buffers.append(content)

    image_files: dict[int, bytes] = {}
    shown = _shown_images(document)
    for index, image in enumerate(items(document, "images")):
        if image.get("bufferView") is None and index in shown:
            place = label("image", index, image)
            if image.get("uri") is None:
                raise ModelError("has neither uri nor bufferView", place=place)
            content, external = resolve(path, image["uri"], place)
            if external:
                digest.update(content)
                total += len(content)
            image_files[index] = content
    return Document(name or path.name, document, tuple(buffers), image_files, digest.hexdigest(), total)


def read_accessor(document: Document, index: Any, place: str, *, normalize: bool = True) -> AnyArray:
    """Read accessor `index` as an array of shape (count, width), sparse values applied.

    Normalised integers become float32 in 0…1 or −1…1 unless `normalize` is false.
    Raises ModelError when anything about it does not add up.
    """
    accessor = item(document.json, "accessors", index, place)
    place = f"{place}, accessor {index}"
    dtype = _component(accessor)
    width = WIDTHS.get(str(accessor.get("type")))
    if dtype is None or width is None:
        raise ModelError("has an unknown componentType or type", place=place)
    count = integer(accessor, "count", place)
    if count * width > MAX_ELEMENTS:
        raise ModelError(f"declares {count:,} elements, more than any real model holds", place=place)
    if accessor.get("bufferView") is None:
        # Sparse values refine vertices that another accessor describes with a byte each at least.
        if count > sum(map(len, document.buffers)):
            raise ModelError(f"declares {count:,} elements and has no data", place=place)
        values = np.zeros((count, width), dtype)
    else:
        view, stride = _view(document, accessor["bufferView"], place)
        values = _strided(view, integer(accessor, "byteOffset", place, 0), count, width, dtype, stride, place)
    sparse = accessor.get("sparse")
    if sparse is not None:
        values = values.copy()
        _apply_sparse(document, sparse, values, place)
    if dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ModelError(
            f"element {bad:,} is not a finite number",
            place=place,
            remedy="clean the model in the modelling program and export it again",
        )
    if accessor.get("normalized") and dtype.kind in "iu" and normalize:
        scaled: AnyArray = values.astype(np.float32) / np.float32(np.iinfo(dtype).max)
        return np.maximum(scaled, np.float32(-1.0))
    return values


def read_image(document: Document, index: int) -> bytes:
    """The encoded bytes of image `index`."""
    image = item(document.json, "images", index, "images")
    if index in document.image_files:
        return document.image_files[index]
    view, _ = _view(document, image["bufferView"], label("image", index, image))
    return bytes(view)


def view_bytes(document: Document, index: Any, place: str) -> bytes:
    """The bytes of bufferView `index`."""
    return bytes(_view(document, index, place)[0])


def items(document: Json, key: str, place: str = "") -> list[Json]:
    """The array `key` of the document (or of the object at `place`), empty when absent; every element is
    checked to be an object."""
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(element, dict) for element in found):
        raise ModelError("must be an array of objects", place=f"{place}, {key}" if place else key)
    return found


def item(document: Json, key: str, index: Any, place: str) -> Json:
    """Element `index` of the top-level array `key`, or a ModelError that names who pointed there."""
    found = document.get(key, [])
    if not isinstance(found, list):
        raise ModelError("must be an array of objects", place=key)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise ModelError(f"points at {key}[{shown(index)}], but the file has {len(found)} {key}", place=place)
    # Only this one is checked: nodes are looked up by the hundred thousand.
    if not isinstance(found[index], dict):
        raise ModelError("must be an object", place=f"{key}[{index}]")
    element: Json = found[index]
    return element


def integer(holder: Json, key: str, place: str, default: int | None = None) -> int:
    """A non-negative integer property."""
    value = holder.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise ModelError(f"{key} must be a non-negative integer, not {shown(value)}", place=place)
    return value


def numbers(value: Any, count: int, place: str) -> FloatArray:
    """A JSON array of so many finite numbers. Raises ModelError for anything else."""
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e300 for x in value)
    ):
        raise ModelError(f"must be {count} finite numbers", place=place)
    return np.array(value, np.float64)


def label(noun: str, index: int, holder: Json) -> str:
    """`mesh 3 "seat"`: how an error names an object of the document."""
    name = holder.get("name")
    return f'{noun} {index} "{name[:80]}"' if isinstance(name, str) and name else f"{noun} {index}"


def name_of(holder: Json, fallback: str) -> str:
    """What an object of the document is called; `fallback` where it has no name."""
    name = holder.get("name")
    return name if isinstance(name, str) and name else fallback


def texture_slots(holder: Any) -> Iterator[tuple[str, Json]]:
    """Every textureInfo below a material, extensions included, as (property name, textureInfo).

    glTF names each of them `…Texture` and gives each an `index`; that holds for all ratified material
    extensions, so new ones pass through without being known here. The index is not checked.
    """
    if isinstance(holder, dict):
        for key, value in holder.items():
            if key == "extras":
                continue
            if key.endswith("Texture") and isinstance(value, dict):
                yield key, value
            yield from texture_slots(value)


def _shown_images(document: Json) -> set[int]:
    """The images that some texture shows: exporters leave others behind, often without their files."""
    textures = items(document, "textures")
    holders = [*textures, *(e for t in textures if isinstance(x := t.get("extensions"), dict) for e in x.values())]
    sources = [holder.get("source") for holder in holders if isinstance(holder, dict)]
    return {source for source in sources if isinstance(source, int)}


def _read(path: Path, place: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path.name} is missing", place=place, remedy="put it beside the model") from None
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}", place=place) from None


def _split_glb(raw: bytes) -> tuple[bytes, bytes | None]:
    if len(raw) < 20 or raw[:4] != b"glTF":
        raise ModelError(
            "this is not a GLB file: it does not start with the glTF magic",
            remedy="export it as binary glTF 2.0, or rename it to what it is",
        )
    version, length = struct.unpack_from("<II", raw, 4)
    if version != 2:
        raise ModelError(f"is glTF version {version}", remedy="only glTF 2.0 is supported: export it again")
    if length > len(raw):
        raise ModelError(
            f"the header declares {length:,} bytes but the file has {len(raw):,}",
            remedy="the file is truncated: export or copy it again",
        )
    chunks: list[tuple[int, bytes]] = []
    offset = 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<II", raw, offset)
        if offset + 8 + size > length:
            raise ModelError(f"chunk at byte {offset} declares {size:,} bytes, past the end of the file")
        chunks.append((kind, raw[offset + 8 : offset + 8 + size]))
        offset += 8 + size + (-size % 4)
    if not chunks or chunks[0][0] != 0x4E4F534A:
        raise ModelError("the first chunk is not JSON", remedy="the file is damaged: export it again")
    binary = next((content for kind, content in chunks[1:] if kind == 0x004E4942), None)
    return chunks[0][1], binary


def _parse_gltf(text: bytes) -> Json:
    """The document of a file whose version and required extensions can be read."""
    parsed = parse_json(text)
    if not isinstance(parsed, dict):
        raise ModelError("the JSON is not an object, so this is not glTF")
    asset = parsed.get("asset")
    if not isinstance(asset, dict) or not str(asset.get("version", "")).startswith("2."):
        raise ModelError("asset.version is not 2.x", remedy="only glTF 2.0 is supported: export it again")
    for key in ("extensionsUsed", "extensionsRequired"):
        names = parsed.get(key, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ModelError("must be an array of strings", place=key)
    needed = {*parsed.get("extensionsRequired", []), *(CHANGES_GEOMETRY & {*parsed.get("extensionsUsed", [])})}
    unknown = sorted(n for n in needed if n not in SUPPORTED_REQUIRED and not n.startswith("KHR_materials_"))
    if unknown:
        raise ModelError(
            f"needs {', '.join(unknown)}, which this version cannot read",
            remedy="export without this extension: the pipeline compresses by itself",
        )
    return parsed


def resolve(model: Path, uri: Any, place: str) -> tuple[bytes, bool]:
    """The bytes behind a uri, and whether they came from another file."""
    if not isinstance(uri, str):
        raise ModelError(f"uri must be a string, not {shown(uri)}", place=place)
    if uri.startswith("data:"):
        header, comma, payload = uri.partition(",")
        if not comma or not header.endswith(";base64"):
            raise ModelError("its data: uri is not base64", place=place)
        try:
            return base64.b64decode(payload, validate=True), False
        except ValueError as error:
            raise ModelError(f"its data: uri is broken: {error}", place=place) from None
    named = unquote(uri)
    named = named if len(named) <= 120 else named[:117] + "…"
    if "://" in uri:
        raise ModelError(f'"{named}" is no file beside the model', place=place, remedy="put the file beside the model")
    folder = model.parent.resolve()
    try:
        target = (folder / unquote(uri)).resolve()
        there = target.is_file()
    except (OSError, ValueError):
        raise ModelError(f'"{named}" is not a file name', place=place) from None
    if not target.is_relative_to(folder):
        raise ModelError(f'"{named}" leaves the model\'s folder', place=place, remedy="put the file beside the model")
    if not there:
        raise ModelError(f'"{named}" is missing', place=place, remedy="put the file beside the model")
    return _read(target, place), True


def _view(document: Document, index: Any, place: str) -> tuple[memoryview, int | None]:
    view = item(document.json, "bufferViews", index, place)
    place = f"{place}, bufferView {index}"
    buffer = view.get("buffer")
    if isinstance(buffer, bool) or not isinstance(buffer, int) or not 0 <= buffer < len(document.buffers):
        raise ModelError(f"points at buffers[{shown(buffer)}]", place=place)
    start = integer(view, "byteOffset", place, 0)
    length = integer(view, "byteLength", place)
    content = document.buffers[buffer]
    if start + length > len(content):
        raise ModelError(f"ends at byte {start + length:,} of a buffer of {len(content):,}", place=place)
    stride = view.get("byteStride")
    return memoryview(content)[start : start + length], (
        integer(view, "byteStride", place) if stride is not None else None
    )


def _strided(
    view: memoryview, offset: int, count: int, width: int, dtype: np.dtype[Any], stride: int | None, place: str
) -> AnyArray:
    size = dtype.itemsize * width
    step = stride or size
    end = offset + (count - 1) * step + size if count else offset
    if end > len(view):
        raise ModelError(
            f"needs {end:,} bytes but its bufferView has {len(view):,}",
            place=place,
            remedy="the file is damaged: export it again",
        )
    return np.ndarray((count, width), dtype, view, offset, (step, dtype.itemsize))


def _component(holder: Json) -> np.dtype[Any] | None:
    kind = holder.get("componentType")
    return COMPONENTS.get(kind) if isinstance(kind, int) else None


def _apply_sparse(document: Document, sparse: Any, values: AnyArray, place: str) -> None:
    if not isinstance(sparse, dict) or not all(isinstance(sparse.get(k), dict) for k in ("indices", "values")):
        raise ModelError("has a broken sparse object", place=place)
    count = integer(sparse, "count", place)
    if count > len(values):
        raise ModelError(f"has {count:,} sparse values for {len(values):,} elements", place=place)
    kind = _component(sparse["indices"])
    if kind is None or kind.kind != "u":
        raise ModelError("sparse indices must be unsigned integers", place=place)
    view, _ = _view(document, sparse["indices"].get("bufferView"), place)
    offset = integer(sparse["indices"], "byteOffset", place, 0)
    indices = _strided(view, offset, count, 1, kind, None, place).reshape(-1)
    view, _ = _view(document, sparse["values"].get("bufferView"), place)
    offset = integer(sparse["values"], "byteOffset", place, 0)
    replacement = _strided(view, offset, count, values.shape[1], values.dtype, None, place)
    if count and int(indices.max()) >= len(values):
        raise ModelError(f"a sparse index is past the end of {len(values):,} elements", place=place)
    values[indices] = replacement
