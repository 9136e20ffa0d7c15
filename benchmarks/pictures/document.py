"""The section of docs/benchmarks.md about pictures."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEADING = "# Pictures beside other simplifiers"
NEXT = "\n# The relay\n"


def write(tables: str, browser: str, versions: dict[str, str]) -> None:
    """Write the section; the others are kept."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(f"\n{HEADING}\n")
    if not rest:
        before, _, rest = before.partition(NEXT)
        after = NEXT + rest
    else:
        after = "".join(rest.partition(NEXT)[1:])
    DOCUMENT.write_text(f"{before.rstrip()}\n\n{section(tables, browser, versions)}{after}", encoding="utf-8")


def section(tables: str, browser: str, versions: dict[str, str]) -> str:
    tools = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""{HEADING}

Written by `make bench-pictures MODELS=… ARGS=--docs`, with {browser}.
Other tools: {tools}.

- Eight views of 384 × 384 pixels, by three.js, with its RoomEnvironment as the light, antialiased, and the materials as
  they are. The sphere around the source's box fills each picture.
- Each cell: overlap / ΔE / FLIP, means over the views. Overlap is the intersection over union of the silhouettes (1 is
  perfect). ΔE is CIEDE2000 after a blur of one pixel, FLIP is at 67 pixels per degree; both are over the union of the
  silhouettes, on a background of one colour (0 is perfect).
- Base: ours as it is, with its small pictures; the other tools have the source's pictures. Equal bytes: all have
  pictures of the same size. Triangle counts: ours is the root of a build with that many triangles, with the finest
  pictures.
- A tool's result is the largest within the count that a search over its ratio finds. A count in brackets is one that
  differs by more than 3 %.
- gltfpack: `-se 1 -noq`, `-cc` for equal bytes. glTF-Transform: weld, simplify with error 1. meshoptimizer:
  `simplifyWithUpdate` of one mesh of all parts, Permissive and Prune, all weights 0.2, seams between materials
  protected. opengl_decimate: one mesh of all parts, with recomputed normals. These three have Draco for equal bytes.

{tables.rstrip()}
"""
