"""Distance from the source at equal triangle counts, and the angle between normals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peers
from measured_models import Model
from streamxr.pipeline.jobs.tasks import start_locally
from streamxr.pipeline.mesh.closest import ClosestPoints, weights_within
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.regions import build_tree
from streamxr.pipeline.trees.tree import Region
from surface_distance import Floats, distance, sample
from table import Table

ROWS = (("helmet", 0.12), ("helmet", 0.03), ("pirate", 0.03), ("dragon", 0.03))
QUICK = ROWS[:3]
# By default the dragon is split three times, with tiers of 1.6 % and 6.2 %. With two splits its chain ends at 3 %.
DEPTH = {"dragon": 2}
PEERS = {"gltfpack": peers.gltfpack, "glTF-Transform": peers.gltf_transform}
NORMAL_SAMPLES = 200_000


def tables(models: dict[str, Model], scratch: Path, *, quick: bool) -> list[Table]:
    rows = []
    for name, ratio in QUICK if quick else ROWS:
        if name not in models:
            continue
        model = models[name]
        source = peers.triangles(model.path)
        for peer, simplify in PEERS.items():
            peer_triangles = simplify(model.path, scratch / f"{name}.{peer}.glb", ratio)
            our_triangles = decoded(coarsest(model, len(peer_triangles)), "POSITION")
            theirs, ours = distance(source, peer_triangles), distance(source, our_triangles)
            no_worse = ours.mean <= theirs.mean and ours.largest <= theirs.largest
            rows.append(
                [f"{name} {ratio:.0%}", peer, f"{len(peer_triangles):,}", f"{len(our_triangles):,}",
                 f"{theirs.mean:.4f}", f"{ours.mean:.4f}", f"{theirs.largest:.2f}", f"{ours.largest:.2f}",
                 "yes" if no_worse else "no"]
            )  # fmt: skip
    head = ["model", "peer", "peer triangles", "our triangles", "peer mean", "our mean", "peer largest", "our largest",
            "ours no worse"]  # fmt: skip
    quality = Table("Distance from the source, % of the diagonal", head, rows)
    angle_rows = []
    for name in ("helmet", "dragon"):
        if name in models:
            half = coarsest(models[name], triangles_of(models[name]) // 2, depth=0, ratio=2)
            angle_rows.append([name, f"{half.triangles:,}", f"{normal_angle(models[name], half):.1f}°"])
    angles = Table("Mean angle between normals and the source's at 50 %", ["model", "triangles", "angle"], angle_rows)
    return [quality, angles]


def triangles_of(model: Model) -> int:
    return sum(len(t.source.surface.triangles) for t in model.scene().trees)


def coarsest(model: Model, triangles: int, *, depth: int | None = None, ratio: int = 4) -> Region:
    """The root region of a build whose base has about `triangles`."""
    (tree,) = model.scene().trees
    depth = DEPTH.get(model.name) if depth is None else depth
    return build_tree(tree, triangles, Settings(depth=depth, tier_ratio=ratio), start_locally).regions[0]


def decoded(region: Region, name: str) -> Floats:
    """An attribute (m, 3, k) on the region's corners, as a decoder sees it."""
    return np.concatenate([p.attributes[name].values[p.triangles] for _, p in region.primitives]).astype(np.float64)


def normal_angle(model: Model, region: Region) -> float:
    """The mean angle in degrees, by area, between normals of a region and of the source at the nearest point."""
    (tree,) = model.scene().trees
    normals, corners = decoded(region, "NORMAL"), decoded(region, "POSITION")
    points, chosen = sample(corners, NORMAL_SAMPLES)
    triangles = np.arange(3 * len(corners)).reshape(-1, 3)
    weights = weights_within(points, corners.reshape(-1, 3), triangles, chosen)
    ours = np.einsum("ij,ijk->ik", weights, normals[chosen])
    surface = tree.source.surface
    found = ClosestPoints(surface.positions, surface.triangles).query(points)
    weights = weights_within(found.points, surface.positions, surface.triangles, found.triangles)
    original = np.einsum("ij,ijk->ik", weights, tree.source.corners("NORMAL")[found.triangles])
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(original, axis=1)
    cosine = np.einsum("ij,ij->i", ours, original) / lengths
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())
