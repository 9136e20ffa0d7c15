"""Files at the root of the repository: one version number, and workflows that keep to GitHub's schemas."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSIONED = ("pyproject.toml", "viewer/package.json", "viewer/package-lock.json", "docker-compose.yml")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the files that name the version, beside a copy of the script."""
    for name in (*VERSIONED, "scripts/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run_script(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "version.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_all_files_name_one_version() -> None:
    done = run_script(ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", VERSIONED)
def test_a_file_with_another_version_is_named(copied: Path, name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    text = (copied / name).read_text("utf-8")
    (copied / name).write_text(text.replace(version, "9.8.7", 1), "utf-8")
    done = run_script(copied)
    assert done.returncode == 1
    assert "9.8.7" in done.stderr
    assert name in done.stderr


def test_a_new_version_is_written_into_every_file(copied: Path) -> None:
    assert run_script(copied, "9.8.7").returncode == 0
    assert run_script(copied).returncode == 0
    assert all("9.8.7" in (copied / name).read_text("utf-8") for name in VERSIONED)


def test_a_version_that_python_and_npm_write_differently_is_refused(copied: Path) -> None:
    assert run_script(copied, "0.2.0-rc.1").returncode == 2


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("vendor.github-workflows", "workflows/ci.yml"),
        ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/bug.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/idea.yml"),
    ],
)
def test_files_for_github_keep_to_their_schemas(schema: str, name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / ".github" / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
