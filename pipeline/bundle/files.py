"""The bundle on disk: content-addressed files, manifests, and the one mutable catalogue.

Every file is written beside its place and renamed into it, so that a reader, or a build that is killed,
sees the whole file or none; the catalogue comes last, so it never names a file that is not there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError

if TYPE_CHECKING:
    from ..gltf.document import Json

CATALOGUE = "bundle.json"
HASH_DIGITS = 32  # 128 bits of SHA-256: no two files ever collide by accident, and names stay short
FORMAT = "streamxr/bundle"
VERSION = 1


class Bundle:
    """A folder that holds a bundle."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, content: bytes, suffix: str) -> Json:
        """Store a file under its hash; returns {uri, bytes}."""
        digest = content_hash(content)
        uri = f"o/{digest[:2]}/{digest}.{suffix}"
        self._write(uri, content)
        return {"uri": uri, "bytes": len(content)}

    def put_manifest(self, asset: str, manifest: Json) -> Json:
        """Check a manifest against the schema and store it; returns {uri, bytes}."""
        check(manifest, "Manifest", f"manifest of {asset}")
        content = _compact(manifest)
        uri = f"a/{asset}/manifest-{content_hash(content)}.json"
        self._write(uri, content)
        return {"uri": uri, "bytes": len(content)}

    def read_catalogue(self) -> Json:
        """The catalogue; an empty one when there is none yet. Raises ModelError when it is broken."""
        path = self.root / CATALOGUE
        if not path.exists():
            return {"format": FORMAT, "version": VERSION, "generator": "", "assets": {}}
        try:
            catalogue = json.loads(path.read_bytes())
        except (ValueError, OSError) as error:
            raise ModelError(f"cannot be read: {error}", place=CATALOGUE, remedy="delete it and build again") from None
        check(catalogue, "Catalogue", CATALOGUE)
        result: Json = catalogue
        return result

    def write_catalogue(self, generator: str, assets: Json) -> None:
        """Replace the catalogue: from now on readers see the new bundle."""
        catalogue = {
            "format": FORMAT,
            "version": VERSION,
            "generator": generator,
            "assets": {name: assets[name] for name in sorted(assets)},
        }
        check(catalogue, "Catalogue", CATALOGUE)
        content = json.dumps(catalogue, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self._write(CATALOGUE, content, replace=True)

    def write_site(self) -> None:
        """Copy the prebuilt page, library and Draco decoder into the bundle."""
        site = _site()
        if site is None:
            return  # a source tree whose viewer is not built; `make setup` builds it
        keep = set()
        for path in sorted(p for p in site.rglob("*") if p.is_file()):
            relative = path.relative_to(site).as_posix()
            keep.add(relative)
            self._write(relative, path.read_bytes(), replace=True)
        folder = self.root / "viewer"
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.is_file() and path.relative_to(self.root).as_posix() not in keep:
                path.unlink()

    def sweep(self) -> None:
        """Remove what a process that is gone left half written."""
        for path in self.root.glob(".writing-*"):
            if not _alive(path.name.split("-")[1]):
                path.unlink(missing_ok=True)

    def _write(self, relative: str, content: bytes, *, replace: bool = False) -> None:
        path = self.root / relative
        if not replace and path.is_file() and path.stat().st_size == len(content):
            return
        if replace and path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".writing-{os.getpid()}-{path.name}"
        try:
            with temporary.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _alive(pid: str) -> bool:
    """Whether a process, by its number, still runs. Windows has no harmless way to ask."""
    if sys.platform == "win32" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def content_hash(content: bytes) -> str:
    """The first 128 bits of SHA-256 in hexadecimal: the name of a file."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def read_manifest(root: Path, file: Json) -> Json:
    """A manifest whose hash, size and schema are right, or a ModelError."""
    content = read_hashed(root, file)
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ModelError(f"is not JSON: {error}", place=file["uri"]) from None
    check(manifest, "Manifest", file["uri"])
    result: Json = manifest
    return result


def read_hashed(root: Path, file: Json) -> bytes:
    """The content of {uri, bytes}; raises ModelError when it is missing or not what its name says."""
    try:
        content: bytes = (root / file["uri"]).read_bytes()
    except OSError:
        raise ModelError("is missing", place=file["uri"], remedy="build again") from None
    if len(content) != file["bytes"]:
        problem = f"has {len(content):,} bytes instead of {file['bytes']:,}"
        raise ModelError(problem, place=file["uri"], remedy="build again with --force")
    digest = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    if digest not in file["uri"]:
        raise ModelError(f"has the hash {digest}", place=file["uri"], remedy="build again with --force")
    return content


def check(document: Any, definition: str, name: str) -> None:
    """Check a document against one definition of the bundle's schema; raises ModelError."""
    import jsonschema  # here, since it takes long to load, and a first build starts without it

    schema = load_schema()
    validator = jsonschema.Draft202012Validator({**schema, "oneOf": [{"$ref": f"#/$defs/{definition}"}]})
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise ModelError(error.message[:300], place=f"{name}{error.json_path[1:]}")


def load_schema() -> Json:
    """The JSON Schema of catalogue and manifest."""
    from importlib import resources

    text = resources.files("streamxr.pipeline").joinpath("bundle.schema.json").read_text("utf-8")
    schema: Json = json.loads(text)
    return schema


def free_bytes(root: Path) -> int:
    """Free space of the disk that holds the bundle."""
    place = root
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _compact(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _site() -> Path | None:
    """The folder of the built viewer, which is installed as the package `streamxr.site` without any code."""
    spec = importlib.util.find_spec("streamxr.site")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "index.html").is_file():
            return Path(location)
    return None
