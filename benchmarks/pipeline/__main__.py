"""Compare the pipeline with other tools, print the tables, and write them to docs/benchmarks.md.

    python benchmarks/pipeline --models DIR            everything: about half an hour on two cores
    python benchmarks/pipeline --models DIR --quick    small models only: two minutes; nothing is written

DIR holds DamagedHelmet.glb and pirate.obj; a missing model is left out. `npm ci` in this folder installs the other
tools and the dragon.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "benchmarks.md"
PARTS = ("quality", "cost", "scaling")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", type=Path, default=Path("models/src"), help="folder of the two models (default: models/src)"
    )
    parser.add_argument("--quick", action="store_true", help="small models only; nothing is written")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part only; may be repeated; nothing is written"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="runs of every timed command (default: 3)")
    options = parser.parse_args()
    if not (HERE / "node_modules").is_dir():
        sys.exit(f"the other tools are not installed: run `npm ci` in {HERE}")
    sys.path.append(str(HERE.parent))
    import cost
    import measured_models
    import peers
    import quality
    from reporting import processor

    text = [heading(peers.versions(), processor())]
    print(text[0], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        models = measured_models.find(options.models, scratch)
        if options.quick:
            models.pop("dragon", None)
        for part in options.only or PARTS:
            if part == "quality":
                tables = quality.tables(models, scratch, quick=options.quick)
            elif part == "cost":
                tables = cost.tables(models, scratch, repetitions=1 if options.quick else options.repetitions)
            else:
                tables = [cost.scaling(scratch, quick=options.quick)]
            text += [table.markdown() for table in tables]
            print("\n".join(text[-len(tables) :]), flush=True)
    if not options.quick and not options.only:
        # The sections of the other benchmarks follow, and are kept.
        document = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
        others = re.search(r"\n# The (viewer|relay)\b.*", document, re.DOTALL)
        DOCUMENT.write_text("\n".join(text) + (others[0] if others else ""), encoding="utf-8")


def heading(versions: dict[str, str], processor: str) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""# Benchmarks

Written by `make bench-pipeline MODELS=…`.
Machine: {os.cpu_count()} cores of {processor}; Python {platform.python_version()}.
Other tools: {peers}.

- gltfpack: `-sp -sv -se 1 -noq -kv -si RATIO`. With `-se 1` the ratio alone decides; with `-noq` positions are not
  rounded.
- glTF-Transform: functions in one Node process: weld, simplify (error 1, borders not locked), WebP by sharp, Draco with
  our quantisation (14/12/8 bits). Work that all levels share is done once.
- Ours: the decoded output of `streamxr build`, so quantisation is included. The dragon at 3 % is the end of a chain
  above two splits.
- Distances: 400,000 samples by area in each direction, and every vertex, with MeshLab's distance filter.
"""


if __name__ == "__main__":
    main()
