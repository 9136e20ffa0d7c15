"""Build the bundle that `make lab` streams: the samples, and smaller variants of them that fill a room.

python scripts/lab_bundle.py FOLDER writes models to FOLDER/src and the bundle to FOLDER/bundle. Models and assets that
are up to date are kept.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
sys.path.insert(0, str(MODELS))

from make_samples import current_recipe, made_with  # noqa: E402
from samples import koi, lantern, sculpture  # noqa: E402

ORIGINALS = ("sculpture", "koi", "lantern")  # of the lab's scenes
# Another density gives other geometry and other pictures, so no variant shares a file with its original.
VARIANTS = {
    "trefoil-30": (sculpture, 0.30),
    "trefoil-38": (sculpture, 0.38),
    "trefoil-46": (sculpture, 0.46),
    "trefoil-55": (sculpture, 0.55),
    "lantern-70": (lantern, 0.7),
    "koi-70": (koi, 0.7),
}


def main(folder: Path) -> int:
    source = folder / "src"
    code = subprocess.call([sys.executable, str(MODELS / "make_samples.py"), *ORIGINALS, "--out", str(source)])
    if code:
        return code
    recipe = current_recipe()
    for name, (sample, detail) in VARIANTS.items():
        target = source / f"{name}.glb"
        if made_with(target) == recipe:
            continue
        print(f"{target}: making {name}", flush=True)
        partial = target.with_suffix(".part")
        partial.write_bytes(sample.build(recipe, detail))
        partial.replace(target)
    streamxr = Path(sys.executable).parent / "streamxr"
    return subprocess.call([str(streamxr), "build", str(source), "-o", str(folder / "bundle")])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
