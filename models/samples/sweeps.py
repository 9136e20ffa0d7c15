"""Shapes that tubes, plates and coils are made of: splines, rods, swept sections, extruded outlines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from .mesh import Corners, arc_length, join_corners, lathe, rotation, sheet, translation, tube
from .noise import Floats

Point = Sequence[float] | Floats

CAP_M = 2e-5  # length over which a rod's flat end is closed; larger than SAME_POINT_M
ABOUT_Z = rotation([1, 0, 0], 90)  # turns a lathe part about y into one about z


def count(full: int, detail: float, least: int) -> int:
    """A number of segments at a detail of 0…1."""
    return max(least, round(full * detail))


def spline(points: Sequence[Point] | Floats, number: int, *, closed: bool = False) -> Floats:
    """`number` points at equal distances on a cubic spline through `points` (k, 3).

    A closed spline passes through the first point again, and its last point is its first.
    """
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        knots = np.concatenate([knots, knots[:1]])
    curve = CubicSpline(arc_length(knots), knots, bc_type="periodic" if closed else "not-a-knot")
    fine = curve(np.linspace(0, arc_length(knots)[-1], 40 * len(knots)))
    length = arc_length(fine)
    places = np.interp(np.linspace(0, length[-1], number), length, np.linspace(0, curve.x[-1], len(fine)))
    path = np.asarray(curve(places), dtype=np.float64)
    if closed:
        path[-1] = path[0]
    return path


def shifted(points: Floats, x: float, y: float, z: float) -> Floats:
    """Points (…, 3) moved by (x, y, z)."""
    return np.asarray(points + np.array([x, y, z]))


def straight(start: Point, end: Point, number: int = 2) -> Floats:
    """`number` points on a line."""
    t = np.linspace(0, 1, number)[:, None]
    return np.asarray(np.asarray(start) * (1 - t) + np.asarray(end) * t, dtype=np.float64)


def rod(path: Floats, radius: Floats | float, sides: int) -> Corners:
    """A round tube along a path (k, 3) with flat closed ends."""
    r = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(path))
    first = (path[0] - path[1]) / np.linalg.norm(path[0] - path[1])
    last = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    whole = np.concatenate([[path[0] + CAP_M * first], path, [path[-1] + CAP_M * last]])
    return tube(whole, np.concatenate([[0.0], r, [0.0]]), sides)


def swept(path: Floats, section: Floats, up: Sequence[float], scale: Floats | float = 1.0) -> Corners:
    """A closed section (m, 2) of (across, up), anticlockwise, along a path (k, 3); open at its ends.

    `across` is up × tangent. `up` must never be parallel to the path. `scale` is a number, (k,) or (k, 2).
    UVs are metres along and around.
    """
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(np.asarray(up, dtype=np.float64), tangent)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upward = np.cross(tangent, across)
    wide = np.asarray(scale, dtype=np.float64)
    size = np.broadcast_to(wide if wide.ndim == 2 else wide.reshape(-1, 1), (len(path), 2))
    loop = np.concatenate([section, section[:1]])
    ring = loop[None] * size[:, None]
    points = path[:, None] + ring[..., :1] * across[:, None] + ring[..., 1:] * upward[:, None]
    uvs = np.stack(np.broadcast_arrays(arc_length(path)[:, None], arc_length(loop)[None, :]), axis=-1)
    # The columns are reversed, so that normals point outwards.
    return sheet(points[:, ::-1], uvs[:, ::-1])


def rounded(width: float, height: float, sides: int, power: float = 4.0) -> Floats:
    """A superellipse (sides, 2) as a section: power 2 is an ellipse, larger ones are squarer."""
    angle = 2 * np.pi * np.arange(sides) / sides
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / power) * width / 2
    y = np.sign(s) * np.abs(s) ** (2 / power) * height / 2
    return np.stack([x, y], axis=-1)


def closed_bar(path: Floats, section: Floats, up: Sequence[float], scale: Floats | float = 1.0) -> Corners:
    """A swept section whose ends are closed."""
    size = np.broadcast_to(np.asarray(scale, dtype=np.float64), len(path))
    first = (path[0] - path[1]) / np.linalg.norm(path[0] - path[1])
    last = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    whole = np.concatenate([[path[0] + CAP_M * first], path, [path[-1] + CAP_M * last]])
    return swept(whole, section, up, np.concatenate([[1e-9], size, [1e-9]]))


def plate(outline: Floats, thickness: float, hole: Floats | None = None) -> Corners:
    """An outline (m, 2), anticlockwise and seen in full from its mean point, extruded about z = 0.

    A hole has as many points, each beside that of the outline. Edges have a small bevel.
    """
    middle = outline.mean(axis=0)
    half, bevel = thickness / 2, 0.25 * thickness

    def ring(points: Floats, z: float) -> Floats:
        loop = np.concatenate([points, points[:1]])
        return np.concatenate([loop, np.full((len(loop), 1), z)], axis=1)

    def inset(points: Floats, by: float) -> Floats:
        away = points - middle
        return np.asarray(points - away / np.linalg.norm(away, axis=1, keepdims=True) * by)

    inner = np.broadcast_to(middle, outline.shape) if hole is None else hole
    rings = [
        ring(inner, -half), ring(inset(outline, bevel), -half), ring(outline, -half + bevel),
        ring(outline, half - bevel), ring(inset(outline, bevel), half), ring(inner, half),
    ]  # fmt: skip
    if hole is not None:
        rings.append(rings[0])
    points = np.stack(rings, axis=1)
    return sheet(points, points[..., :2])


def circle(radius: float, sides: int) -> Floats:
    """An anticlockwise outline (sides, 2)."""
    angle = 2 * np.pi * np.arange(sides) / sides
    return np.asarray(radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1))


def ball(radius: float, sides: int, squash: float = 1.0) -> Corners:
    """A sphere, or a spheroid whose axis y is `squash` times as long."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, max(4, sides // 2) + 1)
    profile = radius * np.stack([np.cos(angle), squash * np.sin(angle)], axis=-1)
    profile[[0, -1], 0] = 0.0
    return lathe(profile, angle, sides)


