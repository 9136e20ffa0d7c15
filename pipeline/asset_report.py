"""What was built from one model, in numbers. Loads nothing heavy: the process that only waits for models reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .gltf.document import Json


@dataclass(frozen=True)
class TierRow:
    """One row of the report: a tier of all trees of an asset, or the base, or a texture level."""

    name: str
    regions: int
    triangles: int
    error: float | None
    bytes: int


@dataclass(frozen=True)
class AssetReport:
    """What was built from one model. `entry` is its catalogue entry."""

    asset: str
    source: str
    source_bytes: int
    entry: Json
    rows: tuple[TierRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows)


def report_rows(manifest: Json) -> tuple[TierRow, ...]:
    """The rows of an asset's report, from its manifest: base, animations, tiers coarse to fine, texture levels."""
    rows = []
    trees = manifest["trees"]
    for tier in range(max((r["tier"] for t in trees for r in t["regions"]), default=0) + 1):
        at = [(t, r) for t in trees for r in t["regions"] if r["tier"] == tier]
        parents = {(id(t), r["parent"]) for t, r in at if r["parent"] is not None}
        size = sum(t["regions"][p]["refinement"]["bytes"] for t in trees for i, p in sorted(parents) if i == id(t))
        rows.append(
            TierRow(
                f"tier {tier}" if tier else "base",
                len(at),
                sum(r["triangles"] for _, r in at),
                max((r["error"] * t["scale"] for t, r in at), default=None),
                size if tier else manifest["base"]["bytes"],
            )
        )
    files = {a["keyframes"]["uri"]: a["keyframes"]["bytes"] for a in manifest["animations"] if a["keyframes"]}
    if files:
        rows.insert(1, TierRow("animations", len(files), 0, None, sum(files.values())))
    sizes = {max(x["width"], x["height"]) for t in manifest["textures"] for x in t["levels"] if x["uri"]}
    for pixels in sorted(sizes):
        levels = {
            x["uri"]: x["bytes"]
            for t in manifest["textures"]
            for x in t["levels"]
            if x["uri"] and max(x["width"], x["height"]) == pixels
        }
        rows.append(TierRow(f"{pixels} px", len(levels), 0, None, sum(levels.values())))
    return tuple(rows)
