"""The nouns of a tree: its source before the build, and its regions after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..gltf.draco import EncodedPrimitive, Grid
from ..mesh.surface import PrimitiveKind, Source, Surface

TreeKind = Literal["static", "rigid", "skinned", "morphed"]


@dataclass(frozen=True)
class TreeSource:
    """The geometry of one tree before the build.

    nodes: the source nodes that draw it; empty for the flattened static geometry.
    mesh: the source mesh; None for the flattened static geometry.
    scale: the largest factor by which lengths grow from the tree's space to the asset's.
    kinds: of the source's triangles.
    """

    kind: TreeKind
    nodes: tuple[int, ...]
    mesh: int | None
    scale: float
    kinds: tuple[PrimitiveKind, ...]
    source: Source


@dataclass(frozen=True)
class Region:
    """A built region; docs/manifest.md defines the terms.

    primitives: (kind, stream) in the order of the tree's kinds.
    sphere: centre and radius. cone: axis and the cosine of the half angle; None if the normals fill a half space.
    error: in the tree's units, as the sphere.
    """

    tier: int
    parent: int | None
    children: tuple[int, ...]
    primitives: tuple[tuple[int, EncodedPrimitive], ...]
    sphere: tuple[float, float, float, float]
    cone: tuple[float, float, float, float] | None
    error: float
    metres_per_uv: float | None

    @property
    def triangles(self) -> int:
        return sum(len(p.triangles) for _, p in self.primitives)

    @property
    def vertices(self) -> int:
        return sum(p.vertices for _, p in self.primitives)

    @property
    def gpu_bytes(self) -> int:
        return sum(p.gpu_bytes for _, p in self.primitives)


@dataclass(frozen=True)
class Tree:
    """A built tree: its source, its grid, and its regions with parents before children.

    kinds: of the primitives in its regions.
    top: the surface at the first split, from which the coarser tiers are simplified; None for deforming meshes.
    """

    origin: TreeSource
    grid: Grid
    regions: tuple[Region, ...]
    kinds: tuple[PrimitiveKind, ...]
    top: Surface | None = None
