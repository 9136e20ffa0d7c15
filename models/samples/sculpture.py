"""The sculpture: one flank, one edge. A marble trefoil whose three-sided section turns as it goes.

The section is a deltoid (a hypotrochoid of three corners). Along the knot it turns by four thirds of a
revolution against the torus it winds on, so that after one loop each corner arrives at the next: the
three flanks are one strip and the three edges one bronze rope, three loops long. On the strip,
`along` counts loops (0…3) and `across` runs from edge to edge (0…1).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from . import noise, picture
from .glb import Glb
from .mesh import Corners, Indices, Mesh, arc_length, joined, lathe, sheet, together, weld
from .noise import Floats

RING_M, TUBE_M, DEPTH = 0.395, 0.19, 1.22  # the torus the knot lies on: radii, and its stretch in depth
SECTION_M, CORNER_M = 0.088, 0.034  # the deltoid: radii of its two circles
SWELL = 0.2  # the section is a fifth thicker in the outer bends, a fifth thinner inside
THIRDS = -4  # turns of the section along one loop, in thirds; not a multiple of three: one edge
NEXT_LOOPS = 2  # the flank behind `across` = 1 is this many loops on: NEXT_LOOPS × THIRDS ≡ 1 (mod 3)

BAND = 0.085  # half the bronze band's width, in `across`
LOOP_ROWS, BAND_COLUMNS, FLANK_COLUMNS = 1560, 10, 66  # vertices: along a loop, across half a band, a flank
FLUTES = 6.0  # across the flank where it is carved
FLUTE_M, ROPE_M, JOINT_M = 0.0115, 0.0055, 0.004  # depths of the carving
ROPE_STRANDS, ROPE_SLANT = 474, 1.15  # along the whole edge; strands crossed from its middle to its side

KNOT_CENTRE_M = 1.045  # height: the lowest bend floats a hand's breadth above the plinth, on its post
PLINTH_TOP_M = 0.3
PICTURE = 2048  # texels; 1.1 mm of marble each
MARBLE_CHARTS, ROPE_CHARTS = 6, 12  # the strip and the edge, cut to lie in rows
# The bronze picture, in UV: rows for the edge, the plinth's side and its rope, then round plans.
ROPE_PLACE, SIDE_PLACE, RING_PLACE = (0.0, 0.36), (0.37, 0.60), (0.605, 0.655)
TOP_CENTRE, TOP_RADIUS, FOOT_CENTRE, FOOT_RADIUS = (0.17, 0.83), 0.155, (0.42, 0.76), 0.08
GUTTER = 0.06  # share of a row left around a chart, so that small mip levels do not bleed


def build(recipe: str, detail: float = 1.0) -> bytes:
    """The GLB. `detail` scales the density of vertices and texels along each axis."""
    size = max(64, int(PICTURE * detail) // 8 * 8)
    marble, bronze = meshes(detail)
    out = Glb(recipe)
    shade = _Shade()
    marble_material = out.material("marble", out.textures(_marble_pictures(size, shade)))
    bronze_material = out.material("bronze", out.textures(_bronze_pictures(size, shade)))
    primitives = [(out.attributes(marble), marble_material), (out.attributes(bronze), bronze_material)]
    out.node("Trefoil", mesh=out.mesh("Trefoil", primitives))
    return out.encode()


def meshes(detail: float = 1.0) -> tuple[Mesh, Mesh]:
    """The marble, and the bronze: edge and plinth. `detail` as for `build`."""
    rows = max(24, round(LOOP_ROWS * detail / 12) * 12)
    band, flank = max(2, round(BAND_COLUMNS * detail)), max(6, round(FLANK_COLUMNS * detail))
    marble, edge = _knot_meshes(rows, band, flank)
    return marble, joined(edge, weld(_plinth(detail), crease_degrees=35))


def strip(along: Floats, across: Floats) -> tuple[Floats, Floats]:
    """The uncarved surface at loops `along` (n, k) and `across` (n, k): points and outward normals."""
    turn = _turn_at(along)
    centre, normal, binormal = _knot(turn)
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
    """Height of the relief in metres on the flank, and how much it is carved rather than polished (0…1).

    Flutes follow the strip, wander, and melt into polished stone and out of it again.
    """
    turn = 2 * np.pi * along / 3  # periodic over the three loops
    middle = across - 0.5
    wander = 0.5 * np.sin(5 * turn + 1.0) + 0.4 * np.sin(8 * turn + 7 * middle) + 0.2 * np.sin(13 * turn + 2.0)
    phase = FLUTES * middle * (1 + 0.2 * np.sin(7 * turn + 4.0)) + wander
    ridge = np.abs(2 * (phase - np.floor(phase)) - 1)  # 1 on the arris, 0 in the middle of a flute
    flute = np.sqrt(ridge**2 * 0.95 + 0.05)  # nearly a scallop, its bottom rounded
    carved = noise.step(-0.45, 0.55, np.sin(5 * turn + 2.5 * middle + 0.6) + 0.3 * np.sin(7 * turn + 2.2))
    edge = np.minimum(across, 1 - across) - BAND
    carved = carved * noise.step(0.0, 0.08, edge)
    return (flute - 1) * FLUTE_M * carved, carved


def rope(along: Floats, offset: Floats) -> Floats:
    """Height of the bronze edge in metres; `offset` is -1…1 across the band, 0 on the corner."""
    phase = ROPE_STRANDS / 3 * along + ROPE_SLANT * offset
    strand = np.sqrt(np.sin(np.pi * phase) ** 2 + 0.02)
    body = (1 - offset**2).clip(0)
    joint = np.exp(-(((np.abs(offset) - 0.93) / 0.07) ** 2))
    return np.asarray(ROPE_M * body**0.7 * (0.35 + 0.65 * strand) - JOINT_M * joint)


def _knot(turn: Floats) -> tuple[Floats, Floats, Floats]:
    """The (2, 3) torus knot, one lobe down: points, the torus' normals and the third axis, (…, 3)."""
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
    length = arc_length(_knot(turn)[0])
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
    """The marble strip and the bronze edge; their shared border has the same points in both."""
    half = np.linspace(0, BAND, band + 1)
    across = np.concatenate([half[:-1], np.linspace(BAND, 1 - BAND, flank + 1), 1 - half[-2:0:-1]])
    columns, total = len(across), 3 * rows
    along, across = np.meshgrid(np.arange(total) / rows, across, indexing="ij")
    points, normals = strip(along, across)
    offset = np.where(across < 0.5, across, across - 1) / BAND
    # Behind across = 1 the band belongs to the loop NEXT_LOOPS on: one rope, one count of strands.
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
        """Columns first…last as `count` charts, stacked in rows of the picture between `place`."""
        each = total // count
        meshes = []
        for chart in range(count):
            r, c = np.meshgrid(np.arange(each + 1), np.arange(first, last + 1), indexing="ij")
            where = at(chart * each + r, c)
            u, v = _chart_uv(r / each, (c - first) / (last - first), chart, count, place)
            meshes.append(_indexed(flat[where], smooth[where], np.stack([u, v], axis=-1)))
        return joined(*meshes)

    return charts(band, columns - band, MARBLE_CHARTS, (0.0, 1.0)), charts(-band, band, ROPE_CHARTS, ROPE_PLACE)


