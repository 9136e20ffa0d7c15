"""The error that edge collapse minimises: quadrics of vertices, texture moments of wedges, and the cost of an edge.

The cost of an edge is the sum of

- the squared distance of the new position from the planes of all faces merged into it, weighted mainly by area
  (Garland and Heckbert, Surface simplification using quadric error metrics, 1997);
- the same for planes that are perpendicular to the faces, through open edges and through the lines between wedges or
  kinds of faces;
- the squared difference between the texture coordinates of each new wedge and those that the faces merged into it have
  at the new position (Hoppe, New quadric metric for simplifying meshes with appearance attributes, 1999). The best
  coordinates for a position are a weighted mean, so they are eliminated and the position is solved for in three
  dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from .compiled import compiled, compiled_inner, int64

OPEN, LINE = 1, 2  # kinds of border sides
OPEN_WEIGHT = 1.0  # of planes through open edges, by squared length, relative to faces by area
LINE_WEIGHT = 0.1  # of planes through lines between wedges or kinds
EVEN_SHARE = 0.3  # of the mean area, added to each face's own weight: the small faces at the tip of a spike count too
STEEPEST = 100.0  # squared texture gradient, relative to the mean; steeper faces get less weight
REGULAR = 1e-5  # of the quadric's trace: where the quadric is flat, this draws the new position to the edge's middle
SHORT = 1e-9  # of an edge's squared length by area: among collapses without cost, short edges go first
MAX_WEDGES = 16  # different wedges around one edge; further ones are ignored


class CollapseMesh(NamedTuple):
    """A mesh that collapse changes in place.

    positions: (n, 3); triangles: (m, 3) vertices; wedges: (m, 3); uv: (w, 2), in units comparable with positions; w is
    0 for a mesh without texture coordinates.
    locked: (n,) vertices that stay; border: (m, 3) whether the side from a corner to the next is OPEN, a LINE between
    wedges or kinds, or neither (0).
    """

    positions: FloatArray
    triangles: AnyArray
    wedges: AnyArray
    uv: FloatArray
    locked: BoolArray
    border: AnyArray


class CollapseState(NamedTuple):
    """The state of vertices, wedges and faces while edges collapse. Corner k of face f has the number 3 f + k.

    quadrics: (n, 10) coefficients xx xy xz yy yz zz x y z 1; moments: (w, 9) area, then for each texture coordinate the
    area's moments with its gradient (3) and offset; fixed: (w,) wedges of locked vertices.
    head, tail: (n,) first and last corner of each vertex' list; following: (3m,) the next corner in the list, or −1.
    open: (n,) vertices on open edges; stamp: (n,) counts the changes of a vertex; gone: (n,) vertices without faces;
    dead: (m,) collapsed faces; mark: (n + 1,) scratch, the last entry the current mark.
    """

    quadrics: FloatArray
    moments: FloatArray
    fixed: BoolArray
    head: AnyArray
    tail: AnyArray
    following: AnyArray
    open: BoolArray
    stamp: AnyArray
    gone: BoolArray
    dead: BoolArray
    mark: AnyArray


class WedgeGroups(NamedTuple):
    """The wedges around an edge in groups that its collapse would merge.

    member: (MAX_WEDGES,) wedges; group: (MAX_WEDGES,) the index of the first member of each one's group. quadric: (10,)
    of the edge; moments: (9,) scratch.
    """

    member: AnyArray
    group: AnyArray
    quadric: FloatArray
    moments: FloatArray


@compiled
def initial_state(mesh: CollapseMesh) -> CollapseState:
    count, faces = len(mesh.positions), len(mesh.triangles)
    state = CollapseState(
        np.zeros((count, 10)),
        np.zeros((len(mesh.uv), 9)),
        np.zeros(len(mesh.uv), np.bool_),
        np.full(count, -1, np.int32),
        np.full(count, -1, np.int32),
        np.full(3 * faces, -1, np.int32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int32),
        np.ones(count, np.bool_),
        np.zeros(faces, np.bool_),
        np.zeros(count + 1, np.int32),
    )
    total = 0.0
    for f in range(faces):
        total += _normal(mesh.positions, mesh.triangles[f, 0], mesh.triangles[f, 1], mesh.triangles[f, 2])[3] * 0.5
    for f in range(faces):
        _add_face(mesh, state, f, EVEN_SHARE * total / faces)
        for k in range(3):
            append_corner(state, int64(mesh.triangles[f, k]), 3 * f + k)
            state.gone[mesh.triangles[f, k]] = False
            if len(mesh.uv):
                state.fixed[mesh.wedges[f, k]] = mesh.locked[mesh.triangles[f, k]]
    done = np.zeros(len(mesh.uv), np.bool_)
    for f in range(faces):
        for k in range(3):
            w = mesh.wedges[f, k]
            if len(mesh.uv) and not done[w]:
                done[w] = True
                _add_wedge(mesh, state, w, state.moments[w], state.quadrics[mesh.triangles[f, k]], 1.0)
    return state


@compiled_inner
def append_corner(state: CollapseState, v: int, corner: int) -> None:
    """Append a corner to a vertex' list."""
    if state.head[v] < 0:
        state.head[v] = corner
    else:
        state.following[state.tail[v]] = corner
    state.tail[v] = corner


