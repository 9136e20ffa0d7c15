"""Triangles: built with separate corners, then welded into indexed meshes with smooth or creased normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import Floats

Indices = NDArray[np.int64]

SAME_POINT_M = 1e-6  # closer corners are one point; far smaller than any detail of these models


@dataclass(frozen=True)
class Mesh:
    """Positions (n, 3) in metres, unit normals (n, 3), UVs (n, 2) with v downwards, triangles (m, 3)."""

    positions: Floats
    normals: Floats
    uvs: Floats
    triangles: Indices

    def tangents(self) -> Floats:
        """Unit tangents along u, (n, 4); the fourth component is the sign of the bitangent (glTF 2.0 §3.7.2.1).

        A tangent is the mean over a vertex's triangles, weighted by area, made perpendicular to the normal.
        """
        p, w = self.positions[self.triangles], self.uvs[self.triangles]
        e1, e2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
        d1, d2 = w[:, 1] - w[:, 0], w[:, 2] - w[:, 0]
        turn = d1[:, 0] * d2[:, 1] - d2[:, 0] * d1[:, 1]
        along = (e1 * d2[:, 1, None] - e2 * d1[:, 1, None]) * np.sign(turn)[:, None]
        along /= np.linalg.norm(along, axis=1, keepdims=True).clip(1e-20)
        along *= np.linalg.norm(np.cross(e1, e2), axis=1, keepdims=True)
        corner, count = self.triangles.reshape(-1), len(self.positions)
        total = _sums(corner, np.repeat(along, 3, axis=0), count)
        total -= self.normals * (total * self.normals).sum(axis=1, keepdims=True)
        # If all UVs of a vertex are one point, any direction is correct.
        undefined = np.linalg.norm(total, axis=1) < 1e-12
        other_axis = np.where(np.abs(self.normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
        total[undefined] = np.cross(self.normals, other_axis)[undefined]
        total /= np.linalg.norm(total, axis=1, keepdims=True)
        mirrored = np.bincount(corner, np.repeat(np.sign(turn), 3), count) > 0
        return np.concatenate([total, np.where(mirrored, -1.0, 1.0)[:, None]], axis=1)


@dataclass(frozen=True)
class Corners:
    """Triangles without shared vertices: positions (m, 3, 3) and UVs (m, 3, 2)."""

    positions: Floats
    uvs: Floats

    def __add__(self, other: Corners) -> Corners:
        return Corners(np.concatenate([self.positions, other.positions]), np.concatenate([self.uvs, other.uvs]))

    def where(self, chosen: NDArray[np.bool_]) -> Corners:
        """The triangles of a mask (m,)."""
        return Corners(self.positions[chosen], self.uvs[chosen])

    def moved(self, matrix: Floats) -> Corners:
        """The triangles transformed by a 4×4 matrix, which must not mirror."""
        return Corners(self.positions @ matrix[:3, :3].T + matrix[:3, 3], self.uvs)


def join_corners(parts: Sequence[Corners]) -> Corners:
    """All parts as one set of triangles."""
    return Corners(np.concatenate([part.positions for part in parts]), np.concatenate([part.uvs for part in parts]))


def sheet(points: Floats, uvs: Floats) -> Corners:
    """Triangles of a grid of points (rows, columns, 3) with UVs (rows, columns, 2).

    Normals point along ∂/∂row × ∂/∂column. Quads are split along their shorter diagonal; triangles without
    area (at the poles of a sphere) are left out.
    """
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    ua, ub, uc, ud = uvs[:-1, :-1], uvs[1:, :-1], uvs[1:, 1:], uvs[:-1, 1:]
    ac = (np.linalg.norm(a - c, axis=-1) <= np.linalg.norm(b - d, axis=-1))[..., None, None]
    first = np.where(ac, np.stack([a, b, c], 2), np.stack([a, b, d], 2))
    second = np.where(ac, np.stack([a, c, d], 2), np.stack([b, c, d], 2))
    first_uv = np.where(ac, np.stack([ua, ub, uc], 2), np.stack([ua, ub, ud], 2))
    second_uv = np.where(ac, np.stack([ua, uc, ud], 2), np.stack([ub, uc, ud], 2))
    positions = np.concatenate([first.reshape(-1, 3, 3), second.reshape(-1, 3, 3)])
    corner_uvs = np.concatenate([first_uv.reshape(-1, 3, 2), second_uv.reshape(-1, 3, 2)])
    edges = positions - np.roll(positions, 1, axis=1)
    kept = (np.linalg.norm(edges, axis=2) > SAME_POINT_M).all(axis=1)
    return Corners(positions[kept], corner_uvs[kept])


def weld(corners: Corners, crease_degrees: float = 40.0) -> Mesh:
    """Index the triangles and give each corner a normal.

    A corner's normal is the mean of the faces around its point, without those at more than `crease_degrees` to
    its own face. The weights are area × angle at the point, so that bevels are smooth and the flat faces beside
    them stay flat.
    """
    points = corners.positions
    cross = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    area = np.linalg.norm(cross, axis=1)
    face = cross / area[:, None]
    ahead = np.roll(points, -1, axis=1) - points
    ahead /= np.linalg.norm(ahead, axis=2, keepdims=True)
    behind = -np.roll(ahead, 1, axis=1)
    angle = np.arccos(np.clip((ahead * behind).sum(axis=2), -1, 1))

    owner = np.repeat(np.arange(len(points)), 3)
    grid_point = np.round(points.reshape(-1, 3) / SAME_POINT_M).astype(np.int64)
    _, place = np.unique(grid_point, axis=0, return_inverse=True)
    place = place.ravel()
    order = np.argsort(place, kind="stable")
    count = np.bincount(place)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    # All pairs of corners at the same point, as two flat lists.
    around = count[place]
    own = np.repeat(np.arange(len(place)), around)
    offset = np.arange(len(own)) - np.repeat(np.cumsum(around) - around, around)
    other = order[np.repeat(start[place], around) + offset]
    smooth = (face[owner[own]] * face[owner[other]]).sum(axis=1) > np.cos(np.radians(crease_degrees))
    own, other = own[smooth], other[smooth]
    pull = face[owner[other]] * (area[owner[other]] * angle.reshape(-1)[other])[:, None]
    normals = _sums(own, pull, len(place))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)

    uvs = corners.uvs.reshape(-1, 2)
    d1, d2 = corners.uvs[:, 1] - corners.uvs[:, 0], corners.uvs[:, 2] - corners.uvs[:, 0]
    mirrored = np.repeat(d1[:, 0] * d2[:, 1] > d2[:, 0] * d1[:, 1], 3)[:, None]
    exact = [grid_point, np.round(normals * 1e4), np.round(uvs * 1e6), mirrored]
    whole = np.concatenate(exact, axis=1).astype(np.int64)
    _, first, index = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    # All corners of a point get the same position, so that seams are closed bit for bit.
    shared = points.reshape(-1, 3)[order[start]][place]
    return Mesh(shared[first], normals[first], uvs[first], index.reshape(-1, 3))


def _sums(places: Indices, vectors: Floats, count: int) -> Floats:
    """The sum of the vectors (k, 3) at each of `count` places."""
    sums = [np.bincount(places, vectors[:, i], count) for i in range(3)]
    return np.asarray(np.stack(sums, axis=1), dtype=np.float64)


def join_meshes(*meshes: Mesh) -> Mesh:
    """One mesh of all; shared vertices are not welded."""
    start = np.cumsum([0] + [len(mesh.positions) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.positions for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uvs for mesh in meshes]),
        np.concatenate([mesh.triangles + offset for mesh, offset in zip(meshes, start, strict=False)]),
    )


def lathe(profile: Floats, uv_v: Floats, sides: int, turns_u: float = 1.0, start_u: float = 0.0) -> Corners:
    """A surface of revolution about the y axis, from a profile (k, 2) of (radius, height), bottom to top outside.

    `uv_v` (k,) is v along the profile; u starts at `start_u` and grows by `turns_u` once around.
    """
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    turn[-1] = 0.0  # so that the last column equals the first bit for bit
    radius, height = profile[None, :, 0], profile[None, :, 1]
    points = np.stack(
        [
            radius * np.sin(turn)[:, None],
            np.broadcast_to(height, (sides + 1, len(profile))),
            radius * np.cos(turn)[:, None],
        ],
        axis=-1,
    )
    u = start_u + turns_u * np.linspace(0, 1, sides + 1)
    uvs = np.stack(np.broadcast_arrays(u[:, None], uv_v[None, :]), axis=-1)
    return sheet(points, uvs)


def arc_length(path: Floats) -> Floats:
    """The distance (k,) along a polyline (k, n), from 0 at its start."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])


