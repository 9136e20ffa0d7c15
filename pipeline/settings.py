"""Build settings: one frozen dataclass whose defaults are the documented defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Role = Literal["color", "normal", "data"]  # what the pixels of a picture mean
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
    unit, up: of formats that state none (OBJ, PLY, STL, OFF).
    clean: repair the geometry; None where only scans are (PLY, STL).
    base_triangles: the most triangles the base may have.
    base_bytes: the base shrinks its pictures, and gives away its animations, until it is below this.
    tier_ratio: triangles of a tier over those of the next coarser one.
    position_bits, uv_bits, normal_bits: Draco quantisation. Position bits grow where a model is large against its
        triangles, and fall where finest_error needs fewer; uv_bits are those of primitives without a picture, others
        follow its size.
    base_texture_pixels: longest side of the pictures inside the base.
    max_color_pixels, max_normal_pixels, max_data_pixels: longest side of the finest texture level, by role.
    texture_format: webp, jpeg, png or ktx2; pictures/levels.py describes each.
    color_quality, normal_quality, data_quality: of WebP and JPEG, 0 to 100.
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
    max_color_pixels: int = 4096
    max_normal_pixels: int = 4096
    max_data_pixels: int = 4096
    texture_format: str = "webp"
    color_quality: int = 80
    normal_quality: int = 90
    data_quality: int = 80

    @property
    def errors(self) -> tuple[str, str]:
        return self.coarsest_error, self.finest_error

    def max_pixels(self, role: Role) -> int:
        return {"color": self.max_color_pixels, "normal": self.max_normal_pixels, "data": self.max_data_pixels}[role]

    def as_json(self) -> dict[str, Setting]:
        return asdict(self)
