"""Keeps the test vectors of a published version: adds new ones to tests/vectors/v1/kept.json, and changes none.

A vector of version 1 says what a bundle or message of version 1 is. Readers and relays out there agree with it, so it
never changes and never goes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "tests" / "vectors" / "v1"
KEPT: Final = "kept.json"
DIGITS: Final = 16  # of a SHA-256, against accidents


def vectors_of(folder: Path) -> dict[str, str]:
    """The hash of each vector's content by its name: file/list/name or file/list/index. Layout and order of keys do not
    count."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        document = json.loads(path.read_bytes())
        if name.startswith("manifest/"):
            found[name] = _hash(document)
        elif name != KEPT:
            _add(found, name, document)
    return found


def differences(kept: dict[str, str], found: dict[str, str]) -> list[str]:
    """One line for each kept vector that is missing or differs."""
    return [
        f"{name} is missing" if name not in found else f"{name} has changed"
        for name in kept
        if found.get(name) != kept[name]
    ]


def read_kept(folder: Path) -> dict[str, str]:
    path = folder / KEPT
    kept: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return kept


def main() -> int:
    kept, found = read_kept(FOLDER), vectors_of(FOLDER)
    if problems := differences(kept, found):
        print("vectors of version 1 are kept for good:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    (FOLDER / KEPT).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{len(found)} vectors, {len(found) - len(kept)} of them new")
    return 0


def _add(found: dict[str, str], place: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "about":
                _add(found, f"{place}/{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, dict) else index
            key = f"{place}/{name}"
            if key in found:
                raise ValueError(f"{place}: two vectors are named {name!r}")
            found[key] = _hash(item)
    else:
        raise ValueError(f"{place} is not a list of vectors")


def _hash(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]


if __name__ == "__main__":
    sys.exit(main())
