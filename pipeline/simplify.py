"""Simplify a surface by quadric edge collapse, borders locked or free.

MeshLab's parameters stick from one MeshSet to the next, so every call passes every parameter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymeshlab

from .surface import FloatArray, IntArray, Surface, merge, open_edges, part, unique_rows, without_degenerates

# Weight of texture coordinates against positions in the quadric. On the helmet .1 gave the smallest
# geometric error at 3–25 % of the triangles without visible swimming of the texture.
TEXTURE_WEIGHT = 0.1
# Lines between materials stay exact while their edges number less than this share of the target: beyond,
# the locked lines would leave no triangles for the surfaces between them.
LINE_SHARE = 0.25
MIN_TRIANGLES = 4  # the fewest triangles of a primitive kind that are worth a collapse


def simplify(surface: Surface, target: int, *, locked: bool) -> Surface:
    """Reduce `surface` to about `target` triangles.

    locked: keep every vertex of an open edge where it is, and every open edge (the border of a region).
        Otherwise open edges are only weighed.
    Lines between primitive kinds stay exact when `locked`, or when the target leaves room for them; else
    kinds are simplified together and the lines move a little. Each kind keeps at least one triangle, since
    the base must carry the material of every kind.
    """
    kinds = np.unique(surface.kinds)
    if len(kinds) == 1:
        return _collapse(surface, target, locked=locked)
    if locked or _line_edges(surface, kinds) <= LINE_SHARE * target:
        return merge([_share(surface, int(kind), target, locked=True) for kind in kinds])
    together = _collapse_jointly(surface, target)
    lost = np.setdiff1d(kinds, together.kinds)
    if len(lost):
        together = merge([together, *(_share(surface, int(kind), 0, locked=False) for kind in lost)])
    return together


def _line_edges(surface: Surface, kinds: IntArray) -> int:
    """How many edges lie on lines between kinds, natural open edges included: all that would be locked."""
    return sum(len(open_edges(surface.triangles[surface.kinds == kind])) for kind in kinds)


def _share(surface: Surface, kind: int, target: int, *, locked: bool) -> Surface:
    """One kind of the surface, reduced to its share of the target."""
    own = part(surface, surface.kinds == kind)
    share = round(target * len(own.triangles) / len(surface.triangles))
    return _collapse(own, max(MIN_TRIANGLES, share), locked=locked)


def _collapse_jointly(surface: Surface, target: int) -> Surface:
    """Collapse all kinds at once: each kind's texture coordinates lie in a tile of their own, so that the
    quadric keeps the kinds apart, and the tile tells the kind of a surviving triangle."""
    kinds, index = np.unique(surface.kinds, return_inverse=True)
    low = surface.uv.min(axis=(0, 1))
    span = max(float((surface.uv.max(axis=(0, 1)) - low).max()), 1e-6) * 2.0
    tiled = surface.uv.copy()
    tiled[:, :, 0] += (index * span)[:, None]
    positions, triangles, uv = _decimate(
        surface.positions, surface.triangles, tiled, target, locked=False, textured=True
    )
    tile = np.clip(np.floor((uv[:, :, 0].mean(axis=1) - low[0]) / span + 0.25), 0, len(kinds) - 1).astype(np.int64)
    uv[:, :, 0] -= (tile * span)[:, None]
    return _welded(positions, triangles, kinds[tile], uv)


def _collapse(surface: Surface, target: int, *, locked: bool) -> Surface:
    if len(surface.triangles) <= target:
        return surface
    kind = int(surface.kinds[0])
    textured = bool(np.any(surface.uv != surface.uv[0, 0]))
    positions, triangles, uv = _decimate(
        surface.positions, surface.triangles, surface.uv, target, locked=locked, textured=textured
    )
    if len(triangles) == 0:
        return surface
    return _welded(positions, triangles, np.full(len(triangles), kind, np.int64), uv)


def _welded(positions: FloatArray, triangles: IntArray, kinds: IntArray, uv: FloatArray) -> Surface:
    welded, inverse = unique_rows(positions)
    surface = without_degenerates(Surface(welded, inverse[triangles], kinds, uv))
    return part(surface, np.ones(len(surface.triangles), np.bool_))


def _decimate(
    positions: FloatArray, triangles: IntArray, uv: FloatArray, target: int, *, locked: bool, textured: bool
) -> tuple[FloatArray, IntArray, FloatArray]:
    common: dict[str, Any] = {
        "targetfacenum": target,
        "targetperc": 0.0,
        "qualitythr": 0.3,
        "preserveboundary": locked,
        "boundaryweight": 1.0,
        "optimalplacement": True,
        "preservenormal": True,  # no cost in error, and far fewer folded triangles along locked borders
        "planarquadric": False,
        "selected": False,
    }
    meshes = pymeshlab.MeshSet(verbose=False)
    if not textured:
        meshes.add_mesh(
            pymeshlab.Mesh(
                vertex_matrix=np.ascontiguousarray(positions), face_matrix=np.ascontiguousarray(triangles, np.int32)
            )
        )
        meshes.meshing_decimation_quadric_edge_collapse(
            **common, preservetopology=False, planarweight=0.001, qualityweight=False, autoclean=True
        )
        mesh = meshes.current_mesh()
        faces = np.array(mesh.face_matrix(), np.int64, order="C")
        return np.array(mesh.vertex_matrix(), np.float64, order="C"), faces, np.zeros((len(faces), 3, 2))
    # Wedge texture coordinates enter through vertex ones: split at seams, transfer, weld again.
    rows, corner = unique_rows(np.concatenate([positions[triangles].reshape(-1, 3), uv.reshape(-1, 2)], axis=1))
    meshes.add_mesh(
        pymeshlab.Mesh(
            vertex_matrix=np.ascontiguousarray(rows[:, :3]),
            face_matrix=corner.reshape(-1, 3).astype(np.int32),
            v_tex_coords_matrix=np.ascontiguousarray(rows[:, 3:]),
        )
    )
    meshes.compute_texcoord_transfer_vertex_to_wedge()
    meshes.meshing_remove_duplicate_vertices()
    meshes.meshing_decimation_quadric_edge_collapse_with_texture(**common, extratcoordw=TEXTURE_WEIGHT)
    mesh = meshes.current_mesh()
    return (
        np.array(mesh.vertex_matrix(), np.float64, order="C"),
        np.array(mesh.face_matrix(), np.int64, order="C"),
        np.array(mesh.wedge_tex_coord_matrix(), np.float64, order="C").reshape(-1, 3, 2),
    )
