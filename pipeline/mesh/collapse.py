"""Edge collapse by quadric error: repeatedly, the cheapest edge of a mesh becomes one vertex.

A vertex may have several wedges, one for each set of texture coordinates at it; texture coordinates are continuous
across corners with the same wedge. The result is deterministic: among equal costs, edges go in the order of insertion.
"""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray
from .compiled import compiled, compiled_inner, int64
from .edge_queue import Queue, is_current, make_queue, pop, push
from .quadrics import (
    MAX_WEDGES,
    CollapseMesh,
    CollapseState,
    WedgeGroups,
    append_corner,
    evaluate_edge,
    fit_texture,
    group_wedges,
    initial_state,
)

# The cost of an edge is completed when it is the cheapest: by this share of the area that its collapse makes invisible
# times the edge's squared length, …
AREA_WEIGHT = 0.3
TOPOLOGY_PRICE = 2.0  # … and by this factor, if the collapse changes the topology
DEARER = 1.01  # an edge whose complete cost is more than this times its first one goes back into the queue


@compiled
def collapse(mesh: CollapseMesh, target: int) -> tuple[BoolArray, BoolArray]:
    """Collapse edges in place until at most `target` faces are left, or no edge is.

    Returns masks of the faces (m,) that are left, and of the vertices (n,) that moved.
    """
    state = initial_state(mesh)
    moved = np.zeros(len(mesh.positions), np.bool_)
    queue = make_queue(3 * len(mesh.triangles) + 64)  # twice the edges of a closed surface
    groups = WedgeGroups(np.empty(MAX_WEDGES, np.int32), np.empty(MAX_WEDGES, np.int32), np.empty(10), np.empty(9))
    _collapse_until(mesh, target, state, queue, groups, np.empty(3), moved)
    return ~state.dead, moved


@compiled_inner
def _collapse_until(
    mesh: CollapseMesh,
    target: int,
    state: CollapseState,
    queue: Queue,
    groups: WedgeGroups,
    place: FloatArray,
    moved: BoolArray,
) -> None:
    for v in range(len(mesh.positions)):
        if not state.gone[v]:
            _push_edges(mesh, state, queue, v, v, groups, place)
    live = len(mesh.triangles)
    while live > target:
        entry = pop(queue)
        if entry < 0:
            break
        a, b = int64(queue.ends[entry, 0]), int64(queue.ends[entry, 1])
        if not is_current(queue, entry, state):
            continue
        if mesh.locked[b]:  # a is the vertex that is left, so a locked vertex must be a
            a, b = b, a
        if not _keeps_locked(mesh, state, a, b):
            continue
        cost = evaluate_edge(mesh, state, a, b, groups, place)
        if not queue.final[entry]:
            worth = cost + AREA_WEIGHT * _lost_area(mesh, state, a, b, place) * _squared_length(mesh, a, b)
            if not _keeps_topology(mesh, state, a, b):
                worth *= TOPOLOGY_PRICE
            if worth > DEARER * cost:
                push(queue, worth, a, b, state, True)
                continue
        live -= _merge(mesh, state, a, b, groups, place)
        moved[a] |= not mesh.locked[a]
        _push_edges(mesh, state, queue, a, int64(0), groups, place)


