"""A folder with the model in every format and the page of every loader, and a server for it."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page_loads import FullDetail
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.trees.scene import read_scene

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "pipeline"))
from surface_distance import Floats, distance  # noqa: E402

LOADERS = {
    "raw": "raw GLB, three.js",
    "single": "one Draco + WebP file, three.js",
    "needle": "Needle gltf-progressive",
    "streamxr": "StreamXR",
    "streamxr-preload": "StreamXR, catalogue with the page",
}
PAGE = """<!doctype html><link rel="icon" href="data:,"><style>body {{ margin: 0 }}</style>
<body><script type="module" src="{loader}.js"></script>"""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Site:
    """A folder to serve.

    errors: by loader, the largest distance of the first visible mesh from the source, as a share of the diagonal.
    """

    folder: Path
    full_detail: FullDetail
    errors: dict[str, float]


def make_site(model: Path, scratch: Path) -> Site:
    """Build the bundle, the files of the other loaders and all pages below `scratch`."""
    source, folder = scratch / "src", scratch / "site"
    source.mkdir()
    shutil.copyfile(model, source / "model.glb")
    subprocess.run([_script("streamxr"), "build", source, "-o", folder], check=True, stdout=sys.stderr)
    models = folder / "model"
    models.mkdir()
    shutil.copyfile(model, models / "raw.glb")
    _make("single", source / "model.glb", models / "single.glb")
    _make("needle", source / "model.glb", models / "needle")
    _make("pages", folder)
    for loader in LOADERS:
        (folder / f"{loader}.html").write_text(PAGE.format(loader=loader))
    catalogue = json.loads((folder / "bundle.json").read_text())["assets"]["model"]
    manifest = json.loads((folder / catalogue["manifest"]["uri"]).read_text())
    diagonal = math.dist(catalogue["bounds"]["min"], catalogue["bounds"]["max"])
    ours = max(tree["regions"][0]["error"] * tree["scale"] for tree in manifest["trees"])
    needle = distance(_triangles(source / "model.glb"), _triangles(models / "needle" / "model.glb"))
    pixels = max(level["width"] for texture in manifest["textures"] for level in texture["levels"])
    errors = {"raw": 0.0, "single": 0.0, "needle": needle.largest / 100}
    errors |= dict.fromkeys(("streamxr", "streamxr-preload"), ours / diagonal)
    return Site(folder, FullDetail(catalogue["triangles"], pixels), errors)


def _triangles(path: Path) -> Floats:
    surfaces = [tree.source.surface for tree in read_scene(read_model(path), "").trees]
    return np.concatenate([surface.positions[surface.triangles] for surface in surfaces])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `streamxr serve` for a folder, while the context lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    command = [_script("streamxr"), "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--quiet"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}bundle.json", timeout=5):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"streamxr serve does not answer at {url}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _make(*arguments: str | Path) -> None:
    subprocess.run(["node", str(HERE / "peers.mjs"), *map(str, arguments)], check=True, stdout=sys.stderr)
