"""Simplify a surface by quadric edge collapse, with any of its vertices locked.

MeshLab's parameters stick from one MeshSet to the next, so every call passes every parameter.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pymeshlab

from .closest import ClosestPoints
from .surface import (
    FloatArray,
    IntArray,
    Surface,
    face_normals,
    merge,
    part,
    rows_in,
    unique_rows,
    without_degenerates,
)

# Weight of texture coordinates against positions in the quadric. On the helmet .1 gave the smallest
# geometric error at 3–25 % of the triangles without visible swimming of the texture.
TEXTURE_WEIGHT = 0.1
USUAL_SIZE = 4.0  # diagonal: about the helmet's
# Lines between materials stay exact while their edges number less than this share of the target: beyond,
# the locked lines would leave no triangles for the surfaces between them.
LINE_SHARE = 0.25
# A vertex that a collapse leaves further behind than this many times the mean stays where it is in a second one. On
# the dragon at 3 % the largest error falls to a seventh, and the mean stays.
FAR = 10.0
LOST = 40.0  # times the mean: something is still lost, which is worth a third collapse
ROUNDS = 2  # collapses after the first
FAR_SHARE = 0.02  # of the target: so many vertices may be kept so at most
MEAN_PRICE = 1.05  # the mean error may grow so much for a smaller largest one
MIN_TRIANGLES = 4  # the fewest triangles of a primitive kind that are worth a collapse


# Barycentric middles of the 16 triangles that a triangle falls into when its edges are cut in four.
SIXTEENTHS: FloatArray = (
    np.array(
        [((3 * i + 1), (3 * j + 1), (10 - 3 * i - 3 * j)) for i in range(4) for j in range(4 - i)]
        + [((3 * i + 2), (3 * j + 2), (8 - 3 * i - 3 * j)) for i in range(3) for j in range(3 - i)]
    )
    / 12.0
)
NOTHING: FloatArray = np.zeros((0, 3))


def simplify(surface: Surface, target: int, locked: FloatArray = NOTHING) -> Surface:
    """Reduce `surface` to about `target` triangles.

    locked: (k, 3) positions of vertices that stay where they are, with the edges between them (the border of
        a region). Open edges are only weighed.
    Lines between primitive kinds stay exact when anything is locked, or when the target leaves room for them;
    else kinds are simplified together and the lines move a little. Each kind keeps at least one triangle,
    since the base must carry the material of every kind.
    """
    kinds = np.unique(surface.kinds)
    if len(kinds) == 1:
        return _collapse(surface, target, locked)
    lines = _line_vertices(surface)
    if len(locked) or len(lines) <= LINE_SHARE * target:
        locked = np.concatenate([locked, lines])
        return merge([_share(surface, int(kind), target, locked) for kind in kinds])
    together = _collapse_jointly(surface, target)
    lost = np.setdiff1d(kinds, together.kinds)
    if len(lost):
        together = merge([together, *(_share(surface, int(kind), 0, NOTHING) for kind in lost)])
    return together


def strayed(source: Surface, tier: Surface) -> float:
    """The share of a tier's area on which it shows another kind than the source does at the nearest point.

    Points whose own kind is nearer than the tier is to the source on average do not count: a line may lie that far
    off as every other point may. Sampled at the middles of 16 parts of each triangle.
    """
    _, area = face_normals(tier.positions, tier.triangles)
    points = np.einsum("pk,mkc->mpc", SIXTEENTHS, tier.positions[tier.triangles]).reshape(-1, 3)
    kinds, weights = (np.repeat(values, len(SIXTEENTHS)) for values in (tier.kinds, area))
    found = ClosestPoints(source.positions, source.triangles).query(points)
    band = float(np.average(found.distances, weights=weights)) if area.any() else 0.0
    other = np.flatnonzero(source.kinds[found.triangles] != kinds)
    wrong = 0.0
    for kind in np.unique(kinds[other]):
        mine = other[kinds[other] == kind]
        own = part(source, source.kinds == kind)
        gap = ClosestPoints(own.positions, own.triangles).query(points[mine]).distances
        wrong += float(weights[mine][gap > max(band, 1e-12)].sum())
    return wrong / float(weights.sum()) if area.any() else 0.0


def room_for_lines(surface: Surface) -> int:
    """The fewest triangles that leave the lines between kinds exact."""
    return ceil(len(_line_vertices(surface)) / LINE_SHARE)


def _line_vertices(surface: Surface) -> FloatArray:
    """Positions that more than one kind uses."""
    low = np.full(len(surface.positions), np.iinfo(np.int64).max)
    high = np.full(len(surface.positions), -1, np.int64)
    for kind in np.unique(surface.kinds):
        used = np.unique(surface.triangles[surface.kinds == kind])
        low[used] = np.minimum(low[used], kind)
        high[used] = kind
    shared: FloatArray = surface.positions[low < high]
    return shared


def _share(surface: Surface, kind: int, target: int, locked: FloatArray) -> Surface:
    """One kind of the surface, reduced to its share of the target."""
    own = part(surface, surface.kinds == kind)
    share = round(target * len(own.triangles) / len(surface.triangles))
    return _collapse(own, max(MIN_TRIANGLES, share), locked)


def _collapse_jointly(surface: Surface, target: int) -> Surface:
    """Collapse all kinds at once: each kind's texture coordinates lie in a tile of their own, so that the
    quadric keeps the kinds apart, and the tile tells the kind of a surviving triangle."""
    kinds, index = np.unique(surface.kinds, return_inverse=True)
    low = surface.uv.min(axis=(0, 1))
    span = max(float((surface.uv.max(axis=(0, 1)) - low).max()), 1e-6) * 2.0
    tiled = surface.uv.copy()
    tiled[:, :, 0] += (index * span)[:, None]
    positions, triangles, uv = _decimate(surface.positions, surface.triangles, tiled, target, NOTHING, textured=True)
    tile = np.clip(np.floor((uv[:, :, 0].mean(axis=1) - low[0]) / span + 0.25), 0, len(kinds) - 1).astype(np.int64)
    uv[:, :, 0] -= (tile * span)[:, None]
    return _welded(positions, triangles, kinds[tile], uv)


def _collapse(surface: Surface, target: int, locked: FloatArray) -> Surface:
    """Reduce a surface of one kind. What a collapse left far behind is locked in another one."""
    if len(surface.triangles) <= target:
        return surface
    best = _once(surface, target, locked)
    if len(best.triangles) == 0:
        return surface
    far, distances = _left_behind(surface, best, target)
    for _ in range(ROUNDS):
        if len(far) == 0:
            break
        locked = np.concatenate([locked, far])
        again = _once(surface, target, locked)
        if len(again.triangles) == 0:
            break
        far, after = _left_behind(surface, again, target)
        if after.max() < distances.max() and after.mean() < MEAN_PRICE * distances.mean():
            best, distances = again, after
        if distances.max() < LOST * distances.mean():
            break
    return best


def _once(surface: Surface, target: int, locked: FloatArray) -> Surface:
    textured = bool(np.any(surface.uv != surface.uv[0, 0]))
    positions, triangles, uv = _decimate(
        surface.positions, surface.triangles, surface.uv, target, locked, textured=textured
    )
    if len(triangles) == 0:
        return Surface(positions, triangles, np.zeros(0, np.int64), uv)
    return _welded(positions, triangles, np.full(len(triangles), surface.kinds[0], np.int64), uv)


def _left_behind(surface: Surface, result: Surface, target: int) -> tuple[FloatArray, FloatArray]:
    """Vertices of `surface` that `result` is far from, the furthest first and none nearer to another than it is
    itself to the result; and all vertices' distances.

    A quadric sums squared areas, so the tip of a thin spike weighs nothing and the whole spike may vanish.
    """
    distances = ClosestPoints(result.positions, result.triangles).query(surface.positions).distances
    far = np.flatnonzero(distances > FAR * distances.mean())
    order = far[np.argsort(-distances[far], kind="stable")]
    chosen: list[int] = []
    for index in order:
        if len(chosen) >= FAR_SHARE * target:
            break
        gaps = np.linalg.norm(surface.positions[chosen] - surface.positions[index], axis=1)
        if gaps.min(initial=np.inf) > distances[index]:
            chosen.append(int(index))
    return surface.positions[chosen], distances


def _welded(positions: FloatArray, triangles: IntArray, kinds: IntArray, uv: FloatArray) -> Surface:
    welded, inverse = unique_rows(positions)
    surface = without_degenerates(Surface(welded, inverse[triangles], kinds, uv))
    return part(surface, np.ones(len(surface.triangles), np.bool_))


def _decimate(
    positions: FloatArray,
    triangles: IntArray,
    uv: FloatArray,
    target: int,
    locked: FloatArray,
    *,
    textured: bool,
    optimal: bool = True,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Decimate to `target` faces; locked vertices and the edges between them survive as they are.

    MeshLab can freeze open edges or unselected faces, not vertices. But it moves a vertex only when every face
    around it is selected: so each locked vertex gets one more face, an unselected one that reaches out of the
    box to two anchors, and the faces around it stay free. It works at USUAL_SIZE, since MeshLab's quadrics hold
    constants: a terrain of 10 km came out 17 times worse than the same one of 1 m.
    """
    size = float(np.linalg.norm(np.ptp(positions, axis=0)))
    scale = 2.0 ** round(np.log2(USUAL_SIZE / size)) if size > 0 else 1.0  # a power of two, so that no bit is lost
    rows, corner, locked = positions * scale, triangles, locked * scale
    if textured:  # wedge texture coordinates enter through vertex ones: split at seams, transfer, weld again
        joined, corner = unique_rows(np.concatenate([rows[triangles].reshape(-1, 3), uv.reshape(-1, 2)], axis=1))
        rows, uv_rows, corner = joined[:, :3], joined[:, 3:], corner.reshape(-1, 3)
    frozen = _first_rows(rows, locked)
    low, high = rows.min(axis=0), rows.max(axis=0)
    reach = 0.01 * float(np.linalg.norm(high - low))
    anchors = (low - reach * np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 1.0]])).astype(np.float32).astype(np.float64)
    if len(frozen):
        first, second = (np.full(len(frozen), len(rows) + k) for k in (0, 1))
        corner = np.concatenate([corner, np.stack([frozen, first, second], axis=1)])
        rows = np.concatenate([rows, anchors])
        if textured:
            uv_rows = np.concatenate([uv_rows, np.zeros((2, 2))])
    free = np.ones(len(corner))
    free[len(triangles) :] = 0.0
    named: dict[str, Any] = {
        "vertex_matrix": np.ascontiguousarray(rows),
        "face_matrix": np.ascontiguousarray(corner, np.int32),
        "f_scalar_array": free,
    }
    if textured:
        named["v_tex_coords_matrix"] = np.ascontiguousarray(uv_rows)
    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(**named))
    if textured:
        meshes.compute_texcoord_transfer_vertex_to_wedge()
        meshes.meshing_remove_duplicate_vertices()
    if len(frozen):
        meshes.compute_selection_by_condition_per_face(condselect="fq > 0.5")
    common: dict[str, Any] = {
        "targetfacenum": target,
        "targetperc": 0.0,
        "qualitythr": 0.3,
        "preserveboundary": False,
        "boundaryweight": 1.0,
        "optimalplacement": optimal,
        "preservenormal": True,  # no cost in error, and far fewer folded triangles along locked borders
        "planarquadric": False,
        "selected": len(frozen) > 0,
    }
    if textured:
        meshes.meshing_decimation_quadric_edge_collapse_with_texture(**common, extratcoordw=TEXTURE_WEIGHT)
    else:
        # Thin necks would be pinched off, and what hung on them lost, if topology were free from the start.
        for topology in (True, False):
            meshes.meshing_decimation_quadric_edge_collapse(
                **common, preservetopology=topology, planarweight=0.001, qualityweight=False, autoclean=True
            )
            if meshes.current_mesh().face_number() <= target + len(frozen) + MIN_TRIANGLES:
                break
    mesh = meshes.current_mesh()
    moved = np.array(mesh.vertex_matrix(), np.float64, order="C")
    faces = np.array(mesh.face_matrix(), np.int64, order="C")
    wedges = np.zeros((len(faces), 3, 2))
    if textured:
        wedges = np.array(mesh.wedge_tex_coord_matrix(), np.float64, order="C").reshape(-1, 3, 2)
    if len(frozen):
        own = ~rows_in(moved, anchors)[faces].any(axis=1)
        faces, wedges = faces[own], wedges[own]
    used = moved[faces].reshape(-1, 3)
    reach = float(np.linalg.norm(high - low))
    if optimal and ((used < low - reach) | (used > high + reach)).any():
        # Texture coordinates of billions make the quadrics so ill-conditioned that vertices fly away.
        return _decimate(positions, triangles, uv, target, locked / scale, textured=textured, optimal=False)
    return moved / scale, faces, wedges


def _first_rows(rows: FloatArray, positions: FloatArray) -> IntArray:
    """Index of the first row at each distinct one of `positions` that occurs among the rows."""
    there = np.flatnonzero(rows_in(rows, positions))
    _, first = np.unique(unique_rows(rows[there])[1], return_index=True)
    chosen: IntArray = there[first]
    return chosen