@compiled_inner
def _push_edges(
    mesh: CollapseMesh,
    state: CollapseState,
    queue: Queue,
    v: int,
    least: int,
    groups: WedgeGroups,
    place: FloatArray,
) -> None:
    """Push the edges from `v` to vertices with an index of at least `least`."""
    state.mark[-1] += 1
    corner = state.head[v]
    while corner >= 0:
        for k in range(3):
            u = int64(mesh.triangles[corner // 3, k])
            if u == v or u < least or state.mark[u] == state.mark[-1] or (mesh.locked[v] and mesh.locked[u]):
                continue
            state.mark[u] = state.mark[-1]
            push(queue, evaluate_edge(mesh, state, v, u, groups, place), v, u, state, False)
        corner = state.following[corner]


@compiled_inner
def _keeps_topology(mesh: CollapseMesh, state: CollapseState, a: int, b: int) -> bool:
    """The link condition: the ends share no neighbours except those across the edge's faces, and an edge between two
    border vertices is itself on the border, so that its collapse does not pinch the surface."""
    triangles, following, mark, border = mesh.triangles, state.following, state.mark, mesh.border
    mark[-1] += 2
    neighbour_of_a, counted = mark[-1] - 1, mark[-1]
    faces = common = 0  # of both ends: faces, and neighbours
    corner = state.head[a]
    while corner >= 0:
        f = corner // 3
        for k in range(3):
            u = triangles[f, k]
            mark[u] = neighbour_of_a
            faces += u == b
        corner = following[corner]
    mark[a] = mark[b] = counted
    corner = state.head[b]
    while corner >= 0:
        for k in range(3):
            u = triangles[corner // 3, k]
            if mark[u] == neighbour_of_a:
                mark[u] = counted
                common += 1
        corner = following[corner]
    if common != faces or faces > 2:
        return False
    if faces == 1 or not (state.open[a] and state.open[b]):
        return True
    corner = state.head[a]
    while corner >= 0:
        f, k = corner // 3, corner % 3
        if triangles[f, (k + 1) % 3] == b and border[f, k]:
            return True
        if triangles[f, (k + 2) % 3] == b and border[f, (k + 2) % 3]:
            return True
        corner = following[corner]
    return False


@compiled_inner
def _keeps_locked(mesh: CollapseMesh, state: CollapseState, a: int, b: int) -> bool:
    """Whether all locked vertices, and all edges between them, still have a face after b has become a."""
    left = False  # whether a keeps a face
    for v, other in ((a, b), (b, a)):
        corner = state.head[v]
        while corner >= 0:
            f, k = corner // 3, corner % 3
            corner = state.following[corner]
            i, j = int64(mesh.triangles[f, (k + 1) % 3]), int64(mesh.triangles[f, (k + 2) % 3])
            if i != other and j != other:
                left = True
            elif v == b:
                c = j if i == other else i
                if mesh.locked[c] and not _keeps_face(mesh, state, c, a, b, mesh.locked[a]):
                    return False
    return left or not mesh.locked[a]


@compiled_inner
def _keeps_face(mesh: CollapseMesh, state: CollapseState, c: int, a: int, b: int, with_a: bool) -> bool:
    """Whether c has a face that does not vanish with the edge from a to b; with_a: one that will have a as vertex."""
    corner = state.head[c]
    while corner >= 0:
        f, k = corner // 3, corner % 3
        corner = state.following[corner]
        i, j = mesh.triangles[f, (k + 1) % 3], mesh.triangles[f, (k + 2) % 3]
        at_a, at_b = i == a or j == a, i == b or j == b
        if not (at_a and at_b) and (at_a or at_b or not with_a):
            return True
    return False


@compiled_inner
def _squared_length(mesh: CollapseMesh, a: int, b: int) -> float:
    p = mesh.positions
    x, y, z = p[a, 0] - p[b, 0], p[a, 1] - p[b, 1], p[a, 2] - p[b, 2]
    squared: float = x * x + y * y + z * z
    return squared


@compiled_inner
def _lost_area(mesh: CollapseMesh, state: CollapseState, a: int, b: int, place: FloatArray) -> float:
    """The area that the faces around an edge lose, each seen along its present normal, when the edge collapses."""
    triangles, p = mesh.triangles, mesh.positions
    lost = folded = 0.0
    for v, other in ((a, b), (b, a)):
        corner = state.head[v]
        while corner >= 0:
            f, k = corner // 3, corner % 3
            i, j = triangles[f, (k + 1) % 3], triangles[f, (k + 2) % 3]
            corner = state.following[corner]
            ex, ey, ez = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
            ux, uy, uz = p[v, 0] - p[i, 0], p[v, 1] - p[i, 1], p[v, 2] - p[i, 2]
            ox, oy, oz = ey * uz - ez * uy, ez * ux - ex * uz, ex * uy - ey * ux
            old = np.sqrt(ox * ox + oy * oy + oz * oz)
            if i == other or j == other:
                lost += old if v == a else 0.0
                continue
            wx, wy, wz = place[0] - p[i, 0], place[1] - p[i, 1], place[2] - p[i, 2]
            nx, ny, nz = ey * wz - ez * wy, ez * wx - ex * wz, ex * wy - ey * wx
            seen = (ox * nx + oy * ny + oz * nz) / old if old > 0.0 else 0.0
            lost += old - seen
            if seen < 0.0:
                folded -= 2.0 * seen
    total: float = 0.5 * (max(lost, 0.0) + folded)
    return total


@compiled_inner
def _merge(mesh: CollapseMesh, state: CollapseState, a: int, b: int, groups: WedgeGroups, place: FloatArray) -> int:
    """Merge b into a at `place`; returns the number of faces that vanish. `groups` must be those of evaluate_edge."""
    for k in range(10):
        state.quadrics[a, k] = groups.quadric[k]
    members = _merge_wedges(mesh, state, a, b, groups)
    for k in range(3):
        mesh.positions[a, k] = place[k]
    mesh.locked[a] |= mesh.locked[b]
    state.open[a] |= state.open[b]
    state.gone[b] = True
    state.stamp[a] += 1
    state.following[state.tail[a]] = state.head[b]
    corner, state.head[a], state.tail[a] = state.head[a], -1, -1
    vanished = 0
    while corner >= 0:
        f, k, after = corner // 3, corner % 3, state.following[corner]
        i, j = mesh.triangles[f, (k + 1) % 3], mesh.triangles[f, (k + 2) % 3]
        if not state.dead[f] and (i in (a, b) or j in (a, b)):
            _remove_face(mesh, state, f, a, b)
            vanished += 1
        if not state.dead[f]:
            mesh.triangles[f, k] = a
            _set_wedge(mesh, state, f, k, groups, members, place)
            append_corner(state, a, int64(corner))
        corner = after
    if state.head[a] < 0:
        state.gone[a] = True
    else:
        state.following[state.tail[a]] = -1
    return vanished


@compiled_inner
def _merge_wedges(mesh: CollapseMesh, state: CollapseState, a: int, b: int, groups: WedgeGroups) -> int:
    """Merge the wedges of each group into its first member; returns the number of members."""
    members = group_wedges(mesh, state, a, b, groups) if len(mesh.uv) else 0
    for j in range(members):
        i = groups.group[j]
        if i != j:
            w, gone = groups.member[i], groups.member[j]
            for k in range(9):
                state.moments[w, k] += state.moments[gone, k]
            if state.fixed[gone]:
                state.fixed[w] = True
                mesh.uv[w, 0], mesh.uv[w, 1] = mesh.uv[gone, 0], mesh.uv[gone, 1]
    return members


@compiled_inner
def _set_wedge(
    mesh: CollapseMesh, state: CollapseState, f: int, k: int, groups: WedgeGroups, members: int, place: FloatArray
) -> None:
    """Give a corner the wedge that its own was merged into, with texture coordinates for the new position."""
    for m in range(members):
        if mesh.wedges[f, k] == groups.member[m]:
            mesh.wedges[f, k] = groups.member[groups.group[m]]
            break
    if len(mesh.uv):
        fit_texture(mesh, state, mesh.wedges[f, k], place)


@compiled_inner
def _remove_face(mesh: CollapseMesh, state: CollapseState, f: int, a: int, b: int) -> None:
    """Mark a face as dead, and remove its corners from the lists of vertices other than a and b."""
    state.dead[f] = True
    for k in range(3):
        u = mesh.triangles[f, k]
        if u not in (a, b):
            _unlink(state, u, 3 * f + k)


@compiled_inner
def _unlink(state: CollapseState, v: int, corner: int) -> None:
    """Remove a corner from its vertex' list."""
    before = -1
    current = state.head[v]
    while current >= 0 and current != corner:
        before, current = current, state.following[current]
    if current < 0:
        return
    if before < 0:
        state.head[v] = state.following[corner]
    else:
        state.following[before] = state.following[corner]
    if state.tail[v] == corner:
        state.tail[v] = before
    state.gone[v] = state.head[v] < 0
