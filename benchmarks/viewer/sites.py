"""A folder with the model in every form and the page of every loader, and a server for it."""

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
from arrivals import Finest
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.trees.scene import read_scene

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "pipeline"))
from surface_distance import Floats, distance  # noqa: E402

LOADERS = {
    "raw": "raw GLB, three.js",
    "single": "one Draco + WebP file, three.js",
    "needle": "Needle gltf-progressive",
    "ours": "StreamXR",
    "ahead": "StreamXR, catalogue with the page",
}
PAGE = """<!doctype html><link rel="icon" href="data:,"><style>body {{ margin: 0 }}</style>
<body><script type="module" src="{loader}.js"></script>"""
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Site:
    folder: Path
    finest: Finest
    """By loader: largest distance of what is seen first from the source, as a share of the diagonal."""
    errors: dict[str, float]


def make_site(model: Path, scratch: Path) -> Site:
    source, folder = scratch / "src", scratch / "site"
    source.mkdir()
    shutil.copyfile(model, source / "model.glb")
    subprocess.run([_script("streamxr"), "build", source, "-o", folder], check=True, stdout=sys.stderr)
    forms = folder / "model"
    forms.mkdir()
    shutil.copyfile(model, forms / "raw.glb")
    _peers("single", source / "model.glb", forms / "single.glb")
    _peers("needle", source / "model.glb", forms / "needle")
    _peers("pages", folder)
    for loader in LOADERS:
        (folder / f"{loader}.html").write_text(PAGE.format(loader=loader))
    catalogue = json.loads((folder / "bundle.json").read_text())["assets"]["model"]
    manifest = json.loads((folder / catalogue["manifest"]["uri"]).read_text())
    diagonal = math.dist(catalogue["bounds"]["min"], catalogue["bounds"]["max"])
    ours = max(tree["regions"][0]["error"] * tree["scale"] for tree in manifest["trees"])
    needle = distance(_triangles(source / "model.glb"), _triangles(forms / "needle" / "model.glb"))
    pixels = max(level["width"] for texture in manifest["textures"] for level in texture["levels"])
    return Site(
        folder,
        Finest(catalogue["triangles"], pixels),
        {"raw": 0, "single": 0, "needle": needle.largest / 100, "ours": ours / diagonal, "ahead": ours / diagonal},
    )


def _triangles(path: Path) -> Floats:
    surfaces = [tree.source.surface for tree in read_scene(read_model(path), "").trees]
    return np.concatenate([surface.positions[surface.triangles] for surface in surfaces])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `streamxr serve`: one server for all."""
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
                raise RuntimeError("the server does not answer")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _peers(*arguments: str | Path) -> None:
    subprocess.run(["node", str(HERE / "peers.mjs"), *map(str, arguments)], check=True, stdout=sys.stderr)
