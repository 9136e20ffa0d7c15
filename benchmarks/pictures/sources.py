"""The models of a folder, each as one GLB that every tool reads."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import node
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import SUFFIXES, read_model
from streamxr.pipeline.gltf.document import Document

SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True)
class Model:
    name: str
    path: Path

    def as_glb(self, folder: Path) -> Path:
        """A GLB of the model: the file itself if it is one. Raises ModelError or PeerError."""
        suffix = self.path.suffix.lower()
        if suffix == ".glb":
            return self.path
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{self.name}.glb"
        if suffix == ".gltf":
            node("glb", self.path, target)
        else:
            target.write_bytes(packed(read_model(self.path)))
        return target


def find(folder: Path, only: tuple[str, ...] = ()) -> list[Model]:
    """The models below a folder by name. only: names of files, or parts of names; empty for all."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    chosen = [path for path in paths if not only or any(part.lower() in path.stem.lower() for part in only)]
    return [Model(path.stem, path) for path in chosen]


def packed(document: Document) -> bytes:
    """A document as a GLB, with its pictures inside. Raises ModelError for a picture of an unknown format."""
    out: dict[str, Any] = json.loads(json.dumps(document.json))
    chunk = bytearray()

    def append(content: bytes) -> int:
        chunk.extend(b"\0" * (-len(chunk) % 4))
        start = len(chunk)
        chunk.extend(content)
        return start

    starts = [append(content) for content in document.buffers]
    for view in out.get("bufferViews", []):
        view["byteOffset"] = starts[view["buffer"]] + view.get("byteOffset", 0)
        view["buffer"] = 0
    for index, content in document.image_files.items():
        kind = next((kind for start, kind in SIGNATURES.items() if content.startswith(start)), None)
        if kind is None:
            raise ModelError("is neither PNG nor JPEG nor WebP", place=f"image {index}")
        out.setdefault("bufferViews", []).append(
            {"buffer": 0, "byteOffset": append(content), "byteLength": len(content)}
        )
        out["images"][index] = {"bufferView": len(out["bufferViews"]) - 1, "mimeType": kind}
    chunk.extend(b"\0" * (-len(chunk) % 4))
    out["buffers"] = [{"byteLength": len(chunk)}]
    text = json.dumps(out, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(chunk), 0x004E4942) + chunk
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
