"""Check that all files name the version of pyproject.toml, or set a new one in all of them.

python scripts/version.py            fail if a file names another version
python scripts/version.py 0.2.0      write this version into every file
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NUMBER = r"(\d+\.\d+\.\d+)"  # the same text is valid for Python, npm and image tags


class Place(NamedTuple):
    """A file, and a pattern whose group 1 is the version; each pattern matches once."""

    file: str
    pattern: str


SOURCE = Place("pyproject.toml", rf'^version = "{NUMBER}"$')
COPIES = (
    Place("viewer/package.json", rf'\A{{\s*"name": "streamxr-viewer",\s*"version": "{NUMBER}"'),
    Place("viewer/package-lock.json", rf'\A{{\s*"name": "streamxr-viewer",\s*"version": "{NUMBER}"'),
    Place("viewer/package-lock.json", rf'"": {{\s*"name": "streamxr-viewer",\s*"version": "{NUMBER}"'),
    Place("docker-compose.yml", rf"^ +image: streamxr-relay:{NUMBER}$"),
)


def main(arguments: list[str], root: Path = ROOT) -> int:
    if arguments:
        (number,) = arguments
        if not re.fullmatch(NUMBER, number):
            print(f"{number} is not a version: expected three numbers, such as 0.2.0", file=sys.stderr)
            return 2
        for place in (SOURCE, *COPIES):
            write(root, place, number)
        return 0
    expected = read(root, SOURCE)
    wrong = [place for place in COPIES if read(root, place) != expected]
    for place in wrong:
        print(
            f"{place.file}: has version {read(root, place)}, but {SOURCE.file} has {expected}:"
            f" run python scripts/version.py {expected}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def read(root: Path, place: Place) -> str:
    return _match(root, place)[1]


def write(root: Path, place: Place, number: str) -> None:
    match = _match(root, place)
    start, end = match.span(1)
    (root / place.file).write_text(match.string[:start] + number + match.string[end:], "utf-8")


def _match(root: Path, place: Place) -> re.Match[str]:
    text = (root / place.file).read_text("utf-8")
    matches = list(re.finditer(place.pattern, text, re.MULTILINE))
    if len(matches) != 1:
        raise SystemExit(f"{place.file}: expected one version at {place.pattern}, found {len(matches)}")
    return matches[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
