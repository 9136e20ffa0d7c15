"""Candidates that the pipeline makes: bases, and cuts through the trees with the finest pictures."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import HERE, node

ROOT = HERE.parents[1]
STREAMXR = Path(sys.executable).with_name("streamxr")
TYPES = {"webp": "image/webp", "png": "image/png", "jpg": "image/jpeg", "ktx2": "image/ktx2"}


class BuildError(Exception):
    """The pipeline cannot build a model."""


@dataclass(frozen=True)
class Asset:
    """One asset of a bundle."""

    bundle: Path
    manifest: Any

    @property
    def base(self) -> Path:
        return self.bundle / self.manifest["base"]["uri"]

    @property
    def base_pixels(self) -> int:
        """The longest side of the pictures in the base; 1 without pictures."""
        levels = [texture["levels"][0] for texture in self.manifest["textures"]]
        return max((max(level["width"], level["height"]) for level in levels), default=1)

    @property
    def tiers(self) -> list[int]:
        return sorted({region["tier"] for tree in self.manifest["trees"] for region in tree["regions"]})

    def bytes_to(self, tier: int) -> int:
        """The bytes of the base and of the refinements down to a tier, without pictures."""
        opened = {
            region["refinement"]["uri"]: region["refinement"]["bytes"]
            for tree in self.manifest["trees"]
            for region in tree["regions"]
            if region["refinement"] and all(tree["regions"][child]["tier"] <= tier for child in region["children"])
        }
        return int(self.manifest["base"]["bytes"]) + sum(opened.values())

    def cut(self, tier: int) -> Path:
        """All regions of a tier, or of coarser tiers where these are the finest, as one GLB with the finest pictures.

        Raises PeerError if it cannot be written.
        """
        script = hashlib.sha256((HERE / "peers.mjs").read_bytes() + json.dumps(self.manifest).encode()).hexdigest()
        target = self.bundle / "cuts" / f"{script[:16]}-{tier}.glb"
        if target.is_file():
            return target
        target.parent.mkdir(exist_ok=True)
        job = target.with_suffix(".json")
        job.write_text(json.dumps(self._job(tier)))
        node("cut", job, target)
        return target

    def _job(self, tier: int) -> Any:
        pictures = []
        for image, texture in enumerate(self.manifest["textures"]):
            uri = texture["levels"][-1]["uri"]
            if uri is not None:
                pictures.append({"image": image, "path": str(self.bundle / uri), "type": TYPES[uri.rsplit(".", 1)[1]]})
        trees = []
        for tree in self.manifest["trees"]:
            regions = cut_of(tree["regions"], tier)
            if regions:
                files = [
                    {
                        "path": str(self.bundle / tree["regions"][parent]["refinement"]["uri"]),
                        "parts": [
                            {
                                "mesh": tree["regions"][parent]["children"].index(child),
                                "primitives": tree["regions"][child]["primitives"],
                            }
                            for child in children
                        ],
                    }
                    for parent, children in regions.items()
                ]
                kinds = [kind["material"] for kind in tree["primitives"]]
                trees.append({"nodes": tree["nodes"], "kinds": kinds, "regions": files})
        return {"base": str(self.base), "pictures": pictures, "trees": trees}


def cut_of(regions: Sequence[Any], tier: int) -> dict[int, list[int]]:
    """The regions of a cut by their parent; empty if the base draws the tree.

    The cut has the regions of the tier and, where the tree ends or goes on below the tier only, the finest before it.
    """
    found: dict[int, list[int]] = {}
    for index, region in enumerate(regions):
        ends = not region["children"] or any(regions[child]["tier"] > tier for child in region["children"])
        if region["parent"] is not None and region["tier"] <= tier and ends:
            found.setdefault(region["parent"], []).append(index)
    return found


def built(model: Path, builds: Path, *options: str) -> Asset:
    """The asset that `streamxr build` makes; built again if the pipeline, the model or an option has changed.

    Raises BuildError.
    """
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", "-".join([model.name, *options])).lower()
    key = hashlib.sha256(b"\0".join([_pipeline(), model.read_bytes(), *map(str.encode, options)])).hexdigest()[:16]
    folder = builds / f"{prefix}.{key}"
    if not (folder / "bundle.json").is_file():
        for old in builds.glob(f"{prefix}.*"):
            shutil.rmtree(old)
        command = [STREAMXR, "build", model, "-o", folder, "--force", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not (folder / "bundle.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise BuildError(lines[-1][:200] if lines else f"exit status {done.returncode}")
    return assets(folder)[model.name]


def assets(bundle: Path) -> dict[str, Asset]:
    """The assets of a bundle by the file name of their source."""
    entries = json.loads((bundle / "bundle.json").read_text())["assets"].values()
    found = [Asset(bundle, json.loads((bundle / entry["manifest"]["uri"]).read_text())) for entry in entries]
    return {Path(asset.manifest["source"]["name"]).name: asset for asset in found}


def _pipeline() -> bytes:
    """A hash of the pipeline's code and of its libraries."""
    files = [*sorted((ROOT / "pipeline").rglob("*.py")), ROOT / "requirements.lock"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).digest()
