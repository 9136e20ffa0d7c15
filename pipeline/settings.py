"""Build settings: one frozen dataclass whose defaults are the documented defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass

Setting = str | int | float | bool | None


@dataclass(frozen=True)
class Settings:
    """What may change the bytes of a bundle; recorded in every manifest.

    leaf_triangles: triangles a leaf region should have. Smaller leaves follow the gaze more closely but
        spend more of their triangles on locked borders.
    depth: how often a tree is split in four at most; None where leaf_triangles decides alone.
    coarsest_error, finest_error: tiers above the first and below the second are left out; a length in metres
        ("0.002") or in percent of a tree's diagonal ("0.1%").
    keep_nodes: patterns of node names, one a line, as fnmatch reads them: these nodes stay addressable.
    unit, up: of formats that state none (OBJ, PLY, STL).
    clean: repair the geometry; None where only scans are (PLY, STL).
    base_triangles: the most triangles the base may have.
    base_bytes: the base shrinks its pictures until it is below this.
    tier_ratio: triangles of a tier over those of the next coarser one.
    position_bits, uv_bits, normal_bits: Draco quantisation. Position bits grow where a model is large
        against its triangles.
    base_texture_pixels: longest side of the pictures inside the base.
    max_texture_pixels: longest side of the finest texture level.
    """

    leaf_triangles: int = 12_000
    depth: int | None = None
    coarsest_error: str = "inf"
    finest_error: str = "0"
    keep_nodes: str = ""
    unit: str = "m"
    up: str = "y"
    clean: bool | None = None
    base_triangles: int = 1_500
    base_bytes: int = 60_000
    tier_ratio: int = 4
    position_bits: int = 14
    uv_bits: int = 12
    normal_bits: int = 8
    draco_level: int = 7
    base_texture_pixels: int = 128
    max_texture_pixels: int = 4096
    color_quality: int = 80
    normal_quality: int = 90
    data_quality: int = 80

    @property
    def errors(self) -> tuple[str, str]:
        return self.coarsest_error, self.finest_error

    def as_json(self) -> dict[str, Setting]:
        return asdict(self)
