"""The shape of the sculpture: a trefoil knot with one flank and one edge, on a plinth.

The knot's section is a deltoid (a hypotrochoid with three corners). In one loop it turns by four thirds of a revolution
against the torus that the knot winds around, so that each corner arrives at the next one: the three flanks are one
strip and the three edges one bronze rope, three loops long. On the strip, `along` counts loops (0…3) and `across` runs
from edge to edge (0…1).
"""

from __future__ import annotations

import numpy as np

from . import noise
from .mesh import Corners, Indices, Mesh, arc_length, join_corners, join_meshes, lathe, sheet, weld
from .noise import Floats

RING_M, TUBE_M, DEPTH = 0.395, 0.19, 1.22  # the torus of the knot: its radii, and its stretch in depth
SECTION_M, CORNER_M = 0.088, 0.034  # the radii of the deltoid's two circles
SWELL = 0.2  # share by which the section is thicker in the outer bends and thinner in the inner ones
THIRDS = -4  # turns of the section in one loop, in thirds; no multiple of three, so that there is one edge
NEXT_LOOPS = 2  # loops after which a flank continues past `across` = 1: NEXT_LOOPS × THIRDS ≡ 1 (mod 3)

BAND = 0.085  # half of the bronze band's width, in `across`
LOOP_ROWS, BAND_COLUMNS, FLANK_COLUMNS = 1560, 10, 66  # vertices along a loop, across half a band, across a flank
FLUTES = 6.0  # across a carved flank
FLUTE_M, ROPE_M, JOINT_M = 0.0115, 0.0055, 0.004  # depths of the carving
ROPE_STRANDS, ROPE_SLANT = 474, 1.15  # strands along the whole edge, and from its middle to its side

KNOT_CENTRE_M = 1.045  # height; the post holds the lowest bend about 10 cm above the plinth
PLINTH_TOP_M = 0.3
MARBLE_CHARTS, ROPE_CHARTS = 6, 12  # UV charts of the strip and of the edge, one a row
# The bronze picture, in UV: rows for the edge, the plinth's side and its rope, then round plans of its top and foot.
ROPE_PLACE, SIDE_PLACE, RING_PLACE = (0.0, 0.36), (0.37, 0.60), (0.605, 0.655)
TOP_CENTRE, TOP_RADIUS, FOOT_CENTRE, FOOT_RADIUS = (0.17, 0.83), 0.155, (0.42, 0.76), 0.08
GUTTER = 0.06  # share of a row that is left free around a chart, against bleeding in small mip levels


def meshes(detail: float = 1.0) -> tuple[Mesh, Mesh]:
    """The marble mesh, and the bronze mesh of edge and plinth.

    detail: scales the density of vertices along each axis.
    """
    rows = max(24, round(LOOP_ROWS * detail / 12) * 12)
    band, flank = max(2, round(BAND_COLUMNS * detail)), max(6, round(FLANK_COLUMNS * detail))
    marble, edge = _knot_meshes(rows, band, flank)
    return marble, join_meshes(edge, weld(_plinth(detail), crease_degrees=35))


def strip(along: Floats, across: Floats) -> tuple[Floats, Floats]:
    """The surface before carving, at `along` (n, k) and `across` (n, k): points and outward normals."""
    turn = _turn_at(along)
    centre, normal, binormal = knot(turn)
    angle, lean = _section_angle(across), np.pi / 3 + 2 * np.pi * THIRDS / 3 * along
    swell = 1 + SWELL * np.cos(3 * turn)

    def turned(x: Floats, y: Floats) -> Floats:
        c, s = np.cos(lean), np.sin(lean)
        return np.asarray((c * x - s * y)[..., None] * normal + (s * x + c * y)[..., None] * binormal)

    x = SECTION_M * np.cos(angle) + CORNER_M * np.cos(2 * angle)
    y = SECTION_M * np.sin(angle) - CORNER_M * np.sin(2 * angle)
    dx = -SECTION_M * np.sin(angle) - 2 * CORNER_M * np.sin(2 * angle)
    dy = SECTION_M * np.cos(angle) - 2 * CORNER_M * np.cos(2 * angle)
    points = centre + turned(swell * x, swell * y) + np.array([0, KNOT_CENTRE_M, 0])
    outward = turned(dy, -dx)
    return points, np.asarray(outward / np.linalg.norm(outward, axis=-1, keepdims=True))


