"""Measure the pipeline beside its peers, print the tables and write them to docs/benchmarks.md.

    python benchmarks/pipeline --models DIR            everything: about half an hour on two cores
    python benchmarks/pipeline --models DIR --quick    small models only, two minutes, nothing written

DIR holds DamagedHelmet.glb and pirate.obj; what is not there is left out. The peers and the dragon come from
package-lock.json by `npm ci` in this folder.
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
PARTS = ("quality", "effort", "scaling")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models/src"), help="folder of the two real models")
    parser.add_argument("--quick", action="store_true", help="small models only; nothing is written")
    parser.add_argument("--only", choices=PARTS, action="append", help="some tables; nothing is written")
    parser.add_argument("--repetitions", type=int, default=3, help="of every timed command (default: 3)")
    asked = parser.parse_args()
    if not (HERE / "node_modules").is_dir():
        sys.exit(f"the peers are missing: run `npm ci` in {HERE}")
    import effort
    import peers
    import quality
    import subjects

    wanted = asked.only or PARTS
    text = [heading(peers.versions())]
    print(text[0], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        found = subjects.find(asked.models, scratch)
        if asked.quick:
            found.pop("dragon", None)
        for part in wanted:
            if part == "quality":
                tables = quality.tables(found, scratch, quick=asked.quick)
            elif part == "effort":
                tables = effort.tables(found, scratch, repetitions=1 if asked.quick else asked.repetitions)
            else:
                tables = [effort.scaling(scratch, quick=asked.quick)]
            text += [table.markdown() for table in tables]
            print("\n".join(text[-len(tables) :]), flush=True)
    if not asked.quick and not asked.only:
        # What other benchmarks have written below stays.
        before = DOCUMENT.read_text("utf-8") if DOCUMENT.exists() else ""
        below = re.search(r"\n# The (viewer|relay)\b.*", before, re.DOTALL)
        DOCUMENT.write_text("\n".join(text) + (below[0] if below else ""), encoding="utf-8")


def heading(versions: dict[str, str]) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""# Benchmarks

Written by `make bench-pipeline MODELS=…`.
Machine: {os.cpu_count()} cores of {processor()}; Python {platform.python_version()}.
Peers: {peers}.

- gltfpack: `-sp -sv -se 1 -noq -kv -si RATIO`. `-se 1` lets the ratio decide, `-noq` spares it rounding.
- glTF-Transform: functions in one Node process: weld, simplify (error 1, borders free), WebP by sharp, Draco at our
  quantisation (14/12/8 bits). What levels share is done once.
- Ours: what `streamxr build` writes, decoded: quantisation included. The dragon's 3 % is the end of a chain below
  two splits.
- Distances: 400,000 samples by area each way, and every vertex; MeshLab's distance filter.
"""


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
