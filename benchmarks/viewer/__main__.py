"""Measure how soon a model is seen over a slow link, beside other loaders, and print the table.

    python benchmarks/viewer --model DamagedHelmet.glb            seven interleaved runs of each
    python benchmarks/viewer --model DamagedHelmet.glb --quick    one run of each, nothing written

The peers come from package-lock.json by `npm ci` in this folder, the viewer from `npm run build` in viewer/, and
Chromium from the PATH or the environment variable CHROMIUM.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path
from statistics import median

from arrivals import CHROMIUM_FLAGS, Arrival, chromium, visit
from playwright.sync_api import sync_playwright
from sites import LOADERS, make_site, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
MARK = "# The viewer beside other loaders"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "src" / "DamagedHelmet.glb")
    parser.add_argument("--runs", type=int, default=7, help="of every loader, interleaved (default: 7)")
    parser.add_argument("--quick", action="store_true", help="one run of each; nothing is written")
    parser.add_argument("--mbit", type=float, default=5.0, help="of the link (default: 5)")
    parser.add_argument("--latency", type=float, default=40.0, help="of every request, ms (default: 40)")
    asked = parser.parse_args()
    if not (HERE / "node_modules").is_dir():
        sys.exit(f"the peers are missing: run `npm ci` in {HERE}")
    if not asked.model.is_file():
        sys.exit(f"there is no model {asked.model}: name one with --model")
    runs = 1 if asked.quick else asked.runs
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = make_site(asked.model, Path(scratch))
        arrivals: dict[str, list[Arrival]] = {name: [] for name in LOADERS}
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        with serving(site.folder) as url:
            for run in range(runs):
                # Whatever else the machine does falls on all of them.
                for name in LOADERS:
                    arrival = visit(browser, url, name, site.finest, mbit=asked.mbit, latency_ms=asked.latency)
                    arrivals[name].append(arrival)
                    print(f"run {run + 1}, {name}: {arrival}", file=sys.stderr, flush=True)
        version = browser.version
        browser.close()
    text = report(asked, site.errors, arrivals, version, runs)
    print(text)
    if not asked.quick:
        before, _, below = DOCUMENT.read_text("utf-8").partition(MARK)
        relay = "".join(below.partition("\n# The relay\n")[1:])
        above = before.rstrip("\n")
        DOCUMENT.write_text(f"{above}\n\n{text}{relay}", encoding="utf-8")


def report(
    asked: argparse.Namespace,
    errors: dict[str, float],
    arrivals: dict[str, list[Arrival]],
    version: str,
    runs: int,
) -> str:
    ours = arrivals["ours"]
    rows = [["loader", "first visible s", "ours ÷ its", "its error", "full detail s", "KB to first", "KB to full"]]
    for name, what in LOADERS.items():
        each = arrivals[name]
        share = median(b.first_s / a.first_s for a, b in zip(each, ours, strict=True))
        rows.append(
            [
                what,
                spread([a.first_s for a in each]),
                f"1/{1 / share:.1f}",
                f"{100 * errors[name]:.1f} %",
                spread([a.full_s for a in each]),
                f"{median(a.first_bytes for a in each) / 1000:,.0f}",
                f"{median(a.full_bytes for a in each) / 1000:,.0f}",
            ]
        )
    ratio = median(a.full_s / b.full_s for a, b in zip(ours, arrivals["single"], strict=True))
    return f"""{MARK}

Written by `make bench-viewer MODEL=…`: {asked.model.name} over {asked.mbit:g} Mbit/s and {asked.latency:g} ms, in
Chromium {version}, {runs} interleaved run{"s" if runs > 1 else ""} of each, throttled by CDP.
Machine: {os.cpu_count()} cores of {processor()}; a CPU draws, at 640 × 360.

- The code is there and idle, the decoder's files are fetched; the clock runs from the call that loads the model until
  the pixels of a frame are there. Same three.js, renderer, lights and camera for all.
- Our first request is for the bundle's catalogue, 0.8 KB, which names the base; the others know their file. The last
  row has the catalogue fetched with the code, as our own page does by a preload link.
- First visible: every primitive drawn, with all of its maps. *Its error* is the largest distance of that first mesh
  from the source, % of the diagonal: a bound for ours, sampled for Needle. A mesh without extent does not count:
  ours is told the scene ahead, and draws such ones there while the first file is on its way.
- Full detail: the source's triangles and all maps at the source's size. Both progressive loaders are told to want
  that from the start; ours thinks the visitor stands inside the model.
- Draco + WebP: glTF-Transform, at our bits and qualities. Needle: files by its own build pipeline (1.4.11, the last
  on npm) with Draco and the same WebP; its loader at its defaults.

{table(rows)}
Median (least–most). Full detail is there {ratio:.2f}× as late as with the single file.
"""


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