def translation(x: float, y: float, z: float) -> Floats:
    """The 4×4 matrix that moves by (x, y, z)."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def rotation(axis: Sequence[float], degrees: float) -> Floats:
    """The 4×4 matrix of a rotation about an axis through the origin (Rodrigues' formula)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


def tube(path: Floats, radius: Floats | float, sides: int, *, closed: bool = False) -> Corners:
    """A round tube along a path (k, 3), open at its ends; u and v are metres along and around it.

    The section's frame follows the path without twist (double reflection, Wang et al. 2008). A closed path
    repeats its first point at the end, and the remaining twist is spread over its length.
    """
    tangent = np.gradient(path, axis=0)
    if closed:
        tangent[0] = tangent[-1] = path[1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.zeros_like(path)
    other_axis = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    across[0] = np.cross(tangent[0], other_axis)
    across[0] /= np.linalg.norm(across[0])
    for i in range(len(path) - 1):
        step = path[i + 1] - path[i]
        across[i + 1] = across[i] - 2 * step * (step @ across[i]) / (step @ step)
        mirrored = tangent[i] - 2 * step * (step @ tangent[i]) / (step @ step)
        second = tangent[i + 1] - mirrored
        if second @ second > 1e-24:
            across[i + 1] -= 2 * second * (second @ across[i + 1]) / (second @ second)
    length = arc_length(path)
    turn = np.linspace(0, 2 * np.pi, sides + 1)
    turn[-1] = 0.0
    lean = np.zeros(len(path))
    if closed:
        binormal = np.cross(tangent[0], across[0])
        gap = np.arctan2(across[-1] @ binormal, across[-1] @ across[0])
        lean = -gap * length / length[-1]
    angle = turn[None, :] + lean[:, None]
    r = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(path))[:, None, None]
    other = np.cross(tangent, across)
    ring = np.cos(angle)[..., None] * across[:, None] + np.sin(angle)[..., None] * other[:, None]
    points = path[:, None] + r * ring
    if closed:
        points[-1] = points[0]
    around = np.linspace(0, 2 * np.pi, sides + 1) * float(np.mean(radius))
    uvs = np.stack(np.broadcast_arrays(length[:, None], around[None, :]), axis=-1)
    # The columns are reversed, so that normals point outwards.
    return sheet(points[:, ::-1], uvs[:, ::-1])