def _chart_uv(u: Floats, v: Floats, chart: int, count: int, place: tuple[float, float]) -> tuple[Floats, Floats]:
    row = (place[1] - place[0]) / count
    inner = 1 - 2 * GUTTER
    return np.asarray(0.005 + 0.99 * u), np.asarray(place[0] + row * (chart + GUTTER + inner * v))


def _indexed(points: Floats, normals: Floats, uvs: Floats) -> Mesh:
    """A grid (rows, columns, …) as a mesh, its front towards ∂/∂column × ∂/∂row."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3)
    return Mesh(points.reshape(-1, 3), normals.reshape(-1, 3), uvs.reshape(-1, 2), triangles)


# (radius, height) in metres from the floor up: slab, cavetto, drum, necking, bed for the rope, top.
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
    return together([side, top, foot, _ring(2 * sides)])


def _plan(profile: Floats, sides: int, centre: tuple[float, float], radius: float) -> Corners:
    """A turned profile whose UVs are a round plan; a negative radius is the plan seen from below."""
    length = arc_length(profile)
    reach = length[-1] - length if profile[0, 0] > 0 else length
    flat = lathe(profile, reach / length[-1], sides)
    angle = np.arctan2(flat.positions[..., 0], flat.positions[..., 2])
    u = centre[0] + radius * flat.uvs[..., 1] * np.sin(angle)
    v = centre[1] + abs(radius) * flat.uvs[..., 1] * np.cos(angle)
    return Corners(flat.positions, np.stack([u, v], axis=-1))


def _ring(sides: int) -> Corners:
    """The rope around the plinth's neck, in its bed."""
    low, high = RING_PLACE
    turn, around = np.meshgrid(np.linspace(0, 1, sides + 1), np.linspace(0, 1, 15), indexing="ij")
    strand = np.sqrt(np.abs(np.sin(np.pi * (72 * turn + 1.0 * around))) + 0.02)
    angle, lean = 2 * np.pi * (turn % 1), 2 * np.pi * (around % 1)
    thick = 0.0100 + 0.0040 * strand
    radius = 0.2595 + thick * np.cos(lean)
    points = np.stack([radius * np.sin(angle), 0.266 + thick * np.sin(lean), radius * np.cos(angle)], axis=-1)
    uvs = np.stack([turn, high - 0.006 - (high - low - 0.012) * around], axis=-1)
    return sheet(points, uvs)


