"""The plan of a tree: border share, depth, the errors that settings request, addressable nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gltf_maker as make
import numpy as np
import pytest
from builds import Built
from streamxr.pipeline.bundle.validate import decode_refinement, validate
from streamxr.pipeline.mesh.surface import Surface, merge
from streamxr.pipeline.mesh.topology import open_edges, rows_in
from streamxr.pipeline.settings import Settings

Build = Callable[..., Built]


def sheets(layers: int, side: int, hills: float = 0.2) -> make.Maker:
    """Wavy squares of `side`² quads, one above the other, that do not touch. hills: the height of their waves."""
    u, v = (g.reshape(-1) / side for g in np.meshgrid(np.arange(side + 1), np.arange(side + 1)))
    quad = np.arange(side)[:, None] * (side + 1) + np.arange(side)[None, :]
    a, b, c, d = (quad.reshape(-1) + k for k in (0, 1, side + 1, side + 2))
    triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])
    heights = [hills * np.sin(9 * u + k) * np.cos(7 * v) + 3 * k / layers for k in range(layers)]
    positions = np.concatenate([np.stack([u, z, v], axis=1) for z in heights])
    every = np.concatenate([triangles + k * len(u) for k in range(layers)])
    maker = make.Maker()
    maker.node(mesh=maker.mesh(maker.primitive(positions, every)))
    return maker


def by_tier(built: Built) -> dict[int, dict[int, Surface]]:
    """Decoded regions of the only tree below its base, by tier and index."""
    (one,) = built.manifest["trees"]
    found: dict[int, dict[int, Surface]] = {}
    for region in one["regions"]:
        if region["refinement"]:
            content = (built.root / region["refinement"]["uri"]).read_bytes()
            for child, surface in zip(
                region["children"], decode_refinement(content, one, region["children"]), strict=True
            ):
                found.setdefault(one["regions"][child]["tier"], {})[child] = surface
    return found


@pytest.mark.parametrize(("layers", "side"), [(60, 20), (12, 60), (2, 150)])
def test_border_vertices_stay_under_a_quarter_of_any_regions_triangles(build: Build, layers: int, side: int) -> None:
    built = build(sheets(layers, side), settings=Settings(leaf_triangles=1500, base_triangles=600))
    split = {t: regions for t, regions in by_tier(built).items() if len(regions) > 1}
    for regions in split.values():
        for index, surface in regions.items():
            others = np.concatenate([s.positions for i, s in regions.items() if i != index])
            assert rows_in(surface.positions, others).sum() <= 0.25 * len(surface.triangles)
    assert split
    assert validate(built.root).findings == ()


def test_open_edges_of_the_model_are_simplified_too(build: Build) -> None:
    tiers = by_tier(build(sheets(2, 150), settings=Settings(leaf_triangles=4000, base_triangles=600)))
    first, last = (merge(list(tiers[t].values())) for t in (min(tiers), max(tiers)))
    assert len(open_edges(first.triangles)) < 0.5 * len(open_edges(last.triangles))


def test_depth_limits_the_levels_of_a_tree(build: Build) -> None:
    for depth, leaves in ((0, 1), (1, 4)):
        built = build(make.textured_sphere(60, 100), f"d{depth}", Settings(leaf_triangles=500, depth=depth))
        regions = built.manifest["trees"][0]["regions"]
        assert sum(not r["children"] for r in regions) == leaves


def test_tiers_finer_than_the_finest_error_are_left_out(build: Build) -> None:
    full = errors(build(make.textured_sphere(120, 160), "full"))
    asked = full[1] * 1.2  # rounding may use an eighth of it
    for name, length in (("metres", f"{asked:.6f}"), ("percent", f"{asked / diagonal() * 100:.6f}%")):
        some = errors(build(make.textured_sphere(120, 160), name, Settings(finest_error=length)))
        assert len(some) == 2 < len(full)
        assert some[-1] <= asked


def test_positions_have_no_more_bits_than_the_finest_error_needs(build: Build) -> None:
    bits = {}
    for name, length in (("all", "0"), ("fine", "0.001%"), ("coarse", "1%"), ("coarsest", "50%")):
        built = build(make.textured_sphere(60, 80), name, Settings(finest_error=length))
        bits[name] = built.manifest["trees"][0]["grid"]["bits"]
        if name == "coarse":
            assert errors(built)[-1] <= 0.01 * diagonal()
    assert bits == {"all": 14, "fine": 14, "coarse": 10, "coarsest": 10}


def test_tiers_coarser_than_the_coarsest_error_are_left_out(build: Build) -> None:
    full = errors(build(make.textured_sphere(120, 160), "full"))
    some = errors(build(make.textured_sphere(120, 160), "some", Settings(coarsest_error=f"{full[1] * 1.01:.6f}")))
    assert some == pytest.approx(full[1:], rel=1e-6)


def test_a_tier_that_hardly_lowers_the_error_is_dropped(build: Build) -> None:
    flat, hilly = (
        build(sheets(1, 100, hills), name, Settings(tier_ratio=2)).manifest["trees"][0]["regions"]
        for name, hills in (("flat", 0.0), ("hilly", 0.2))
    )
    # Few triangles fit a plane as well as many: no tier between the base and the source lowers the error.
    assert {region["tier"] for region in flat} == {0, 1}
    assert max(region["tier"] for region in hilly) > 1
    assert flat[-1]["triangles"] == hilly[-1]["triangles"]


def diagonal() -> float:
    positions = make.bumpy_sphere(120, 160)[0]
    return float(np.linalg.norm(np.ptp(positions, axis=0)))


def errors(built: Built) -> list[float]:
    """The largest error of each tier, coarse to fine."""
    found: dict[int, float] = {}
    for region in built.manifest["trees"][0]["regions"]:
        found[region["tier"]] = max(region["error"], found.get(region["tier"], 0.0))
    return [found[t] for t in sorted(found)]


def test_nodes_with_extras_or_a_kept_name_stay_addressable(build: Build) -> None:
    def furnished() -> make.Maker:
        maker = make.Maker()
        positions, _, _, triangles = make.bumpy_sphere(8, 12)
        for place, extra in enumerate(
            ({"name": "door left"}, {"name": "wall"}, {"name": "lamp", "extras": {"on": True}})
        ):
            primitive = maker.primitive(positions, triangles)
            maker.node(mesh=maker.mesh(primitive), translation=[3.0 * place, 0, 0], **extra)
        return maker

    def addressable(built: Built) -> list[str]:
        base: dict[str, Any] = built.base[0]
        return [base["nodes"][n]["name"] for t in built.manifest["trees"] if t["kind"] == "rigid" for n in t["nodes"]]

    assert addressable(build(furnished(), "plain")) == ["lamp"]
    assert addressable(build(furnished(), "kept", Settings(keep_nodes="door*\nnothing"))) == ["door left", "lamp"]
