"""Small bundles of any number of files, made without a build, and a reader that checks what a visitor would get."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamxr.pipeline.bundle.files import CATALOGUE, Bundle, content_hash

VECTORS = Path(__file__).parents[1] / "vectors" / "v1" / "manifest" / "valid"
MANIFEST = json.loads((VECTORS / "no-trees.json").read_text("utf-8"))
PAGE = {
    "index.html": '<!doctype html><script type="module" src="viewer/streamxr.js"></script>',
    "viewer/streamxr.js": 'import "./chunk-ABCDEFGH.js";',
    "viewer/chunk-ABCDEFGH.js": "export {};" * 50,
}


def make_bundle(root: Path, assets: dict[str, int], *, files: int = 3, size: int = 2000, page: bool = True) -> Path:
    """A bundle with one asset for each name, whose files depend on the name and a seed.

    assets: seed by name. files: files of each asset beside its manifest. size: bytes of a file.
    """
    bundle = Bundle(root)
    entries = {name: _put_asset(bundle, name, seed, files, size) for name, seed in assets.items()}
    bundle.write_catalogue("test", entries)
    for key, text in PAGE.items() if page else ():
        path = root / key
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def _put_asset(bundle: Bundle, name: str, seed: int, files: int, size: int) -> dict[str, Any]:
    # str.encode and Random are the same in every process, unlike hash().
    source = random.Random(int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:8], "big"))
    base = bundle.put(source.randbytes(size), "glb")
    levels = [
        {**bundle.put(source.randbytes(size), "webp"), "width": n + 1, "height": n + 1, "gpuBytes": 64}
        for n in range(files - 1)
    ]
    texture = {"name": "albedo", "role": "color", "levels": levels}
    manifest = {
        **MANIFEST,
        "asset": name,
        "base": {**MANIFEST["base"], **base},
        "textures": [texture] if levels else [],
    }
    return {
        "manifest": bundle.put_manifest(name, manifest),
        "base": base,
        "bounds": manifest["bounds"],
        "triangles": 0,
    }


def read_whole(read: Callable[[str], bytes]) -> dict[str, Any]:
    """Read a published bundle as a visitor does: catalogue, manifests, all files. Returns the assets.

    read: the decoded bytes of a key; it raises an error if there is none.
    """
    catalogue = json.loads(read(CATALOGUE))
    for entry in catalogue["assets"].values():
        manifest = json.loads(_hashed(read, entry["manifest"]))
        levels = [level for texture in manifest["textures"] for level in texture["levels"]]
        for file in (entry["base"], manifest["base"], *(level for level in levels if level["uri"])):
            _hashed(read, file)
    assets: dict[str, Any] = catalogue["assets"]
    return assets


def _hashed(read: Callable[[str], bytes], file: dict[str, Any]) -> bytes:
    content = read(file["uri"])
    assert len(content) == file["bytes"], file["uri"]
    assert content_hash(content) in file["uri"]
    return content
