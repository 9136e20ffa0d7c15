"""Measure the time until a model is visible over a slow link, compared with other loaders, and print the table.

    python benchmarks/viewer --model DamagedHelmet.glb            seven interleaved runs of each loader
    python benchmarks/viewer --model DamagedHelmet.glb --quick    one run of each; nothing is written

`npm ci` in this folder installs the other loaders; `npm run build` in viewer/ builds the viewer. Chromium is found in
the PATH, or by the environment variable CHROMIUM.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from page_loads import PageLoad, load_page
from playwright.sync_api import sync_playwright
from sites import LOADERS, make_site, serving

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from chromium import FLAGS, chromium  # noqa: E402
from reporting import processor, table, with_section  # noqa: E402

ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
HEADING = "# The viewer beside other loaders"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "src" / "DamagedHelmet.glb")
    parser.add_argument("--runs", type=int, default=7, help="runs of every loader, interleaved (default: 7)")
    parser.add_argument("--quick", action="store_true", help="one run of each loader; nothing is written")
    parser.add_argument("--mbit", type=float, default=5.0, help="bandwidth of the link in Mbit/s (default: 5)")
    parser.add_argument("--latency", type=float, default=40.0, help="latency of every request in ms (default: 40)")
    options = parser.parse_args()
    if not (HERE / "node_modules").is_dir():
        sys.exit(f"the other loaders are not installed: run `npm ci` in {HERE}")
    if not options.model.is_file():
        sys.exit(f"{options.model}: no such file; name a model with --model")
    runs = 1 if options.quick else options.runs
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site = make_site(options.model, Path(scratch))
        loads: dict[str, list[PageLoad]] = {name: [] for name in LOADERS}
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        with serving(site.folder) as url:
            for run in range(runs):
                # Interleaved, so that other load on the machine affects all loaders.
                for name in LOADERS:
                    load = load_page(
                        browser, url, name, site.full_detail, mbit=options.mbit, latency_ms=options.latency
                    )
                    loads[name].append(load)
                    print(f"run {run + 1}, {name}: {load}", file=sys.stderr, flush=True)
        version = browser.version
        browser.close()
    text = report(options, site.errors, loads, version, runs)
    print(text)
    if not options.quick:
        DOCUMENT.write_text(with_section(DOCUMENT.read_text("utf-8"), HEADING, text), encoding="utf-8")


def report(
    options: argparse.Namespace,
    errors: dict[str, float],
    loads: dict[str, list[PageLoad]],
    version: str,
    runs: int,
) -> str:
    ours = loads["streamxr"]
    head = ["loader", "first visible s", "our time ÷ its", "first error", "full detail s", "KB to first", "KB to full"]
    rows = []
    for name, title in LOADERS.items():
        runs_of_loader = loads[name]
        share = median(b.first_s / a.first_s for a, b in zip(runs_of_loader, ours, strict=True))
        rows.append(
            [
                title,
                spread([a.first_s for a in runs_of_loader]),
                f"1/{1 / share:.1f}",
                f"{100 * errors[name]:.1f} %",
                spread([a.full_s for a in runs_of_loader]),
                f"{median(a.first_bytes for a in runs_of_loader) / 1000:,.0f}",
                f"{median(a.full_bytes for a in runs_of_loader) / 1000:,.0f}",
            ]
        )
    ratio = median(a.full_s / b.full_s for a, b in zip(ours, loads["single"], strict=True))
    lines = "\n".join(table(head, rows))
    return f"""{HEADING}

Written by `make bench-viewer MODEL=…`: {options.model.name} over {options.mbit:g} Mbit/s and {options.latency:g} ms, in
Chromium {version}, {runs} interleaved run{"s" if runs > 1 else ""} of each, throttled by the DevTools protocol.
Machine: {os.cpu_count()} cores of {processor()}, without a GPU; 640 × 360 pixels.

- Before the clock starts, the page's code and the decoder are loaded. The clock runs from the call that loads the model
  until the pixels of a frame are complete. three.js, renderer, lights and camera are the same for all.
- Our first request is for the bundle's catalogue (0.8 KB), which names the base; the other loaders start with the
  model. In the last row the catalogue is fetched with the code, as our page does by a preload link.
- First visible: every primitive is drawn, with all of its maps. *First error* is the largest distance of that first
  mesh from the source, in % of the diagonal: an upper bound for ours, sampled for Needle. Meshes without extent do not
  count: ours draws some for its shader warm-up before the first file arrives.
- Full detail: the source's triangles, and all maps at the source's size. Both progressive loaders are set to fetch full
  detail from the start; ours plans for a viewer inside the model.
- Draco + WebP: by glTF-Transform, with our quantisation and qualities. Needle: files by its build pipeline (1.4.11, the
  last version on npm) with Draco and the same WebP; its loader with default settings.

{lines}

Median (least–most). Full detail takes {ratio:.2f} times as long as with the single file.
"""


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
