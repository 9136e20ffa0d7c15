"""Run the tools that the pipeline is compared with, each as its documentation recommends."""

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
# -sp and -sv give its best quality: collapses across seams, and optimised positions and attributes. With -se 1 the
# ratio alone decides. -noq keeps positions exact, and -kv keeps all vertex attributes.
GLTFPACK = [str(HERE / "node_modules" / ".bin" / "gltfpack"), "-sp", "-sv", "-se", "1", "-noq", "-kv"]


def gltfpack(model: Path, target: Path, ratio: float) -> Floats:
    """The triangles (m, 3, 3) of a model after simplification by gltfpack."""
    subprocess.run([*GLTFPACK, "-si", repr(ratio), "-i", model, "-o", target], check=True, capture_output=True)
    return triangles(target)


def gltf_transform(model: Path, target: Path, ratio: float) -> Floats:
    """The triangles (m, 3, 3) of a model after simplification by glTF-Transform."""
    run_node("simplify", model, target, repr(ratio))
    return triangles(target)


def run_node(*arguments: str | Path) -> Any:
    """The JSON that a command of peers.mjs prints."""
    done = subprocess.run([*NODE, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def versions() -> dict[str, str]:
    result: dict[str, str] = run_node("versions")
    return result


def triangles(path: Path) -> Floats:
    """All triangles (m, 3, 3) of a file in asset space."""
    trees = read_scene(read_model(path), "").trees
    surfaces = [t.source.surface for t in trees]
    return np.concatenate([s.positions[s.triangles] for s in surfaces])
