"""The compiled loops as plain Python, for a debugger, and with checks of array bounds: no result changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gltf_maker as make
import pytest
from builds import build_file
from fuzz import fuzz
from fuzz_seeds import seeds
from streamxr.pipeline.settings import Settings

HERE = Path(__file__).parent
PLAIN_PYTHON = "NUMBA_DISABLE_JIT"
BOUNDS_CHECKS = "NUMBA_BOUNDSCHECK"
SETTINGS = Settings(leaf_triangles=60, base_triangles=30)
BUILD = """
import json
import sys
from pathlib import Path
from builds import build_file
from streamxr.pipeline.jobs.pool import prepare_process
from streamxr.pipeline.settings import Settings
prepare_process()
model, root, settings = sys.argv[1:]
build_file(Path(model), Path(root), Settings(**json.loads(settings)), sound=False)
"""
# The second triangle has vertex 7 of 3.
INDEX_PAST_THE_END = """
import numpy as np
from streamxr.pipeline.mesh.topology import in_order_of_use
in_order_of_use(np.array([[0, 1, 2], [0, 1, 7]]), 3)
"""


def run(script: str, mode: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script with one of the modes, an environment variable, on."""
    environment = {**os.environ, mode: "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=250)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_loops_as_plain_python_build_a_model_to_the_same_bytes(tmp_path: Path) -> None:
    model = make.save(make.textured_sphere(12, 16, picture=16), tmp_path, "model")
    compiled = build_file(model, tmp_path / "compiled", SETTINGS, sound=False)
    assert len(compiled.manifest["trees"][0]["regions"]) > 1
    done = run(BUILD, PLAIN_PYTHON, model, tmp_path / "plain", json.dumps(SETTINGS.as_json()))
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "plain") == files(tmp_path / "compiled")


@pytest.mark.parametrize("mode", [PLAIN_PYTHON, BOUNDS_CHECKS])
def test_an_index_past_the_end_of_an_array_is_an_error(mode: str) -> None:
    done = run(INDEX_PAST_THE_END, mode)
    assert "IndexError" in done.stderr


def test_no_mutated_model_makes_a_loop_leave_its_arrays() -> None:
    few_loops = [seed for seed in seeds() if seed[0] in ("sphere", "obj", "ply", "ascii stl")]
    outcomes, findings = fuzz(range(60), few_loops, check_bounds=True)
    assert not findings, "\n".join(f"mutant {f.number} of {f.seed}: {f.text}" for f in findings)
    assert min(outcomes["built"], outcomes["refused"]) > 5
