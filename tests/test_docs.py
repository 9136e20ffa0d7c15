"""The pages of the project: every link and every file that they name exists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# Folders that are made by a build, and folders of the examples.
MADE = ("viewer/dist", "viewer/node_modules", "models/src", "viewer/module", "viewer/lab/traces")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository, and every folder that holds one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return frozenset(parent.as_posix() for file in files for parent in (Path(file), *Path(file).parents))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    found: dict[str, int] = {}
    for heading in headings:
        base = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found[base] = found.get(base, -1) + 1
        if found[base]:
            found[f"{base}-{found[base]}"] = 0
    return frozenset(found)


def test_there_are_pages() -> None:
    assert "README.md" in map(name_of, PAGES)
    assert "docs/glossary.md" in map(name_of, PAGES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        exists = target.is_relative_to(ROOT) and name_of(target) in tracked()
        if not exists or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_named_file_exists(page: Path) -> None:
    """A path in backticks that starts with a folder of the repository; `*` stands for any name."""
    folders = {path for path in tracked() if path != "." and "/" not in path and (ROOT / path).is_dir()}
    missing = []
    for name in CODE.findall(FENCE.sub("", page.read_text("utf-8"))):
        if not re.fullmatch(r"[\w.\-/*{},]+", name) or name.split("/")[0] not in folders or name.startswith(MADE):
            continue
        path = name.rstrip("/")
        if path not in tracked() and not ("*" in path and any(ROOT.glob(path))):
            missing.append(name)
    assert missing == []