@compiled_inner
def evaluate_edge(
    mesh: CollapseMesh, state: CollapseState, a: int, b: int, groups: WedgeGroups, place: FloatArray
) -> float:
    """The cost of collapsing an edge. Writes the new vertex' position to `place`, and the quadric to `groups`."""
    p, q, quadrics = mesh.positions, groups.quadric, state.quadrics
    for k in range(10):
        q[k] = quadrics[a, k] + quadrics[b, k]
    still = mesh.locked[a] or mesh.locked[b]
    if still:
        keep = a if mesh.locked[a] else b
        x, y, z = p[keep, 0], p[keep, 1], p[keep, 2]
    else:
        x, y, z = (p[a, 0] + p[b, 0]) * 0.5, (p[a, 1] + p[b, 1]) * 0.5, (p[a, 2] + p[b, 2]) * 0.5
    if len(mesh.uv):
        _merge_in_quadric(mesh, state, a, b, groups)
    trace = q[0] + q[3] + q[5]
    if not still:
        x, y, z = _minimum(q, trace * REGULAR, x, y, z)
    place[0], place[1], place[2] = x, y, z
    cost = x * (q[0] * x + 2.0 * (q[1] * y + q[2] * z + q[6])) + y * (q[3] * y + 2.0 * (q[4] * z + q[7]))
    cost += z * (q[5] * z + 2.0 * q[8]) + q[9]
    dx, dy, dz = p[a, 0] - p[b, 0], p[a, 1] - p[b, 1], p[a, 2] - p[b, 2]
    priority: float = max(cost, 0.0) + SHORT * (dx * dx + dy * dy + dz * dz) * trace
    return priority