def carving(along: Floats, across: Floats) -> tuple[Floats, Floats]:
    """Height of the flank's relief in metres, and the share (0…1) to which it is carved and not polished.

    Flutes follow the strip, wander sideways, and fade into polished stone and back.
    """
    turn = 2 * np.pi * along / 3  # periodic over the three loops
    middle = across - 0.5
    wander = 0.5 * np.sin(5 * turn + 1.0) + 0.4 * np.sin(8 * turn + 7 * middle) + 0.2 * np.sin(13 * turn + 2.0)
    phase = FLUTES * middle * (1 + 0.2 * np.sin(7 * turn + 4.0)) + wander
    ridge = np.abs(2 * (phase - np.floor(phase)) - 1)  # 1 between two flutes, 0 in the middle of one
    flute = np.sqrt(ridge**2 * 0.95 + 0.05)  # nearly a scallop with a rounded bottom
    carved = noise.step(-0.45, 0.55, np.sin(5 * turn + 2.5 * middle + 0.6) + 0.3 * np.sin(7 * turn + 2.2))
    edge = np.minimum(across, 1 - across) - BAND
    carved = carved * noise.step(0.0, 0.08, edge)
    return (flute - 1) * FLUTE_M * carved, carved


def rope(along: Floats, offset: Floats) -> Floats:
    """Height of the bronze edge's relief in metres. offset: -1…1 across the band, 0 on the corner."""
    phase = ROPE_STRANDS / 3 * along + ROPE_SLANT * offset
    strand = np.sqrt(np.sin(np.pi * phase) ** 2 + 0.02)
    body = (1 - offset**2).clip(0)
    joint = np.exp(-(((np.abs(offset) - 0.93) / 0.07) ** 2))
    return np.asarray(ROPE_M * body**0.7 * (0.35 + 0.65 * strand) - JOINT_M * joint)


