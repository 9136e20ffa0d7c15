"""Repair defects that scanners and CAD exporters leave in geometry, and leave sound geometry as it is."""

from __future__ import annotations

import numpy as np
import pymeshlab
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..arrays import BoolArray
from .geometry import face_normals
from .surface import Source, Surface
from .topology import non_degenerate, open_edges

SAME_PLACE = 1e-6  # of the surface's diagonal: vertices nearer to each other differ only by rounding
# Dust: loose pieces that are smaller than both of these shares.
DUST_EXTENT = 0.01  # of the surface's diagonal
DUST_FACES = 0.001  # of the surface's triangles
HOLE_EDGES = 30  # holes with more edges are part of the shape


def clean(source: Source) -> tuple[Source, list[str]]:
    """Weld near vertices, remove duplicate and flat faces, dust, and surplus faces of non-manifold edges, and close
    small holes.

    A Source already has no vertices with equal positions and no unreferenced ones. Corners keep their attributes; a
    new face takes those of its vertices. A step that would remove all faces is skipped. Returns the repaired source,
    and notes for the artist about the changes.
    """
    notes: list[str] = []
    source, welded = _weld_near_vertices(source)
    if welded:
        notes.append(f"{welded:,} duplicate {'vertex' if welded == 1 else 'vertices'} joined")
    for find, singular in (
        (_flat, "degenerate face"),
        (_duplicates, "duplicate face"),
        (_dust, "face of tiny loose pieces"),
        (_surplus, "face at non-manifold edges"),
    ):
        bad = find(source.surface)
        if bad.any() and not bad.all():
            source = source.part(~bad)
            notes.append(f"{int(bad.sum()):,} {_plural(singular, int(bad.sum()))} removed")
    source, closed = _close_holes(source)
    if closed:
        notes.append(f"{closed:,} {_plural('face', closed)} added to close holes")
    return source, notes


def _weld_near_vertices(source: Source) -> tuple[Source, int]:
    """Weld vertices that differ only by rounding; returns the source and how many vertices that removed."""
    surface = source.surface
    near = SAME_PLACE * float(np.linalg.norm(np.ptp(surface.positions, axis=0)))
    pairs = cKDTree(surface.positions).query_pairs(near, output_type="ndarray")
    if len(pairs) == 0:
        return source, 0
    count = len(surface.positions)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (count, count))
    number, group = connected_components(graph, directed=False)
    first = np.full(number, count)
    np.minimum.at(first, group, np.arange(count))
    triangles = first[group][surface.triangles]
    good = non_degenerate(triangles)
    if not good.any():
        return source, 0
    welded = Surface(surface.positions, triangles, surface.kinds, surface.uv)
    return Source(welded, source.vertices, source.attributes).part(good), count - number


def _plural(noun: str, count: int) -> str:
    head, _, rest = noun.partition("face")
    return noun if count == 1 else f"{head}faces{rest}"


def _flat(surface: Surface) -> BoolArray:
    """A mask (m,) of the faces without area."""
    _, area = face_normals(surface.positions, surface.triangles)
    flat: BoolArray = area == 0
    return flat


def _duplicates(surface: Surface) -> BoolArray:
    """A mask (m,) of the faces with the same three vertices as an earlier face, in any winding."""
    rows = np.sort(surface.triangles, axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    repeated = np.ones(len(rows), np.bool_)
    repeated[first] = False
    return repeated


def _dust(surface: Surface) -> BoolArray:
    """A mask (m,) of the faces of connected components that are small both in extent and in faces."""
    t = surface.triangles
    count = len(surface.positions)
    ends = np.concatenate([t[:, :2], t[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (count, count))
    number, of_vertex = connected_components(graph, directed=False)
    low, high = np.full((number, 3), np.inf), np.full((number, 3), -np.inf)
    np.minimum.at(low, of_vertex, surface.positions)
    np.maximum.at(high, of_vertex, surface.positions)
    extent = np.linalg.norm(high - low, axis=1)
    whole = float(np.linalg.norm(np.ptp(surface.positions, axis=0)))
    faces = np.bincount(of_vertex[t[:, 0]], minlength=number)
    small: BoolArray = (extent < DUST_EXTENT * whole) & (faces < max(4.0, DUST_FACES * len(t)))
    return small[of_vertex[t[:, 0]]]


def _surplus(surface: Surface) -> BoolArray:
    """A mask (m,) of the surplus faces of edges with more than two: all except the two largest."""
    t = surface.triangles
    count = len(surface.positions)
    start, end = t.reshape(-1), t[:, [1, 2, 0]].reshape(-1)
    key = np.minimum(start, end) * count + np.maximum(start, end)
    face = np.repeat(np.arange(len(t)), 3)
    _, area = face_normals(surface.positions, t)
    order = np.lexsort((face, -area[face], key))
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    bad = np.zeros(len(t), np.bool_)
    bad[face[order[rank >= 2]]] = True
    return bad


def _close_holes(source: Source) -> tuple[Source, int]:
    """Close holes of up to HOLE_EDGES edges; returns the source and the number of new faces."""
    surface = source.surface
    if len(open_edges(surface.triangles)) == 0:
        return source, 0
    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(
        pymeshlab.Mesh(
            vertex_matrix=np.ascontiguousarray(surface.positions),
            face_matrix=np.ascontiguousarray(surface.triangles, np.int32),
        )
    )
    try:
        meshes.meshing_close_holes(
            maxholesize=HOLE_EDGES,
            selected=False,
            newfaceselected=False,
            selfintersection=True,
            refinehole=False,
            refineholeedgelen=pymeshlab.PercentageValue(3),
        )
    except pymeshlab.PyMeshLabException:  # the filter rejects surfaces that are not manifold
        return source, 0
    mesh = meshes.current_mesh()
    faces = np.ascontiguousarray(mesh.face_matrix(), np.int64)
    old = len(surface.triangles)
    if mesh.vertex_number() != len(surface.positions) or not np.array_equal(faces[:old], surface.triangles):
        return source, 0
    new = faces[old:]
    corner_of = np.zeros(len(surface.positions), np.int64)  # one corner at each vertex
    corner_of[surface.triangles.reshape(-1)[::-1]] = np.arange(3 * old)[::-1]
    donors = corner_of[new]
    kinds = np.concatenate([surface.kinds, surface.kinds[donors[:, 0] // 3]])
    uv = np.concatenate([surface.uv, surface.uv.reshape(-1, 2)[donors]])
    grown = Surface(surface.positions, faces, kinds, uv)
    vertices = np.concatenate([source.vertices, source.vertices.reshape(-1)[donors]])
    return Source(grown, vertices, source.attributes), len(new)
