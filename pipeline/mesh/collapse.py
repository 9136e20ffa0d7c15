"""Edge collapse by quadric error: the cheapest edge of a mesh becomes one vertex, again and again.

A vertex may have several wedges, one for each set of texture coordinates that meet there: corners with the same wedge
are continuous. Everything is deterministic: of equal costs, the first to come is the first to go.
"""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, FloatArray
from .compiled import compiled, compiled_inner, int64
from .edge_queue import Queue, clear, fresh, pop, push, queue_with_room
from .quadrics import MEMBERS, Group, Mesh, State, evaluate, find_groups, set_texture, start

FLIP_COS = 0.25  # a face may turn by 75 degrees in one collapse


@compiled
def collapse(mesh: Mesh, target: int) -> tuple[BoolArray, BoolArray]:
    """Collapse edges until at most `target` faces are left, in place.

    First the topology is kept; should that end above the target, edges go on to collapse without regard to it.
    Returns which faces (m,) are left, and which vertices (n,) moved.
    """
    state = start(mesh)
    moved = np.zeros(len(mesh.positions), np.bool_)
    queue = queue_with_room(3 * len(mesh.triangles) + 64)  # twice the edges of a closed surface
    group = Group(np.empty(MEMBERS, np.int32), np.empty(MEMBERS, np.int32), np.empty(10), np.empty(9))
    _collapse_until(mesh, target, state, queue, group, np.empty(3), moved)
    return ~state.dead, moved


@compiled_inner
def _collapse_until(
    mesh: Mesh, target: int, state: State, queue: Queue, group: Group, place: FloatArray, moved: BoolArray
) -> None:
    live = len(mesh.triangles)
    for topology in (True, False):
        clear(queue)
        for v in range(len(mesh.positions)):
            if not state.gone[v]:
                _push_edges(mesh, state, queue, v, v, group, place)
        while live > target:
            entry = pop(queue)
            if entry < 0:
                break
            a, b = int64(queue.ends[entry, 0]), int64(queue.ends[entry, 1])
            if not fresh(queue, entry, state) or (topology and not _keeps_topology(mesh, state, a, b)):
                continue
            if mesh.locked[b]:  # the one that is left is the one that stays
                a, b = b, a
            if mesh.locked[a] and not _keeps_locked_edges(mesh, state, a, b):
                continue
            evaluate(mesh, state, a, b, group, place)
            if _flips(mesh, state, a, b, place) or _flips(mesh, state, b, a, place):
                continue
            live -= _merge(mesh, state, a, b, group, place)
            moved[a] |= not mesh.locked[a]
            _push_edges(mesh, state, queue, a, int64(0), group, place)
        if live <= target:
            break