def knot(turn: Floats) -> tuple[Floats, Floats, Floats]:
    """The (2, 3) torus knot with one lobe down: points, normals of the torus, and the third axis, (…, 3) each."""
    out, round_ = np.cos(3 * turn), 2 * turn - np.pi / 2
    radius = RING_M + TUBE_M * out
    c, s = np.cos(round_), np.sin(round_)
    points = np.stack([radius * c, radius * s, DEPTH * TUBE_M * np.sin(3 * turn)], axis=-1)
    normal = np.stack([DEPTH * out * c, DEPTH * out * s, np.sin(3 * turn)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    slope = -3 * TUBE_M * np.sin(3 * turn)
    tangent = np.stack([slope * c - 2 * radius * s, slope * s + 2 * radius * c, 3 * DEPTH * TUBE_M * out], axis=-1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    return points, normal, np.cross(tangent, normal)


def _turn_at(along: Floats) -> Floats:
    """The knot's angle after `along` loops of equal length."""
    turn = np.linspace(0, 2 * np.pi, 4097)
    length = arc_length(knot(turn)[0])
    whole = np.floor(along)
    return np.asarray(2 * np.pi * whole + np.interp(along - whole, length / length[-1], turn))


def _section_angle(across: Floats) -> Floats:
    """The deltoid's angle at `across`, by length along the flank."""
    angle = np.linspace(0, 2 * np.pi / 3, 513)
    speed = np.sqrt(SECTION_M**2 + 4 * CORNER_M**2 - 4 * SECTION_M * CORNER_M * np.cos(3 * angle))
    length = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    whole = np.floor(across)
    return np.asarray(2 * np.pi / 3 * whole + np.interp(across - whole, length / length[-1], angle))


def _knot_meshes(rows: int, band: int, flank: int) -> tuple[Mesh, Mesh]:
    """The marble strip and the bronze edge, with the same points on their common border."""
    half = np.linspace(0, BAND, band + 1)
    across = np.concatenate([half[:-1], np.linspace(BAND, 1 - BAND, flank + 1), 1 - half[-2:0:-1]])
    columns, total = len(across), 3 * rows
    along, across = np.meshgrid(np.arange(total) / rows, across, indexing="ij")
    points, normals = strip(along, across)
    offset = np.where(across < 0.5, across, across - 1) / BAND
    # Near across = 1 the band belongs to the rope NEXT_LOOPS further on.
    edge = rope(np.where(across < 0.5, along, along + NEXT_LOOPS), offset)
    height = np.where(np.abs(offset) <= 1, edge, carving(along, across)[0])
    points = points + normals * height[..., None]

    def at(row: Indices, column: Indices) -> Indices:
        loops = column // columns
        return np.asarray((row + loops * NEXT_LOOPS * rows) % total * columns + column % columns)

    row, column = np.meshgrid(np.arange(total), np.arange(columns), indexing="ij")
    flat = points.reshape(-1, 3)
    lengthwise = flat[at(row + 1, column)] - flat[at(row - 1, column)]
    crosswise = flat[at(row, column + 1)] - flat[at(row, column - 1)]
    smooth = np.cross(crosswise, lengthwise)
    smooth = (smooth / np.linalg.norm(smooth, axis=-1, keepdims=True)).reshape(-1, 3)

    def charts(first: int, last: int, count: int, place: tuple[float, float]) -> Mesh:
        """Columns first…last as `count` charts, in rows of the picture that fill the range `place` of v."""
        each = total // count
        meshes = []
        for chart in range(count):
            r, c = np.meshgrid(np.arange(each + 1), np.arange(first, last + 1), indexing="ij")
            vertices = at(chart * each + r, c)
            u, v = _chart_uv(r / each, (c - first) / (last - first), chart, count, place)
            meshes.append(_indexed(flat[vertices], smooth[vertices], np.stack([u, v], axis=-1)))
        return join_meshes(*meshes)

    return charts(band, columns - band, MARBLE_CHARTS, (0.0, 1.0)), charts(-band, band, ROPE_CHARTS, ROPE_PLACE)


def _chart_uv(u: Floats, v: Floats, chart: int, count: int, place: tuple[float, float]) -> tuple[Floats, Floats]:
    row = (place[1] - place[0]) / count
    inner = 1 - 2 * GUTTER
    return np.asarray(0.005 + 0.99 * u), np.asarray(place[0] + row * (chart + GUTTER + inner * v))


def _indexed(points: Floats, normals: Floats, uvs: Floats) -> Mesh:
    """A grid (rows, columns, …) as a mesh that faces ∂/∂column × ∂/∂row."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3)
    return Mesh(points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), triangles)


# (radius, height) in metres, upwards: slab, cavetto, drum, necking, groove for the rope, top.
SIDE = np.array(
    [
        (0.296, 0.0), (0.300, 0.004), (0.300, 0.036), (0.296, 0.040), (0.286, 0.042), (0.276, 0.047), (0.269, 0.055),
        (0.266, 0.064), (0.266, 0.068), (0.262, 0.070), (0.258, 0.236), (0.262, 0.238), (0.262, 0.246), (0.258, 0.248),
        (0.258, 0.252), (0.259, 0.2520001), (0.259, 0.280), (0.258, 0.2800001), (0.258, 0.284), (0.262, 0.287),
        (0.262, 0.297), (0.259, 0.300)
    ]
)  # fmt: skip
TOP = np.array(
    [
        (0.259, 0.300), (0.243, 0.300), (0.241, 0.298), (0.237, 0.298), (0.235, 0.300), (0.082, 0.300), (0.080, 0.302),
        (0.080, 0.309), (0.074, 0.312), (0.066, 0.313), (0.062, 0.315), (0.061, 0.319), (0.050, 0.323), (0.036, 0.330),
        (0.028, 0.338), (0.0245, 0.347), (0.0245, 0.350), (0.027, 0.352), (0.027, 0.356), (0.0245, 0.358),
        (0.0245, 0.415), (0.0, 0.415)
    ]
)  # fmt: skip


def _plinth(detail: float) -> Corners:
    sides = max(24, int(288 * detail))
    low, high = SIDE_PLACE
    length = arc_length(SIDE)
    side = lathe(SIDE, high - 0.01 - (high - low - 0.02) * length / length[-1], sides)
    top = _plan(TOP, sides, TOP_CENTRE, TOP_RADIUS)
    foot = _plan(np.array([(0.0, 0.0), (0.296, 0.0)]), sides, FOOT_CENTRE, -FOOT_RADIUS)
    return join_corners([side, top, foot, _ring(2 * sides)])


def _plan(profile: Floats, sides: int, centre: tuple[float, float], radius: float) -> Corners:
    """A lathe part whose UVs are its round plan; with a negative radius, the plan from below."""
    length = arc_length(profile)
    reach = length[-1] - length if profile[0, 0] > 0 else length
    flat = lathe(profile, reach / length[-1], sides)
    angle = np.arctan2(flat.positions[..., 0], flat.positions[..., 2])
    u = centre[0] + radius * flat.uvs[..., 1] * np.sin(angle)
    v = centre[1] + abs(radius) * flat.uvs[..., 1] * np.cos(angle)
    return Corners(flat.positions, np.stack([u, v], axis=-1))


def _ring(sides: int) -> Corners:
    """The rope in the groove around the plinth's neck."""
    low, high = RING_PLACE
    turn, around = np.meshgrid(np.linspace(0, 1, sides + 1), np.linspace(0, 1, 15), indexing="ij")
    strand = np.sqrt(np.abs(np.sin(np.pi * (72 * turn + 1.0 * around))) + 0.02)
    angle, lean = 2 * np.pi * (turn % 1), 2 * np.pi * (around % 1)
    thick = 0.0100 + 0.0040 * strand
    radius = 0.2595 + thick * np.cos(lean)
    points = np.stack([radius * np.sin(angle), 0.266 + thick * np.sin(lean), radius * np.cos(angle)], axis=-1)
    uvs = np.stack([turn, high - 0.006 - (high - low - 0.012) * around], axis=-1)
    return sheet(points, uvs)
