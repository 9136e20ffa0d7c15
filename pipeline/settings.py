"""The build settings: a frozen dataclass with the documented defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Role = Literal["color", "normal", "data"]  # the meaning of a picture's pixels
Setting = str | int | float | bool | None


@dataclass(frozen=True)
class Settings:
    """The settings that may change the bytes of a bundle; every manifest records them.

    leaf_triangles: target triangles of a leaf region. Smaller leaves follow the gaze more closely, but spend more of
        their triangles on locked borders.
    depth: the most levels below the root of a region tree, each with four times the regions; None to let
        leaf_triangles alone decide.
    coarsest_error: tiers with a larger error are left out; a length in metres ("0.002"), or a percentage of a tree's
        diagonal ("0.1%").
    finest_error: tiers finer than the first one within this error are left out; as coarsest_error.
    keep_nodes: patterns of node names, one per line, in the syntax of fnmatch; nodes that match stay addressable.
    keep_materials: whether materials that differ in factors only stay separate.
    walk_in: whether people can stand inside, so that coarse tiers keep what is not seen from outside; None to find out.
    unit, up: the unit and the up axis of formats that define none (OBJ, PLY, STL, OFF).
    clean: whether to repair the geometry; None to repair scans only (PLY, STL).
    base_triangles: the most triangles of the base.
    base_bytes: target size of the base; a larger one gets smaller pictures and leaves out its animations.
    tier_ratio: triangles of a tier divided by those of the next coarser tier.
    position_bits, uv_bits, normal_bits: Draco quantisation. Position bits rise for a model that is large relative to
        its triangles, and fall where finest_error needs fewer. uv_bits apply to primitives without a picture; others
        follow its size.
    draco_level: Draco compression level, 0 (fastest) to 10 (smallest).
    base_texture_pixels: longest side of the pictures in the base; twice that for cheap colour pictures.
    max_color_pixels, max_normal_pixels, max_data_pixels: longest side of the finest texture level, by role.
    texture_format: webp, jpeg, png or ktx2; pictures/levels.py describes each.
    color_quality, normal_quality, data_quality: quality of WebP and JPEG, 0 to 100.
    """

    leaf_triangles: int = 12_000
    depth: int | None = None
    coarsest_error: str = "inf"
    finest_error: str = "0"
    keep_nodes: str = ""
    keep_materials: bool = False
    walk_in: bool | None = None
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
