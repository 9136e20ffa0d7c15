"""The bundle on this machine: its files, checked before anything is sent, and the form in which they are stored."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..bundle.files import CATALOGUE, check, read_hashed, read_manifest
from ..bundle.headers import ENCODINGS, cache_control, media_type
from ..errors import ModelError, os_reason
from .errors import PublishError
from .store import PLAIN, Object

if TYPE_CHECKING:
    from ..gltf.document import Json

INDEX = "index.html"
COMPRESSED_SUFFIXES = tuple(suffix for _, suffix in ENCODINGS)
# Files that shrink; geometry and pictures are compressed in themselves.
COMPRESSIBLE = (".html", ".js", ".json", ".css", ".svg", ".ts", ".wasm", ".map", ".txt")


@dataclass(frozen=True)
class File:
    """A file that a manifest or the catalogue names."""

    key: str
    bytes: int


class LocalBundle:
    """A built bundle in a folder. Raises PublishError if it has no catalogue."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self.catalogue = (root / CATALOGUE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise PublishError(
                f"{root} is not a bundle: it has no {CATALOGUE}", remedy="run streamxr build first"
            ) from None
        except OSError as error:
            raise PublishError(f"cannot be read: {os_reason(error)}", place=str(root / CATALOGUE)) from None

    def assets(self) -> dict[str, Json]:
        """The entries of the checked catalogue by asset."""
        return catalogue_assets(self.catalogue, str(self.root / CATALOGUE))

    def asset_files(self, entry: Json) -> list[File]:
        """The files of one asset, its manifest last. Raises ModelError if the manifest is damaged or missing."""
        manifest = read_manifest(self.root, entry["manifest"])
        base = {key: manifest["base"][key] for key in ("uri", "bytes")}
        if entry["base"] != base:
            problem = f"names another base than {entry['manifest']['uri']}"
            raise PublishError(problem, place=CATALOGUE, remedy="build again with --force")
        return [*manifest_files(manifest), File(entry["manifest"]["uri"], entry["manifest"]["bytes"])]

    def verify(self, files: Iterable[File]) -> None:
        """Raises ModelError unless every file exists and has the size and hash that its name states."""
        for file in files:
            read_hashed(self.root, {"uri": file.key, "bytes": file.bytes})

    def page(self, *, compressed_beside: bool) -> dict[str, str]:
        """The SHA-256 of each file of page and library, by key; empty if the bundle has no page.

        compressed_beside: whether to list `name.br` and `name.gz` too.
        """
        page = self.root / INDEX
        paths = [*sorted(p for p in (self.root / "viewer").rglob("*") if p.is_file()), page] if page.is_file() else []
        keys = [path.relative_to(self.root).as_posix() for path in paths]
        chosen = [key for key in keys if compressed_beside or not key.endswith(COMPRESSED_SUFFIXES)]
        return {key: hashlib.sha256(self.read(key)).hexdigest() for key in chosen}

    def read(self, key: str) -> bytes:
        try:
            return (self.root / key).read_bytes()
        except OSError as error:
            raise PublishError(f"cannot be read: {os_reason(error)}", place=key, remedy="build again") from None

    def object(self, key: str, encoding: str) -> Object:
        """A file in the form in which it is stored: compressed if an `encoding` is wanted and the file shrinks."""
        if key == CATALOGUE:
            return stored_form(key, self.catalogue, encoding)
        made = dict(ENCODINGS).get(encoding)
        if made and not key.startswith(("o/", "a/")) and (self.root / f"{key}{made}").is_file():
            return Object(key, self.read(f"{key}{made}"), media_type(key), cache_control(key), encoding)
        return stored_form(key, self.read(key), encoding)


def stored_form(key: str, content: bytes, encoding: str) -> Object:
    """A file with the headers of its kind, compressed by `encoding` if files of its kind shrink."""
    compressible = PurePosixPath(key).suffix in COMPRESSIBLE
    chosen = encoding if compressible else PLAIN
    return Object(key, _compress(content, chosen), media_type(key), cache_control(key), chosen)


def catalogue_assets(content: bytes, place: str) -> dict[str, Json]:
    """The entries of a catalogue by asset. Raises PublishError if it is damaged."""
    try:
        catalogue = json.loads(content)
        check(catalogue, "Catalogue", place)
    except (ValueError, RecursionError) as error:
        raise PublishError(f"is not JSON: {error}", place=place) from None
    except ModelError as error:
        raise PublishError(f"is not a catalogue: {error.problem}", place=error.place) from None
    assets: dict[str, Json] = catalogue["assets"]
    return assets


def manifest_files(manifest: Json) -> Iterator[File]:
    """All files that a manifest names, each once."""
    found = [manifest["base"], manifest["objects"]]
    found += [animation["keyframes"] for animation in manifest["animations"]]
    found += [level for texture in manifest["textures"] for level in texture["levels"]]
    found += [region["refinement"] for tree in manifest["trees"] for region in tree["regions"]]
    files = {file["uri"]: file["bytes"] for file in found if file is not None and file["uri"] is not None}
    return (File(uri, size) for uri, size in files.items())


def _compress(content: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(content, 9, mtime=0)
    if encoding == "br":
        try:
            import brotli
        except ImportError:
            problem = "--precompressed br needs the package brotli"
            raise PublishError(problem, remedy="pip install 'streamxr[publish]', or use --precompressed gzip") from None
        result: bytes = brotli.compress(content)
        return result
    return content
