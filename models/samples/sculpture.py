"""The sculpture: a marble trefoil with a bronze edge, on a bronze plinth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from . import noise, picture
from .glb import Glb
from .mesh import arc_length
from .noise import Floats
from .trefoil import (
    BAND,
    FLUTE_M,
    GUTTER,
    MARBLE_CHARTS,
    PLINTH_TOP_M,
    RING_PLACE,
    ROPE_CHARTS,
    ROPE_PLACE,
    ROPE_SLANT,
    ROPE_STRANDS,
    SIDE,
    SIDE_PLACE,
    TOP_CENTRE,
    TOP_RADIUS,
    carving,
    knot,
    meshes,
    strip,
)

PICTURE = 2048  # texels; 1.1 mm of marble each


def build(recipe: str, detail: float = 1.0) -> bytes:
    """The GLB. detail: scales the density of vertices and texels along each axis."""
    size = max(64, int(PICTURE * detail) // 8 * 8)
    marble, bronze = meshes(detail)
    out = Glb(recipe)
    shade = _Shade()
    marble_material = out.material("marble", out.textures(_marble_pictures(size, shade)))
    bronze_material = out.material("bronze", out.textures(_bronze_pictures(size, shade)))
    primitives = [(out.attributes(marble), marble_material), (out.attributes(bronze), bronze_material)]
    out.node("Trefoil", mesh=out.mesh("Trefoil", primitives))
    return out.encode()


class _Shade:
    """Ambient occlusion of the large shapes, from discs that occlude the sky (Bunnell, GPU Gems 2, ch. 14)."""

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
        """The share of the sky, 0…1, that is visible from each point (…, 3)."""
        visible = np.empty(points[..., 0].size)
        flat, facing = points.reshape(-1, 3), normals.reshape(-1, 3)
        for start in range(0, len(flat), 512):
            p, n = flat[start : start + 512], facing[start : start + 512]
            squared = ((p**2).sum(1)[:, None] + (self._points**2).sum(1)[None, :] - 2 * p @ self._points.T).clip(1e-6)
            receiver_cosine = (n @ self._points.T - (n * p).sum(1)[:, None]).clip(0)
            disc_cosine = (p @ self._normals.T - (self._points * self._normals).sum(1)[None, :]).clip(0)
            occlusion = (self._areas * receiver_cosine * disc_cosine / (squared * (np.pi * squared + self._areas))).sum(
                1
            )
            visible[start : start + 512] = np.exp(-1.25 * occlusion)
        return visible.reshape(points.shape[:-1])

    def on_strip(self, along: Floats, across: Floats) -> Floats:
        """The visible share of the sky on the marble strip, interpolated."""
        places = np.stack([along * self.ROWS, np.clip(across, 0, 1) * self.COLUMNS])
        closed = np.concatenate([self._strip, self._strip[:1]])
        places[0] %= 3 * self.ROWS
        return np.asarray(ndimage.map_coordinates(closed, places, order=1, mode="nearest"))


def _texels(size: int, count: int, place: tuple[float, float]) -> tuple[Floats, Floats]:
    """`along`, and 0…1 across the charts, for each texel in the charts' rows.

    This is the inverse of `trefoil._chart_uv`. place: the range of v; the columns are those of the whole picture.
    """
    rows = np.arange(round(place[0] * size), round(place[1] * size))
    v = ((rows + 0.5) / size - place[0]) / (place[1] - place[0]) * count
    u = ((np.arange(size) + 0.5) / size - 0.005) / 0.99
    chart = np.clip(np.floor(v), 0, count - 1)
    across = (v - chart - GUTTER) / (1 - 2 * GUTTER)
    along = (chart[:, None] + u[None, :]) * 3 / count
    return along, np.broadcast_to(across[:, None], along.shape)


def _double(values: Floats) -> Floats:
    """Twice the texels along each axis, interpolated; enough for large patterns."""
    return np.asarray(ndimage.zoom(values, 2, order=1, mode="grid-wrap", grid_mode=True))


def _marble_pictures(size: int, shade: _Shade) -> dict[str, picture.Picture]:
    """White marble with grey veins, darker and rougher in the flutes."""
    along, across = _texels(size // 2, MARBLE_CHARTS, (0.0, 1.0))
    across = BAND + (1 - 2 * BAND) * across
    points, _ = strip(along, across)
    drift = np.stack([noise.solid(points, 3.0, seed) for seed in (1, 2, 3)], axis=-1)
    # Veins are longest along one axis.
    vein_axis = np.array([0.52, 0.80, 0.30])
    bent = points + 0.045 * drift
    bent = bent - 0.68 * (bent @ vein_axis)[..., None] * vein_axis
    thick = _double(noise.solid(bent, 5.2, 4, octaves=3))
    thin = _double(noise.solid(bent, 11.0, 5, octaves=2))
    cloud = _double(noise.solid(bent, 5.0, 6, octaves=2))
    sky = _double(shade.on_strip(along, across))

    along, across = _texels(size, MARBLE_CHARTS, (0.0, 1.0))
    across = BAND + (1 - 2 * BAND) * across
    height, carved = carving(along, across)
    hollow = -height / FLUTE_M
    veined = noise.step(-1.3, 0.7, cloud)
    vein = np.exp(-((thick / (0.03 + 0.07 * veined)) ** 2)) * (0.35 + 0.65 * veined)
    hair = np.exp(-((thin / 0.05) ** 2)) * noise.step(0.0, 1.3, cloud + 1.3 - np.abs(thick))
    halo = np.exp(-((thick / 0.33) ** 2)) * veined

    colour = picture.blend(np.array([0.76, 0.735, 0.69]), np.array([0.63, 0.62, 0.60]), noise.step(-1.8, 1.8, cloud))
    colour = picture.blend(colour, np.array([0.46, 0.465, 0.48]), 0.55 * halo)
    colour = picture.blend(colour, np.array([0.13, 0.14, 0.165]), 0.72 * vein)
    colour = picture.blend(colour, np.array([0.36, 0.27, 0.18]), 0.5 * hair)
    colour = picture.blend(colour, colour * np.array([0.72, 0.62, 0.50]), 0.6 * hollow)

    rng = np.random.default_rng(7)
    grain = ndimage.gaussian_filter(rng.standard_normal(along.shape), 0.8)
    rough = 0.26 + 0.26 * carved - 0.05 * vein + 0.03 * np.clip(cloud, -2, 2) + 0.02 * grain
    loop_m = arc_length(knot(np.linspace(0, 2 * np.pi, 4097))[0])[-1]
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
    """Cast bronze with a brown patina, rubbed bright on raised parts."""
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
