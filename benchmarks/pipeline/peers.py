"""Run the programs that the pipeline is measured against, each as its own documentation advises."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.trees.scene import read_scene
from surface_distance import Floats

HERE = Path(__file__).parent
NODE = ["node", "--max-old-space-size=8192", str(HERE / "peers.mjs")]
# -sp and -sv are its best: collapses across seams, positions and attributes re-optimised. -se 1 lets the ratio decide;
# -noq keeps positions exact, -kv and -kn keep what the model has.
GLTFPACK = [str(HERE / "node_modules" / ".bin" / "gltfpack"), "-sp", "-sv", "-se", "1", "-noq", "-kv"]


def gltfpack(model: Path, target: Path, ratio: float) -> Floats:
    """The triangles (m, 3, 3) of a model that gltfpack simplified."""
    subprocess.run([*GLTFPACK, "-si", repr(ratio), "-i", model, "-o", target], check=True, capture_output=True)
    return triangles(target)


def gltf_transform(model: Path, target: Path, ratio: float) -> Floats:
    """The triangles (m, 3, 3) of a model that glTF-Transform simplified."""
    ask("simplify", model, target, repr(ratio))
    return triangles(target)


def ask(*arguments: str | Path) -> Any:
    done = subprocess.run([*NODE, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def versions() -> dict[str, str]:
    found: dict[str, str] = ask("versions")
    return found


def triangles(path: Path) -> Floats:
    """All triangles (m, 3, 3) of a file in asset space."""
    trees = read_scene(read_model(path), "").trees
    surfaces = [t.source.surface for t in trees]
    return np.concatenate([s.positions[s.triangles] for s in surfaces])