class _Shade:
    """Ambient occlusion of the large forms, after Bunnell (GPU Gems 2, ch. 14): discs that hide the sky."""

    ROWS, COLUMNS = 66, 12  # discs along one loop and across a flank

    def __init__(self) -> None:
        along = np.arange(3 * self.ROWS) / self.ROWS
        across = (np.arange(self.COLUMNS) + 0.5) / self.COLUMNS
        points, normals = strip(*np.meshgrid(along, across, indexing="ij"))
        lengthwise = (np.roll(points, -1, 0) - np.roll(points, 1, 0)) / 2
        crosswise = np.gradient(points, axis=1)
        area = np.linalg.norm(np.cross(lengthwise, crosswise), axis=-1)
        r, a = np.meshgrid((np.arange(6) + 0.5) / 6 * 0.26, np.arange(24) / 24 * 2 * np.pi)
        top = np.stack([r * np.sin(a), np.full_like(r, PLINTH_TOP_M), r * np.cos(a)], axis=-1)
        self._points = np.concatenate([points.reshape(-1, 3), top.reshape(-1, 3)])
        up = np.broadcast_to([0.0, 1.0, 0.0], top.shape).reshape(-1, 3)
        self._normals = np.concatenate([normals.reshape(-1, 3), up])
        self._areas = np.concatenate([area.ravel(), (r * 0.26 / 6 * 2 * np.pi / 24).ravel()])
        at = np.arange(self.COLUMNS + 1) / self.COLUMNS
        grid_points, grid_normals = strip(*np.meshgrid(along, at, indexing="ij"))
        self._strip = self.sky(grid_points, grid_normals)

    def sky(self, points: Floats, normals: Floats) -> Floats:
        """How much of the sky each point (…, 3) sees, 0…1."""
        seen = np.empty(points[..., 0].size)
        flat, facing = points.reshape(-1, 3), normals.reshape(-1, 3)
        for start in range(0, len(flat), 512):
            p, n = flat[start : start + 512], facing[start : start + 512]
            squared = ((p**2).sum(1)[:, None] + (self._points**2).sum(1)[None, :] - 2 * p @ self._points.T).clip(1e-6)
            mine = (n @ self._points.T - (n * p).sum(1)[:, None]).clip(0)
            theirs = (p @ self._normals.T - (self._points * self._normals).sum(1)[None, :]).clip(0)
            hidden = (self._areas * mine * theirs / (squared * (np.pi * squared + self._areas))).sum(1)
            seen[start : start + 512] = np.exp(-1.25 * hidden)
        return seen.reshape(points.shape[:-1])

    def on_strip(self, along: Floats, across: Floats) -> Floats:
        """The same on the marble strip, interpolated."""
        where = np.stack([along * self.ROWS, np.clip(across, 0, 1) * self.COLUMNS])
        closed = np.concatenate([self._strip, self._strip[:1]])
        where[0] %= 3 * self.ROWS
        return np.asarray(ndimage.map_coordinates(closed, where, order=1, mode="nearest"))