@compiled_inner
def _minimum(q: FloatArray, e: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The position where a quadric is smallest, drawn to (x, y, z) with weight e; (x, y, z) if there is none."""
    xx, yy, zz = q[0] + e, q[3] + e, q[5] + e
    rx, ry, rz = e * x - q[6], e * y - q[7], e * z - q[8]
    c0, c1, c2 = yy * zz - q[4] * q[4], q[2] * q[4] - q[1] * zz, q[1] * q[4] - q[2] * yy
    c4 = q[1] * q[2] - xx * q[4]
    determinant = xx * c0 + q[1] * c1 + q[2] * c2
    if determinant > 0.0:
        x = (c0 * rx + c1 * ry + c2 * rz) / determinant
        y = (c1 * rx + (xx * zz - q[2] * q[2]) * ry + c4 * rz) / determinant
        z = (c2 * rx + c4 * ry + (xx * yy - q[1] * q[1]) * rz) / determinant
    return x, y, z


@compiled_inner
def group_wedges(mesh: CollapseMesh, state: CollapseState, a: int, b: int, groups: WedgeGroups) -> int:
    """Group the wedges of a and b that a collapse merges: those that meet in a face of both. Returns the number of
    members."""
    members = 0
    corner = state.head[a]
    while corner >= 0 and members < MAX_WEDGES - 1:
        f, k = corner // 3, corner % 3
        other = -1
        if mesh.triangles[f, (k + 1) % 3] == b:
            other = (k + 1) % 3
        elif mesh.triangles[f, (k + 2) % 3] == b:
            other = (k + 2) % 3
        if other >= 0:
            at_a = at_b = -1
            for i in range(members):
                if groups.member[i] == mesh.wedges[f, k]:
                    at_a = i
                if groups.member[i] == mesh.wedges[f, other]:
                    at_b = i
            if at_a < 0:
                at_a = members
                groups.member[at_a] = mesh.wedges[f, k]
                groups.group[at_a] = at_a
                members += 1
            if at_b < 0:
                at_b = members
                groups.member[at_b] = mesh.wedges[f, other]
                groups.group[at_b] = at_b
                members += 1
            low, high = min(groups.group[at_a], groups.group[at_b]), max(groups.group[at_a], groups.group[at_b])
            for i in range(members):
                if groups.group[i] == high:
                    groups.group[i] = low
        corner = state.following[corner]
    return members


@compiled_inner
def fit_texture(mesh: CollapseMesh, state: CollapseState, wedge: int, place: FloatArray) -> None:
    """Set a wedge's texture coordinates to the best ones for a position."""
    moments = state.moments[wedge]
    if state.fixed[wedge] or moments[0] <= 0.0:
        return
    for k in range(2):
        i = 1 + 4 * k
        total = moments[i] * place[0] + moments[i + 1] * place[1] + moments[i + 2] * place[2] + moments[i + 3]
        mesh.uv[wedge, k] = total / moments[0]


@compiled_inner
def _merge_in_quadric(mesh: CollapseMesh, state: CollapseState, a: int, b: int, groups: WedgeGroups) -> None:
    """In the quadric of an edge, replace the terms of the wedges that merge by those of the merged ones."""
    members = group_wedges(mesh, state, a, b, groups)
    for i in range(members):
        if groups.group[i] != i:
            continue
        wedge = groups.member[i]
        for k in range(9):
            groups.moments[k] = 0.0
        for j in range(i, members):
            if groups.group[j] == i:
                w = groups.member[j]
                _add_wedge(mesh, state, w, state.moments[w], groups.quadric, -1.0)
                for k in range(9):
                    groups.moments[k] += state.moments[w, k]
                if state.fixed[w]:
                    wedge = w
        _add_wedge(mesh, state, wedge, groups.moments, groups.quadric, 1.0)


@compiled_inner
def _add_wedge(
    mesh: CollapseMesh, state: CollapseState, wedge: int, moments: FloatArray, q: FloatArray, sign: float
) -> None:
    """Complete the texture planes in a quadric by the coordinates of a wedge with these moments: its present ones if
    they are fixed, else the best ones as a function of the position. A sign of −1 reverts that."""
    for k in range(2):
        x, y, z, d = moments[1 + 4 * k], moments[2 + 4 * k], moments[3 + 4 * k], moments[4 + 4 * k]
        if state.fixed[wedge]:
            s = mesh.uv[wedge, k]
            q[6] -= sign * s * x
            q[7] -= sign * s * y
            q[8] -= sign * s * z
            q[9] += sign * s * (s * moments[0] - 2.0 * d)
        elif moments[0] > 0.0:
            _add_plane(q, x, y, z, d, -sign / moments[0])


@compiled_inner
def _add_face(mesh: CollapseMesh, state: CollapseState, f: int, even: float) -> None:
    """Add a face's plane with its area plus `even` as weight, the planes through its border sides, and its texture."""
    a, b, c = mesh.triangles[f]
    nx, ny, nz, length = _normal(mesh.positions, a, b, c)
    if length == 0.0:
        return
    p = mesh.positions
    offset = -(nx * p[a, 0] + ny * p[a, 1] + nz * p[a, 2])
    for k in range(3):
        _add_plane(state.quadrics[mesh.triangles[f, k]], nx, ny, nz, offset, length * 0.5 + even)
    for k in range(3):
        if mesh.border[f, k] == 0:
            continue
        i, j = mesh.triangles[f, k], mesh.triangles[f, (k + 1) % 3]
        ex, ey, ez = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
        weight = (ex * ex + ey * ey + ez * ez) * (OPEN_WEIGHT if mesh.border[f, k] == OPEN else LINE_WEIGHT)
        ux, uy, uz = ny * ez - nz * ey, nz * ex - nx * ez, nx * ey - ny * ex
        across = np.sqrt(ux * ux + uy * uy + uz * uz)
        if across > 0.0:
            ux, uy, uz = ux / across, uy / across, uz / across
            offset = -(ux * p[i, 0] + uy * p[i, 1] + uz * p[i, 2])
            _add_plane(state.quadrics[i], ux, uy, uz, offset, weight)
            _add_plane(state.quadrics[j], ux, uy, uz, offset, weight)
        if mesh.border[f, k] == OPEN:
            state.open[i] = state.open[j] = True
    if len(mesh.uv):
        _add_texture(mesh, state, f, nx, ny, nz, length)


@compiled_inner
def _add_texture(
    mesh: CollapseMesh, state: CollapseState, f: int, nx: float, ny: float, nz: float, length: float
) -> None:
    """Add the planes of a face's texture coordinates to its vertices' quadrics, and its moments to its wedges.

    (nx, ny, nz): the face's unit normal; length: twice its area.
    """
    a, b, c = mesh.triangles[f]
    p = mesh.positions
    ux, uy, uz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    vx, vy, vz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    # The dual vectors of the sides u and v: du has a product of 1 with u and of 0 with v.
    dux, duy, duz = (vy * nz - vz * ny) / length, (vz * nx - vx * nz) / length, (vx * ny - vy * nx) / length
    dvx, dvy, dvz = (ny * uz - nz * uy) / length, (nz * ux - nx * uz) / length, (nx * uy - ny * ux) / length
    steepness, weight = 0.0, length * 0.5
    for k in range(2):
        s = mesh.uv[mesh.wedges[f, 1], k] - mesh.uv[mesh.wedges[f, 0], k]
        t = mesh.uv[mesh.wedges[f, 2], k] - mesh.uv[mesh.wedges[f, 0], k]
        gx, gy, gz = s * dux + t * dvx, s * duy + t * dvy, s * duz + t * dvz
        steepness += gx * gx + gy * gy + gz * gz
    if steepness > STEEPEST:
        weight *= STEEPEST / steepness
    for corner in range(3):
        state.moments[mesh.wedges[f, corner], 0] += weight
    for k in range(2):
        start = mesh.uv[mesh.wedges[f, 0], k]
        s, t = mesh.uv[mesh.wedges[f, 1], k] - start, mesh.uv[mesh.wedges[f, 2], k] - start
        gx, gy, gz = s * dux + t * dvx, s * duy + t * dvy, s * duz + t * dvz
        offset = start - (gx * p[a, 0] + gy * p[a, 1] + gz * p[a, 2])
        for corner in range(3):
            _add_plane(state.quadrics[mesh.triangles[f, corner]], gx, gy, gz, offset, weight)
            row = state.moments[mesh.wedges[f, corner]]
            row[1 + 4 * k] += weight * gx
            row[2 + 4 * k] += weight * gy
            row[3 + 4 * k] += weight * gz
            row[4 + 4 * k] += weight * offset


@compiled_inner
def _normal(p: FloatArray, a: int, b: int, c: int) -> tuple[float, float, float, float]:
    """The unit normal of a face, and twice its area; all zero without area."""
    ux, uy, uz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    vx, vy, vz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length == 0.0:
        return 0.0, 0.0, 0.0, 0.0
    return nx / length, ny / length, nz / length, length


@compiled_inner
def _add_plane(q: FloatArray, x: float, y: float, z: float, d: float, weight: float) -> None:
    """Add weight · (x, y, z, d)(x, y, z, d)ᵀ to a quadric."""
    q[0] += weight * x * x
    q[1] += weight * x * y
    q[2] += weight * x * z
    q[3] += weight * y * y
    q[4] += weight * y * z
    q[5] += weight * z * z
    q[6] += weight * x * d
    q[7] += weight * y * d
    q[8] += weight * z * d
    q[9] += weight * d * d
