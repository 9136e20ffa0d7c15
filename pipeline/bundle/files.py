"""The bundle on disk: content-addressed files, manifests, and the catalogue, its only mutable file.

Each file is written beside its place and renamed into it, so that a reader sees the whole file or none, even if the
build is killed. The catalogue is written last, so all files that it names exist.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, os_reason, shown

if TYPE_CHECKING:
    from ..gltf.document import Json

CATALOGUE = "bundle.json"
HASH_DIGITS = 32  # 128 bits of SHA-256: short names, and no collision by accident
FORMAT = "streamxr/bundle"
VERSION = 1

_FREE_SPACE = "free space on its disk and build again"
_MAKE_WRITABLE = "make the folder writable, or build into another one with --output"
_REMEDIES = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EACCES: _MAKE_WRITABLE,
    errno.EPERM: _MAKE_WRITABLE,
    errno.EROFS: _MAKE_WRITABLE,
    errno.EFBIG: "its file system, or this shell's ulimit -f, does not allow files of this size",
}


class BundleWriteError(ModelError):
    """A file of the bundle that could not be written: the disk is full, or the folder is not writable."""

    def __init__(self, path: Path, error: OSError) -> None:
        remedy = _REMEDIES.get(error.errno or 0, "build into another folder with --output")
        super().__init__(f"cannot write {path}: {os_reason(error)}", remedy=remedy)


class Bundle:
    """A folder that holds a bundle. Methods that write raise BundleWriteError if the file cannot be written."""

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
        """The catalogue; an empty one if the bundle has none yet. Raises ModelError if it is damaged."""
        path = self.root / CATALOGUE
        if not path.exists():
            return {"format": FORMAT, "version": VERSION, "generator": "", "assets": {}}
        try:
            catalogue = json.loads(path.read_bytes())
        except OSError as error:
            raise ModelError(f"cannot be read: {os_reason(error)}", place=str(path)) from None
        except ValueError as error:
            raise ModelError(f"is not JSON: {error}", place=CATALOGUE, remedy="delete it and build again") from None
        check(catalogue, "Catalogue", CATALOGUE)
        result: Json = catalogue
        return result

    def write_catalogue(self, generator: str, assets: Json) -> None:
        """Replace the catalogue; from now on readers see the new bundle."""
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
        """Copy the built page, library and Draco decoder into the bundle, and remove older files of the viewer.

        Raises ModelError if a file of the installation cannot be read.
        """
        site = _site()
        if site is None:
            return  # a source tree whose viewer is not built; `make setup` builds it
        keep = set()
        for path in sorted(p for p in site.rglob("*") if p.is_file()):
            relative = path.relative_to(site).as_posix()
            keep.add(relative)
            self._write(relative, _read_installed(path), replace=True)
        folder = self.root / "viewer"
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.is_file() and path.relative_to(self.root).as_posix() not in keep:
                path.unlink()

    def sweep(self) -> None:
        """Remove unfinished files of processes that no longer run."""
        for path in self.root.glob(".writing-*"):
            if not _alive(path.name.split("-")[1]):
                path.unlink(missing_ok=True)

    def _write(self, relative: str, content: bytes, *, replace: bool = False) -> None:
        path = self.root / relative
        try:
            if not _holds(path, content, compare=replace):
                _replace(path, content, self.root / f".writing-{os.getpid()}-{path.name}")
        except OSError as error:
            raise BundleWriteError(path, error) from None


def content_hash(content: bytes) -> str:
    """The first 128 bits of SHA-256 in hexadecimal: the name of a file."""
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def read_manifest(root: Path, file: Json) -> Json:
    """The manifest at {uri, bytes}. Raises ModelError if its hash, size or schema is wrong."""
    content = read_hashed(root, file)
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ModelError(f"is not JSON: {error}", place=file["uri"]) from None
    check(manifest, "Manifest", file["uri"])
    result: Json = manifest
    return result


def read_hashed(root: Path, file: Json) -> bytes:
    """The content of {uri, bytes}. Raises ModelError if the file cannot be read, or its size or hash is wrong."""
    try:
        content: bytes = (root / file["uri"]).read_bytes()
    except FileNotFoundError:
        raise ModelError("is missing", place=file["uri"], remedy="build again") from None
    except OSError as error:
        raise ModelError(f"cannot be read: {os_reason(error)}", place=file["uri"]) from None
    if len(content) != file["bytes"]:
        problem = f"has {len(content):,} bytes instead of {file['bytes']:,}"
        raise ModelError(problem, place=file["uri"], remedy="build again with --force")
    digest = content_hash(content)
    if digest not in file["uri"]:
        raise ModelError(f"has the hash {digest}", place=file["uri"], remedy="build again with --force")
    return content


def check(document: Any, definition: str, name: str) -> None:
    """Check a document against one definition of the bundle's schema. Raises ModelError if it does not conform."""
    import jsonschema  # here, since it takes long to load, and a first build starts without it

    _check_version(document, name)
    schema = load_schema()
    validator = jsonschema.Draft202012Validator({**schema, "oneOf": [{"$ref": f"#/$defs/{definition}"}]})
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise ModelError(error.message[:300], place=f"{name}{error.json_path[1:]}")


def _check_version(document: Any, name: str) -> None:
    """Raises ModelError for another version, of which the schema could only say that a number was expected."""
    version = document.get("version", VERSION) if isinstance(document, dict) else VERSION
    if version == VERSION:
        return
    is_newer = isinstance(version, int) and version > VERSION
    remedy = "update StreamXR" if is_newer else "build again with --force"
    raise ModelError(f"is {shown(version)}, but this StreamXR reads {VERSION}", place=f"{name}.version", remedy=remedy)


def load_schema() -> Json:
    """The JSON Schema of catalogue and manifest."""
    from importlib import resources

    text = resources.files("streamxr.pipeline").joinpath("bundle.schema.json").read_text("utf-8")
    schema: Json = json.loads(text)
    return schema


def free_bytes(root: Path) -> int:
    """Free bytes on the disk of a bundle, whose folder need not exist yet."""
    place = root
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _holds(path: Path, content: bytes, *, compare: bool) -> bool:
    """Whether a file has this content; unless `compare`, whether it has its size, since its name is its hash."""
    if not path.is_file() or path.stat().st_size != len(content):
        return False
    return not compare or path.read_bytes() == content


def _replace(path: Path, content: bytes, temporary: Path) -> None:
    """Write a file and sync it to the disk, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _alive(pid: str) -> bool:
    """Whether the process of this number runs. False on Windows, where a signal to find out would end it."""
    if sys.platform == "win32" or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _compact(document: Json) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _site() -> Path | None:
    """The folder of the built viewer, which is installed as the package `streamxr.site` without any code."""
    spec = importlib.util.find_spec("streamxr.site")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "index.html").is_file():
            return Path(location)
    return None


def _read_installed(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"cannot read {path}, a file of the viewer: {os_reason(error)}"
        raise ModelError(problem, remedy="install streamxr again") from None
