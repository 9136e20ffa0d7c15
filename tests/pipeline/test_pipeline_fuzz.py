"""Mutated models of every kind end as a valid bundle or a clear error; `make soak` tries more of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import Finding, attempt, fuzz, models_below
from fuzz_seeds import Files, seeds


@pytest.mark.parametrize(("name", "files"), seeds(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_seed_builds(tmp_path: Path, name: str, files: Files) -> None:
    assert (name, attempt(files, tmp_path)) == (name, "built")


def shown(findings: list[Finding]) -> str:
    return "\n".join(f"mutant {f.number} of {f.seed}: {f.text}" for f in findings)


def test_mutated_models_end_as_a_clear_error_or_a_valid_bundle() -> None:
    outcomes, findings = fuzz(range(600), seeds())
    assert not findings, shown(findings)
    assert min(outcomes["built"], outcomes["refused"]) > 50


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_thousands_of_mutated_models_end_as_a_clear_error_or_a_valid_bundle(pytestconfig: pytest.Config) -> None:
    compile_loops = [sys.executable, "-m", "streamxr.pipeline.warm_up"]  # before the time of a mutant counts
    subprocess.run(compile_loops, env={**os.environ, "NUMBA_BOUNDSCHECK": "1"}, check=True)
    outcomes, findings = fuzz(range(10_000, 16_000), seeds(), check_bounds=True)
    folder: Path | None = pytestconfig.getoption("models")
    if folder is not None:
        more, found = fuzz(range(300), models_below(folder), check_bounds=True)
        outcomes, findings = outcomes + more, findings + found
    assert not findings, shown(findings)
    assert outcomes.total() >= 6000
