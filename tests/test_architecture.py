"""docs/architecture.md lists every module of the three programs, each once, in the table of its folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PROGRAMS = ("pipeline", "relay", "viewer/src")
SUFFIXES = (".py", ".mjs", ".ts")
ROW = re.compile(r"^\| `([^`]+)` \| (\S.*) \|$")


def listed() -> Iterator[tuple[str, str]]:
    """Path and description of each row; the heading above a table names the folder."""
    folder = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            folder = line.lstrip("# ")
        elif folder.startswith(PROGRAMS) and (row := ROW.match(line)):
            yield folder + row[1], row[2]


def modules() -> set[str]:
    """Every module of the programs but `__init__.py`."""
    return {
        path.relative_to(ROOT).as_posix()
        for program in PROGRAMS
        for path in (ROOT / program).rglob("*")
        if path.suffix in SUFFIXES and path.name != "__init__.py"
    }


def test_every_module_is_listed() -> None:
    assert sorted(modules() - {path for path, _ in listed()}) == []


def test_every_listed_module_exists() -> None:
    assert sorted({path for path, _ in listed()} - modules()) == []


def test_no_module_is_listed_twice() -> None:
    counts = Counter(path for path, _ in listed())
    assert [path for path, count in counts.items() if count > 1] == []


def test_every_module_has_a_short_description() -> None:
    assert [path for path, text in listed() if len(text) > 100] == []