@compiled_inner
def _push_edges(mesh: Mesh, state: State, queue: Queue, v: int, least: int, group: Group, place: FloatArray) -> None:
    """Put the edges from `v` to vertices from `least` on into the queue."""
    state.mark[-1] += 1
    corner = state.head[v]
    while corner >= 0:
        for k in range(3):
            u = int64(mesh.triangles[corner // 3, k])
            if u == v or state.mark[u] == state.mark[-1] or u < least or (mesh.locked[v] and mesh.locked[u]):
                continue
            state.mark[u] = state.mark[-1]
            push(queue, evaluate(mesh, state, v, u, group, place), v, u, state)
        corner = state.following[corner]


@compiled_inner
def _keeps_topology(mesh: Mesh, state: State, a: int, b: int) -> bool:
    """The link condition: the ends share no neighbour but those across their faces, and a chord between two
    borders is none that would pinch the surface."""
    triangles, following, mark, border = mesh.triangles, state.following, state.mark, mesh.border
    mark[-1] += 2
    touched, counted = mark[-1] - 1, mark[-1]
    shared = common = 0
    corner = state.head[a]
    while corner >= 0:
        f = corner // 3
        for k in range(3):
            u = triangles[f, k]
            mark[u] = touched
            shared += u == b
        corner = following[corner]
    mark[a] = mark[b] = counted
    corner = state.head[b]
    while corner >= 0:
        for k in range(3):
            u = triangles[corner // 3, k]
            if mark[u] == touched:
                mark[u] = counted
                common += 1
        corner = following[corner]
    if common != shared or shared > 2:
        return False
    if shared == 1 or not (state.edged[a] and state.edged[b]):
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
def _keeps_locked_edges(mesh: Mesh, state: State, a: int, b: int) -> bool:
    """Whether every edge from a to another locked vertex still has a face when b has become one with a."""
    corner = state.head[b]
    while corner >= 0:
        f, k = corner // 3, corner % 3
        corner = state.following[corner]
        for c, other in (
            (mesh.triangles[f, (k + 1) % 3], mesh.triangles[f, (k + 2) % 3]),
            (mesh.triangles[f, (k + 2) % 3], mesh.triangles[f, (k + 1) % 3]),
        ):
            if (
                other == a
                and mesh.locked[c]
                and not (_have_face(mesh, state, b, c, f) or _have_face(mesh, state, a, c, f))
            ):
                return False
    return True


@compiled_inner
def _have_face(mesh: Mesh, state: State, v: int, u: int, but: int) -> bool:
    """Whether two vertices have a face in common, one that is not `but` nor vanishes with it."""
    corner = state.head[v]
    while corner >= 0:
        f = corner // 3
        corner = state.following[corner]
        if f != but and (mesh.triangles[f, 0] == u or mesh.triangles[f, 1] == u or mesh.triangles[f, 2] == u):
            return True
    return False


@compiled_inner
def _flips(mesh: Mesh, state: State, v: int, other: int, place: FloatArray) -> bool:
    """Whether a face of v, but not of `other`, would turn over in space when v goes to its new place."""
    triangles, following = mesh.triangles, state.following
    p = mesh.positions
    corner = state.head[v]
    while corner >= 0:
        f, k = corner // 3, corner % 3
        i, j = triangles[f, (k + 1) % 3], triangles[f, (k + 2) % 3]
        corner = following[corner]
        if other in (i, j):
            continue
        ex, ey, ez = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
        ux, uy, uz = p[v, 0] - p[i, 0], p[v, 1] - p[i, 1], p[v, 2] - p[i, 2]
        wx, wy, wz = place[0] - p[i, 0], place[1] - p[i, 1], place[2] - p[i, 2]
        ox, oy, oz = ey * uz - ez * uy, ez * ux - ex * uz, ex * uy - ey * ux
        nx, ny, nz = ey * wz - ez * wy, ez * wx - ex * wz, ex * wy - ey * wx
        old, new = ox * ox + oy * oy + oz * oz, nx * nx + ny * ny + nz * nz
        turn = ox * nx + oy * ny + oz * nz
        if old > 0.0 and (turn <= 0.0 or turn * turn < FLIP_COS * FLIP_COS * old * new):
            return True
    return False


@compiled_inner
def _merge(mesh: Mesh, state: State, a: int, b: int, group: Group, place: FloatArray) -> int:
    """Make b one with a, at its new place; returns how many faces vanish. `group` is that of evaluate."""
    for k in range(10):
        state.quadrics[a, k] = group.quadric[k]
    members = find_groups(mesh, state, a, b, group) if len(mesh.uv) else 0
    for j in range(members):
        i = group.group[j]
        if i != j:
            w, gone = group.member[i], group.member[j]
            for k in range(9):
                state.moments[w, k] += state.moments[gone, k]
            if state.fixed[gone]:
                state.fixed[w] = True
                mesh.uv[w, 0], mesh.uv[w, 1] = mesh.uv[gone, 0], mesh.uv[gone, 1]
    for k in range(3):
        mesh.positions[a, k] = place[k]
    mesh.locked[a] |= mesh.locked[b]
    state.edged[a] |= state.edged[b]
    state.gone[b] = True
    state.stamp[a] += 1
    state.following[state.tail[a]] = state.head[b]
    corner, state.head[a], state.tail[a] = state.head[a], -1, -1
    vanished = 0
    while corner >= 0:
        f, k, after = corner // 3, corner % 3, state.following[corner]
        i, j = mesh.triangles[f, (k + 1) % 3], mesh.triangles[f, (k + 2) % 3]
        if not state.dead[f] and (i in (a, b) or j in (a, b)):
            state.dead[f] = True
            vanished += 1
            for m in (1, 2):
                u = mesh.triangles[f, (k + m) % 3]
                if u not in (a, b):
                    _unlink(state, u, 3 * f + (k + m) % 3)
        if not state.dead[f]:
            mesh.triangles[f, k] = a
            for m in range(members):
                if mesh.wedges[f, k] == group.member[m]:
                    mesh.wedges[f, k] = group.member[group.group[m]]
                    break
            if len(mesh.uv):
                set_texture(mesh, state, mesh.wedges[f, k], place)
            if state.head[a] < 0:
                state.head[a] = corner
            else:
                state.following[state.tail[a]] = corner
            state.tail[a] = corner
        corner = after
    if state.head[a] < 0:
        state.gone[a] = True
    else:
        state.following[state.tail[a]] = -1
    return vanished


@compiled_inner
def _unlink(state: State, v: int, corner: int) -> None:
    """Take a corner out of its vertex' list."""
    before = -1
    here = state.head[v]
    while here >= 0 and here != corner:
        before, here = here, state.following[here]
    if here < 0:
        return
    if before < 0:
        state.head[v] = state.following[corner]
    else:
        state.following[before] = state.following[corner]
    if state.tail[v] == corner:
        state.tail[v] = before
    state.gone[v] = state.head[v] < 0