def _texels(size: int, count: int, place: tuple[float, float]) -> tuple[Floats, Floats]:
    """Where on the strip each texel of the charts' rows lies: `along` and 0…1 across the charts.

    The inverse of `_chart_uv`; rows of texels between `place`, columns of the whole picture.
    """
    rows = np.arange(round(place[0] * size), round(place[1] * size))
    v = ((rows + 0.5) / size - place[0]) / (place[1] - place[0]) * count
    u = ((np.arange(size) + 0.5) / size - 0.005) / 0.99
    chart = np.clip(np.floor(v), 0, count - 1)
    across = (v - chart - GUTTER) / (1 - 2 * GUTTER)
    along = (chart[:, None] + u[None, :]) * 3 / count
    return along, np.broadcast_to(across[:, None], along.shape)


def _double(picture_: Floats) -> Floats:
    """Twice the texels, interpolated: the large patterns need no more."""
    return np.asarray(ndimage.zoom(picture_, 2, order=1, mode="grid-wrap", grid_mode=True))


def _marble_pictures(size: int, shade: _Shade) -> dict[str, picture.Picture]:
    """White stone with grey veins, worn darker and rougher in the flutes."""
    along, across = _texels(size // 2, MARBLE_CHARTS, (0.0, 1.0))
    across = BAND + (1 - 2 * BAND) * across
    points, _ = strip(along, across)
    drift = np.stack([noise.solid(points, 3.0, seed) for seed in (1, 2, 3)], axis=-1)
    # Veins run long in one direction, as the stone was pressed.
    pressed = np.array([0.52, 0.80, 0.30])
    bent = points + 0.045 * drift
    bent = bent - 0.68 * (bent @ pressed)[..., None] * pressed
    thick = _double(noise.solid(bent, 5.2, 4, octaves=3))
    thin = _double(noise.solid(bent, 11.0, 5, octaves=2))
    cloud = _double(noise.solid(bent, 5.0, 6, octaves=2))
    sky = _double(shade.on_strip(along, across))

    along, across = _texels(size, MARBLE_CHARTS, (0.0, 1.0))
    across = BAND + (1 - 2 * BAND) * across
    height, carved = carving(along, across)
    hollow = -height / FLUTE_M
    where = noise.step(-1.3, 0.7, cloud)
    vein = np.exp(-((thick / (0.03 + 0.07 * where)) ** 2)) * (0.35 + 0.65 * where)
    hair = np.exp(-((thin / 0.05) ** 2)) * noise.step(0.0, 1.3, cloud + 1.3 - np.abs(thick))
    halo = np.exp(-((thick / 0.33) ** 2)) * where

    colour = picture.blend(np.array([0.76, 0.735, 0.69]), np.array([0.63, 0.62, 0.60]), noise.step(-1.8, 1.8, cloud))
    colour = picture.blend(colour, np.array([0.46, 0.465, 0.48]), 0.55 * halo)
    colour = picture.blend(colour, np.array([0.13, 0.14, 0.165]), 0.72 * vein)
    colour = picture.blend(colour, np.array([0.36, 0.27, 0.18]), 0.5 * hair)
    colour = picture.blend(colour, colour * np.array([0.72, 0.62, 0.50]), 0.6 * hollow)

    rng = np.random.default_rng(7)
    grain = ndimage.gaussian_filter(rng.standard_normal(along.shape), 0.8)
    rough = 0.26 + 0.26 * carved - 0.05 * vein + 0.03 * np.clip(cloud, -2, 2) + 0.02 * grain
    loop_m = arc_length(_knot(np.linspace(0, 2 * np.pi, 4097))[0])[-1]
    tooth = ndimage.gaussian_filter(rng.standard_normal(along.shape), (3.0, 0.7)) * 4
    texel_m = (
        0.23 * (1 - 2 * BAND) / ((1 - 2 * GUTTER) * size / MARBLE_CHARTS),
        3 * loop_m / MARBLE_CHARTS / (0.99 * size),
    )
    fine = 0.00004 * tooth * carved + 0.00008 * grain * (0.3 + carved)
    return {
        "base": picture.colour("marble_base", picture.srgb(colour)),
        "normal": picture.channels("marble_normal", picture.normals(fine, texel_m)),
        "orm": picture.orm("marble_orm", sky * (1 - 0.55 * hollow), np.clip(rough, 0.15, 0.9), 0.0),
    }


def _bronze_pictures(size: int, shade: _Shade) -> dict[str, picture.Picture]:
    """Cast bronze: brown patina on the plinth, rubbed bright where hands and cloths reach."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    points, bright, sky = np.zeros((size, size, 3)), np.zeros((size, size)), np.ones((size, size))

    def rows(place: tuple[float, float]) -> slice:
        return slice(round(place[0] * size), round(place[1] * size))

    along, offset = _texels(size, ROPE_CHARTS, ROPE_PLACE)
    offset = 2 * offset - 1
    edge = rows(ROPE_PLACE)
    phase = ROPE_STRANDS / 3 * along + ROPE_SLANT * offset
    points[edge] = np.stack([along * 6, 0.04 * offset, 0 * along], axis=-1)
    bright[edge] = (1 - offset**2).clip(0) * np.sqrt(np.abs(np.sin(np.pi * phase)))
    sky[edge] = shade.on_strip(along, np.where(offset > 0, 0.01, 0.99)) * (0.45 + 0.55 * bright[edge])

    side = rows(SIDE_PLACE)
    length = arc_length(SIDE)
    reach = (SIDE_PLACE[1] - 0.01 - v[side]) / (SIDE_PLACE[1] - SIDE_PLACE[0] - 0.02) * length[-1]
    radius, high = np.interp(reach, length, SIDE[:, 0]), np.interp(reach, length, SIDE[:, 1])
    angle = 2 * np.pi * u[side]
    points[side] = np.stack([radius * np.sin(angle), high, radius * np.cos(angle)], axis=-1)
    bright[side] = noise.step(0.259, 0.264, radius)
    sky[side] = 0.55 + 0.45 * noise.step(-0.004, 0.006, radius - 0.259)

    ring = rows(RING_PLACE)
    around = (RING_PLACE[1] - 0.006 - v[ring]) / (RING_PLACE[1] - RING_PLACE[0] - 0.012)
    twist = np.abs(np.sin(np.pi * (72 * u[ring] + around)))
    points[ring] = np.stack([np.sin(angle[: len(twist)]), around, np.cos(angle[: len(twist)])], axis=-1)
    bright[ring] = np.sqrt(twist) * noise.step(-0.4, 0.8, np.cos(2 * np.pi * around))
    sky[ring] = 0.4 + 0.6 * np.sqrt(twist)

    plan = slice(rows(RING_PLACE).stop, size)
    x, z = (u[plan] - TOP_CENTRE[0]) / TOP_RADIUS, (v[plan] - TOP_CENTRE[1]) / TOP_RADIUS
    reach = np.hypot(x, z)
    points[plan] = np.stack([x * 0.3, np.full_like(x, PLINTH_TOP_M), z * 0.3], axis=-1)
    bright[plan] = noise.step(0.30, 0.26, reach) + noise.step(0.985, 1.0, reach)
    coarse = slice(None, None, 16)
    above = shade.sky(
        points[plan][coarse, coarse] + [0, 0.002, 0], np.array([[[0.0, 1.0, 0.0]]]) + 0 * points[plan][coarse, coarse]
    )
    grid = np.indices(x.shape) / 16.0
    sky[plan] = ndimage.map_coordinates(above, grid, order=1, mode="nearest")

    mottle = noise.solid(points[::2, ::2], 22.0, 21, octaves=3)
    mottle = _double(mottle)
    fine = _double(noise.solid(points[::2, ::2], 120.0, 22))
    rubbed = noise.step(0.3, 0.95, bright + 0.1 * mottle)
    green = noise.step(1.6, 3.0, mottle + 0.6 * fine - 3 * bright) * 0.3
    colour = picture.blend(
        np.array([0.050, 0.034, 0.024]), np.array([0.125, 0.080, 0.048]), noise.step(-1.5, 1.8, mottle)
    )
    colour = picture.blend(colour, np.array([0.83, 0.56, 0.26]), rubbed)
    colour = picture.blend(colour, np.array([0.13, 0.22, 0.19]), green)
    rough = 0.40 + 0.05 * mottle + 0.03 * fine - 0.14 * rubbed + 0.25 * green
    texel_m = 1.7 / size
    return {
        "base": picture.colour("bronze_base", picture.srgb(colour)),
        "normal": picture.channels(
            "bronze_normal", picture.normals(0.00005 * fine + 0.00012 * mottle, (texel_m, texel_m))
        ),
        "orm": picture.orm("bronze_orm", sky, np.clip(rough, 0.12, 0.9), 1.0 - 0.6 * green),
    }