def turned_about_z(profile: Sequence[tuple[float, float]] | Floats, sides: int) -> Corners:
    """A lathe part about z, from (radius, z) that go towards +z outside."""
    array = np.asarray(profile, dtype=np.float64)
    return lathe(array, arc_length(array), sides).moved(ABOUT_Z)


def mirrored(corners: Corners) -> Corners:
    """The mirror image in the plane z = 0."""
    return Corners(corners.positions[:, ::-1] * [1.0, 1.0, -1.0], corners.uvs[:, ::-1])


def both(corners: Corners) -> Corners:
    """The triangles and their mirror image in z = 0."""
    return corners + mirrored(corners)


def coil(radius: float, wire: float, height: float, turns: float, segments: int, sides: int) -> Corners:
    """A helical spring about y from y = 0 with closed ends."""
    t = np.linspace(0, 1, segments)
    angle = 2 * np.pi * turns * t
    # The first and the last turn lie flat, as those of a ground spring.
    rise = height * np.interp(t, [0, 0.6 / turns, 1 - 0.6 / turns, 1], [0, 0.03, 0.97, 1])
    return rod(np.stack([radius * np.sin(angle), rise, radius * np.cos(angle)], axis=-1), wire, sides)


def placed(corners: Corners, at: Point, axis: Point) -> Corners:
    """A part that was built along y, moved so that its origin is `at` and its y axis points along `axis`."""
    return corners.moved(frame(at, axis))


def frame(at: Point, axis: Point, turn_degrees: float = 0.0) -> Floats:
    """The 4×4 matrix that turns y to `axis`, after a turn about y, and moves the origin to `at`."""
    y = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross, dot = np.cross([0.0, 1.0, 0.0], y), y[1]
    if np.linalg.norm(cross) < 1e-9:
        lean = np.eye(4) if dot > 0 else rotation([1, 0, 0], 180)
    else:
        lean = rotation([float(c) for c in cross], float(np.degrees(np.arccos(np.clip(dot, -1, 1)))))
    return np.asarray(translation(*(float(x) for x in at)) @ lean @ rotation([0, 1, 0], turn_degrees))


def chain_of(paths: Sequence[Floats], radius: float, sides: int) -> Corners:
    """Rods of one radius along several paths."""
    return join_corners([rod(path, radius, sides) for path in paths])
