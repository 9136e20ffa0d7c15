"""The report of one built model. It imports no heavy library: the parent process of a build uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .gltf.document import Json


@dataclass(frozen=True)
class TierRow:
    """One row of the report: the base, a tier of all trees, all animation files, or the texture levels of one width.

    error: metres; None if the row has no geometry. bytes: of the files that hold it.
    """

    name: str
    regions: int
    triangles: int
    error: float | None
    bytes: int


@dataclass(frozen=True)
class AssetReport:
    """The files that were built from one model: its catalogue entry, rows in numbers, and notes for the artist."""

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
    tiers = max((region["tier"] for tree in manifest["trees"] for region in tree["regions"]), default=0)
    base, *finer = [_tier_row(manifest, tier) for tier in range(tiers + 1)]
    return (base, *_animation_rows(manifest), *finer, *_texture_rows(manifest))


def _tier_row(manifest: Json, tier: int) -> TierRow:
    """Tier 0 is in the base; the bytes of a finer tier are those of the refinements that hold it."""
    regions = triangles = size = 0
    errors = []
    for tree in manifest["trees"]:
        members = [region for region in tree["regions"] if region["tier"] == tier]
        parents = {region["parent"] for region in members} - {None}
        regions += len(members)
        triangles += sum(region["triangles"] for region in members)
        size += sum(tree["regions"][parent]["refinement"]["bytes"] for parent in parents)
        errors += [region["error"] * tree["scale"] for region in members]
    name = f"tier {tier}" if tier else "base"
    return TierRow(name, regions, triangles, max(errors, default=None), size if tier else manifest["base"]["bytes"])


def _animation_rows(manifest: Json) -> list[TierRow]:
    """One row for all animations that are files of their own, if there are any; equal files count once."""
    files = {a["keyframes"]["uri"]: a["keyframes"]["bytes"] for a in manifest["animations"] if a["keyframes"]}
    return [TierRow("animations", len(files), 0, None, sum(files.values()))] if files else []


def _texture_rows(manifest: Json) -> list[TierRow]:
    """One row for each width of texture levels outside the base; equal files count once."""
    by_pixels: dict[int, dict[str, int]] = {}
    for texture in manifest["textures"]:
        for level in texture["levels"]:
            if level["uri"]:
                files = by_pixels.setdefault(max(level["width"], level["height"]), {})
                files[level["uri"]] = level["bytes"]
    return [
        TierRow(f"{pixels} px", len(files), 0, None, sum(files.values())) for pixels, files in sorted(by_pixels.items())
    ]
