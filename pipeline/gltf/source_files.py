"""Read the files of a glTF asset: the container (.glb or .gltf), its buffers and its images."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import DAMAGED, TRUNCATED, ModelError, os_reason, shown
from .document import DRACO, TEXTURE_TRANSFORM, Document, Json, integer, items, label
from .instances import INSTANCING
from .strict_json import parse_json

# Required extensions that the pipeline understands, or passes through unread.
SUPPORTED_REQUIRED = {
    "KHR_animation_pointer",
    "KHR_node_visibility",
    INSTANCING,
    "EXT_texture_webp",
    DRACO,
    "KHR_lights_punctual",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    TEXTURE_TRANSFORM,
    "KHR_xmp_json_ld",
}
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
PUT_BESIDE = "put the file beside the model"


def read_document(path: Path, name: str | None = None) -> Document:
    """Read a `.glb` or `.gltf` file and every file it needs: its buffers, and the images that its textures use.

    Raises ModelError if the container, the JSON or a named file is broken or missing.
    """
    raw = read_file(path)
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
            content, external = read_uri(path, uri, place)
            if external:
                digest.update(content)
                total += len(content)
        if len(content) < length:
            problem = f"declares {length:,} bytes but only {len(content):,} are there"
            raise ModelError(problem, place=place, remedy=TRUNCATED)
        buffers.append(content)

    image_files: dict[int, bytes] = {}
    used = _used_images(document)
    for index, image in enumerate(items(document, "images")):
        if image.get("bufferView") is None and index in used:
            place = label("image", index, image)
            if image.get("uri") is None:
                raise ModelError("has neither uri nor bufferView", place=place)
            content, external = read_uri(path, image["uri"], place)
            if external:
                digest.update(content)
                total += len(content)
            image_files[index] = content
    return Document(name or path.name, document, tuple(buffers), image_files, digest.hexdigest(), total)


def read_uri(model: Path, uri: Any, place: str) -> tuple[bytes, bool]:
    """The content of a uri, and whether it is another file (and not a data: uri).

    Raises ModelError if the file is missing, or lies outside the model's folder.
    """
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
    name = unquote(uri)
    name = name if len(name) <= 120 else name[:117] + "…"
    if "://" in uri:
        raise ModelError(f'"{name}" is not a file beside the model', place=place, remedy=PUT_BESIDE)
    folder = model.parent.resolve()
    try:
        target = (folder / unquote(uri)).resolve()
        exists = target.is_file()
    except ValueError:
        raise ModelError(f'"{name}" is not a file name', place=place) from None
    except OSError as error:
        raise ModelError(f'"{name}" cannot be read: {os_reason(error)}', place=place) from None
    except RuntimeError:  # Python before 3.13 raises it for a circle of symbolic links
        raise ModelError(f'"{name}" cannot be read: it is a circle of symbolic links', place=place) from None
    if not target.is_relative_to(folder):
        raise ModelError(f'"{name}" leaves the model\'s folder', place=place, remedy=PUT_BESIDE)
    if not exists:
        raise ModelError(f'"{name}" is missing', place=place, remedy=PUT_BESIDE)
    try:
        return target.read_bytes(), True
    except OSError as error:
        raise ModelError(f'"{name}" cannot be read: {os_reason(error)}', place=place) from None


def read_file(path: Path) -> bytes:
    """The content of a model file. Raises ModelError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {os_reason(error)}") from None


def sha256_of(contents: Sequence[bytes]) -> str:
    """SHA-256 over contents, one after the other."""
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()


def _used_images(document: Json) -> set[int]:
    """The images that a texture uses. Exporters leave others behind, often without their files."""
    textures = items(document, "textures")
    holders = [*textures, *(e for t in textures if isinstance(x := t.get("extensions"), dict) for e in x.values())]
    sources = [holder.get("source") for holder in holders if isinstance(holder, dict)]
    return {source for source in sources if isinstance(source, int)}


def _split_glb(raw: bytes) -> tuple[bytes, bytes | None]:
    """The JSON chunk and the binary chunk of a GLB file."""
    if len(raw) < 20 or raw[:4] != b"glTF":
        raise ModelError(
            "this is not a GLB file: it does not start with the glTF magic",
            remedy="export it as binary glTF 2.0, or correct the file name's extension",
        )
    version, length = struct.unpack_from("<II", raw, 4)
    if version != 2:
        raise ModelError(f"is glTF version {version}", remedy="only glTF 2.0 is supported: export it again")
    if length > len(raw):
        problem = f"the header declares {length:,} bytes but the file has {len(raw):,}"
        raise ModelError(problem, remedy=TRUNCATED)
    chunks: list[tuple[int, bytes]] = []
    offset = 12
    while offset + 8 <= length:
        size, kind = struct.unpack_from("<II", raw, offset)
        if offset + 8 + size > length:
            raise ModelError(f"chunk at byte {offset} declares {size:,} bytes, past the end of the file")
        chunks.append((kind, raw[offset + 8 : offset + 8 + size]))
        offset += 8 + size + (-size % 4)
    if not chunks or chunks[0][0] != JSON_CHUNK:
        raise ModelError("the first chunk is not JSON", remedy=DAMAGED)
    binary = next((content for kind, content in chunks[1:] if kind == BINARY_CHUNK), None)
    return chunks[0][1], binary


def _parse_gltf(text: bytes) -> Json:
    """The JSON of a file. Raises ModelError unless its version and its required extensions are supported."""
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
    needed = parsed.get("extensionsRequired", [])
    unknown = sorted(n for n in {*needed} if n not in SUPPORTED_REQUIRED and not n.startswith("KHR_materials_"))
    if unknown:
        raise ModelError(
            f"needs {', '.join(unknown)}, which this version cannot read",
            remedy="export without this extension: the pipeline compresses the model itself",
        )
    return parsed
