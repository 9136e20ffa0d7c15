"""The section of docs/benchmarks.md about pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from reporting import with_section

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "benchmarks.md"
SHEET = "benchmarks-pictures.png"
HEADING = "# Pictures beside other simplifiers"


def write(tables: str, sheet: Path, browser: str, versions: dict[str, str]) -> None:
    """Write the section, and the contact sheet of the bases; other sections are kept."""
    with Image.open(sheet) as picture:
        picture.quantize(256).save(DOCS / SHEET, optimize=True)
    text = with_section(DOCUMENT.read_text("utf-8"), HEADING, section(tables, browser, versions))
    DOCUMENT.write_text(text, encoding="utf-8")


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
  pictures of the same size. Triangle counts: ours is the base of `--depth 0 --base-triangles N`, with the
  finest pictures.
- A tool's result is the largest within the count that a search over its ratio finds. A count in brackets is one that
  differs by more than 3 %.
- gltfpack: `-se 1 -noq`, `-cc` for equal bytes. glTF-Transform: weld, simplify with error 1. meshoptimizer:
  `simplifyWithUpdate` of one mesh of all parts, Permissive and Prune, all weights 0.2, seams between materials
  protected. opengl_decimate: one mesh of all parts, with recomputed normals. These three have Draco for equal bytes.
  The files of the last two hold no animations.
- The last column is our ΔE divided by the least of the tools that keep within the count; a ΔE below 0.5 counts as 0.5.

![Source, our base, and other tools with as many triangles; two of the views]({SHEET})

{tables.rstrip()}
"""
