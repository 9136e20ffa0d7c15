"""Parts of the reports that benchmarks share: Markdown tables, sections of a page, the name of the processor."""

from __future__ import annotations

import platform
from pathlib import Path


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]


def with_section(document: str, heading: str, section: str) -> str:
    """A Markdown document with `section` in place of its section of this heading of the first level, or at its end.

    section: begins with the heading.
    """
    before, _, rest = document.partition(f"\n{heading}\n")
    _, separator, following = rest.partition("\n# ")
    return f"{before.rstrip()}\n\n{section.rstrip()}\n{separator}{following}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
