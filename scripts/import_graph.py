"""Print the import graph of each house (pipeline, relay, viewer), and fail on a circle or a forbidden import.

A room is a module at the root of a house, or one of its folders with all that is in it. An arrow is an import from one
room to another. Imports inside functions and imports of types count like any other. `make check` runs this script.

Usage: python scripts/import_graph.py [--root DIR] [--arrows]
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

HOUSES = {"pipeline": "pipeline", "relay": "relay", "viewer": "viewer/src"}

# By room: all the other rooms of its house that it may import.
ALLOWED = {
    "pipeline": {
        "arrays": (),
        "errors": (),
        "settings": ("errors",),
        "jobs": (),
        "mesh": ("arrays",),
        "pictures": ("arrays", "errors", "settings"),
        "gltf": ("arrays", "errors", "mesh", "pictures", "settings"),
        "views": ("arrays", "errors", "gltf", "jobs", "mesh", "pictures"),
    },
    "relay": {"protocol": (), "frames": (), "rate": (), "logs": ("rate",)},
    "viewer": {"core": (), "room": ("core",)},
}
# By room: rooms that nothing but the named rooms may import.
ONLY_FROM = {
    "relay": {"simulation": ("cli",)},
    "viewer": {"page": (), "element": ()},
}

TS_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["']([^"']+)["']""")


class Import(NamedTuple):
    """Files are relative to the root; `target` is a file, or the name of a package from outside."""

    source: str
    line: int
    target: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="another checkout")
    parser.add_argument("--arrows", action="store_true", help="list every arrow between rooms")
    options = parser.parse_args()
    root: Path = options.root
    faults: list[str] = []
    for house, folder in HOUSES.items():
        imports = sorted({*read_imports(root, folder)})
        rooms, arrows = room_graph(imports, root / folder, folder)
        circles = find_circles(arrows)
        files = find_circles(file_graph(imports))
        print(f"{house:9} {len(rooms):3} rooms {sum(map(len, arrows.values())):4} arrows {len(circles):2} circles")
        if options.arrows:
            for source, targets in sorted(arrows.items()):
                print(f"  {source}: {' '.join(sorted(targets))}")
        faults += [f"{house}: circle of rooms: {' → '.join(circle)}" for circle in circles]
        faults += [f"{house}: circle of files: {' → '.join(circle)}" for circle in files]
        faults += forbidden(house, folder, imports)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def read_imports(root: Path, folder: str) -> Iterator[Import]:
    """All imports of a house's files, generated files and tests apart."""
    for path in sorted((root / folder).rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".py":
            yield from python_imports(path, name, root)
        elif path.suffix == ".ts":
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                for target in TS_IMPORT.findall(line):
                    is_file = target.startswith(".")
                    yield Import(name, number, os.path.normpath(f"{name}/../{target}") if is_file else target)


def python_imports(path: Path, name: str, root: Path) -> Iterator[Import]:
    package = list(Path(name).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for parts in modules:
            full = parts[1:] if parts[0] == "streamxr" else parts
            yield Import(name, node.lineno, python_file(root, full) or ".".join(parts))


def python_file(root: Path, parts: list[str]) -> str | None:
    """The file of a module, or of the module that a name is in; None if it is no file of ours."""
    for end in (len(parts), len(parts) - 1):
        stem = root.joinpath(*parts[:end])
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if end and file.is_file() and parts[0] in HOUSES:
                return file.relative_to(root).as_posix()
    return None


def room_of(file: str, folder: str) -> str | None:
    """The room that a file is in; None if it is in another house, or no file."""
    if not file.startswith(f"{folder}/"):
        return None
    first, _, rest = file.removeprefix(f"{folder}/").partition("/")
    return first if rest else Path(first).stem


def room_graph(imports: Iterable[Import], house: Path, folder: str) -> tuple[set[str], dict[str, set[str]]]:
    files = (path.relative_to(house).as_posix() for path in house.rglob("*") if path.suffix in (".py", ".ts"))
    rooms = {room for file in files if (room := room_of(f"{folder}/{file}", folder)) and room != "__init__"}
    arrows: dict[str, set[str]] = {}
    for one in imports:
        source, target = room_of(one.source, folder), room_of(one.target, folder)
        if source and target and source != target and "__init__" not in (source, target):
            arrows.setdefault(source, set()).add(target)
    return rooms, arrows


def file_graph(imports: Iterable[Import]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for one in imports:
        if one.source != one.target:
            graph.setdefault(one.source, set()).add(one.target)
    return graph


def find_circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            place = stack.index(node)
            component = sorted(stack[place:])
            del stack[place:]
            if len(component) > 1:
                circles.append(component)

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return circles


def forbidden(house: str, folder: str, imports: Iterable[Import]) -> Iterator[str]:
    """Imports that break a rule, as lines to print."""
    allowed = ALLOWED[house]
    only_from = ONLY_FROM.get(house, {})
    for one in imports:
        place = f"{one.source}:{one.line}"
        source, target = room_of(one.source, folder), room_of(one.target, folder)
        if target is None:
            if any(one.target.startswith(f"{other}/") for other in HOUSES.values()):
                yield f"{place}: {house} imports another house: {one.target}"
            elif house == "viewer" and source in ("core", "room") and one.target.partition("/")[0] == "three":
                yield f"{place}: {source}/ imports three.js"
        elif source and source != target and target != "__init__":
            if source in allowed and target not in allowed[source]:
                yield f"{place}: {source} may not import {target}"
            if target in only_from and source not in only_from[target]:
                yield f"{place}: only {' and '.join(only_from[target]) or 'its own files'} may import {target}"


if __name__ == "__main__":
    sys.exit(main())
