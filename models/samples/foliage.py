"""The picture of the bouquet's cards: sixteen petals and leaves whose outlines are cut out by alpha."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import noise, picture
from .mesh import Corners, sheet
from .noise import Floats

GRID = 4  # cells along each side of the picture
CELLS = (
    "rose petal", "heart petal", "daisy petal", "ranunculus petal",
    "eucalyptus", "rose leaf", "fern", "lavender",
    "gypsophila", "ivy", "grass", "anemone petal",
    "young leaf", "autumn leaf", "bud", "fern tip",
)  # fmt: skip
MARGIN = 0.04  # of a cell, between its edge and the card


def card(
    name: str,
    length: float,
    width: float,
    *,
    bend: float = 0.0,
    cup: float = 0.0,
    cupped: bool = False,
    detail: float = 1.0,
) -> Corners:
    """A leaf that grows along +y from the origin with its face to +z.

    bend: radians by which its tip turns to +z; cup: metres by which its edges bend to +z; cupped: with as many
    faces across as a round petal needs.
    """
    rows, columns = (4, 4 if cupped else 2) if detail > 0.6 else (3, 2)
    t, x = np.linspace(0, 1, rows + 1), np.linspace(-1, 1, columns + 1)
    angle = bend * t
    step = length / rows
    y = np.concatenate([[0.0], np.cumsum(np.cos((angle[1:] + angle[:-1]) / 2) * step)])
    z = np.concatenate([[0.0], np.cumsum(np.sin((angle[1:] + angle[:-1]) / 2) * step)])
    lift = cup * np.sin(np.pi * np.clip(0.15 + 0.85 * t, 0, 1))[None, :] * x[:, None] ** 2
    points = np.stack(
        np.broadcast_arrays(x[:, None] * width / 2, (y - lift * np.sin(angle)), z[None, :] + lift * np.cos(angle)),
        axis=-1,
    )
    column, row = CELLS.index(name) % GRID, CELLS.index(name) // GRID
    inner = 1 - 2 * MARGIN
    u = (column + MARGIN + inner * (x + 1) / 2) / GRID
    v = (row + MARGIN + inner * (1 - t)) / GRID
    return sheet(points, np.stack(np.broadcast_arrays(u[:, None], v[None, :]), axis=-1))


def foliage_pictures(size: int) -> dict[str, picture.Picture]:
    """Colour with alpha, `size` texels along each side."""
    cell = size // GRID
    rgba = np.zeros((size, size, 4))
    v, u = np.meshgrid(*[(np.arange(cell) + 0.5) / cell] * 2, indexing="ij")
    scale = 1 / (1 - 2 * MARGIN)
    x, y = (2 * u - 1) * scale, 0.5 + (0.5 - v) * scale  # -1…1 across, 0…1 from the stalk to the tip
    speck = noise.tile(cell, cell, 71, (24, 24), 0.8)
    for number, name in enumerate(CELLS):
        inside, colour = _draw(name, x, y, speck)
        row, column = number // GRID * cell, number % GRID * cell
        place = (slice(row, row + cell), slice(column, column + cell))
        # `inside` is a distance in half cells; the edge is two texels soft.
        rgba[place] = np.concatenate(
            [picture.srgb(np.clip(colour, 0, 1)), np.clip(0.5 + inside * cell / 4, 0, 1)[..., None]], axis=-1
        )
    return {"base": picture.channels("foliage_base", rgba)}


Drawing = tuple[Floats, Floats]  # distance inside the outline, linear colour


def _draw(name: str, x: Floats, y: Floats, speck: Floats) -> Drawing:
    if name in _PETALS:
        return _petal(x, y, speck, *_PETALS[name])
    if name in _LEAVES:
        return _leaf(x, y, speck, *_LEAVES[name])
    return _SPRAYS[name](x, y, speck)


Rgb = tuple[float, float, float]
# Width's exponents at the root and the tip, notch, colours at the root and at the edge.
_PETALS: dict[str, tuple[float, float, float, Rgb, Rgb]] = {
    "rose petal": (0.75, 0.42, 0.05, (0.62, 0.16, 0.17), (0.84, 0.40, 0.36)),
    "heart petal": (0.70, 0.45, 0.09, (0.42, 0.04, 0.07), (0.70, 0.16, 0.18)),
    "daisy petal": (0.55, 0.30, 0.03, (0.86, 0.84, 0.60), (0.93, 0.93, 0.90)),
    "ranunculus petal": (0.60, 0.40, 0.0, (0.72, 0.20, 0.03), (0.88, 0.42, 0.10)),
    "anemone petal": (0.60, 0.42, 0.02, (0.62, 0.56, 0.72), (0.20, 0.10, 0.46)),
    "bud": (0.60, 0.80, 0.0, (0.20, 0.32, 0.10), (0.85, 0.45, 0.38)),
}


def _petal(x: Floats, y: Floats, speck: Floats, root: float, tip: float, notch: float, low: Rgb, high: Rgb) -> Drawing:
    t = np.clip(y, 1e-4, 1 - 1e-4)
    wide = t**root * (1 - t) ** tip
    wide = wide / 0.62 * (1 + 0.02 * np.sin(17 * t))
    inside = np.minimum(np.clip(wide, 0, 0.97) - np.abs(x), 2 * (0.985 - notch * np.exp(-((x / 0.16) ** 2)) - y))
    inside = np.minimum(inside, 2 * (y - 0.004))
    vein = np.sin(26 * x / (0.25 + t)) * np.exp(-(x**2) * 2)
    shade = noise.step(0.05, 0.75, t) + 0.06 * vein + 0.03 * speck
    colour = picture.blend(np.array(low), np.array(high), np.clip(shade, 0, 1))
    return inside, colour


# Position of the widest place, width, teeth, depth of the teeth, colours beside the rib and at the edge.
_LEAVES: dict[str, tuple[float, float, int, float, Rgb, Rgb]] = {
    "eucalyptus": (0.50, 0.95, 0, 0.0, (0.30, 0.42, 0.34), (0.40, 0.52, 0.44)),
    "rose leaf": (0.40, 0.85, 13, 0.06, (0.05, 0.15, 0.035), (0.10, 0.25, 0.05)),
    "young leaf": (0.42, 0.70, 0, 0.0, (0.18, 0.33, 0.05), (0.32, 0.45, 0.10)),
    "autumn leaf": (0.42, 0.74, 9, 0.05, (0.35, 0.13, 0.04), (0.42, 0.22, 0.06)),
    "grass": (0.30, 0.30, 0, 0.0, (0.14, 0.28, 0.06), (0.24, 0.36, 0.10)),
}


def _leaf(
    x: Floats, y: Floats, speck: Floats, widest: float, wide: float, teeth: int, deep: float, low: Rgb, high: Rgb
) -> Drawing:
    t = np.clip((y - 0.06) / 0.93, 1e-4, 1 - 1e-4)
    power = np.log(0.5) / np.log(widest)
    shape = np.sin(np.pi * t**power) ** 0.85
    saw = (t * teeth - 0.6 * np.abs(x)) % 1 if teeth else np.zeros_like(t)
    inside = wide * shape * (1 - deep * 2 * saw) - np.abs(x)
    stalk = 0.030 - np.abs(x)
    inside = np.where((y < 0.10) & (y > 0.0), np.maximum(inside, stalk), np.where(y <= 0.0, -1.0, inside))
    inside = np.minimum(inside, 2 * (0.995 - y))
    rib = np.exp(-((x / 0.025) ** 2))
    side = np.sin(2 * np.pi * (8 * y - 2.6 * np.abs(x)))
    veins = rib + 0.5 * np.exp(-(((side - 1) / 0.12) ** 2))
    colour = picture.blend(np.array(low), np.array(high), np.clip(0.25 + 0.7 * np.abs(x) + 0.10 * speck, 0, 1))
    colour = picture.blend(colour, np.array(high) * 1.35, np.clip(0.55 * veins, 0, 1))
    return inside, colour


def _union(x: Floats, y: Floats, blobs: list[tuple[float, float, float, float, float]]) -> tuple[Floats, Floats]:
    """Ellipses (x, y, half length, half width, angle): the largest distance inside one, and which one it is."""
    best, which = np.full(x.shape, -1.0), np.zeros(x.shape)
    for number, (cx, cy, a, b, angle) in enumerate(blobs):
        dx, dy = x - cx, 2 * (y - cy)
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        inside = (1 - np.hypot(along / a, across / b)) * min(a, b)
        which = np.where(inside > best, number, which)
        best = np.maximum(best, inside)
    return best, which


def _fern(x: Floats, y: Floats, speck: Floats, leaflets: int = 13) -> Drawing:
    blobs = []
    for i in range(leaflets):
        t = (i + 0.5) / leaflets
        reach = 0.92 * (1 - t) ** 0.75 * min(1.0, 0.55 + 2.5 * t)
        for side in (-1, 1):
            angle = 0.45 if side > 0 else np.pi - 0.45
            blobs.append(
                (side * reach * 0.47, 0.08 + 0.88 * t + reach * 0.10, reach * 0.52, 0.045 + 0.03 * (1 - t), angle)
            )
    inside, which = _union(x, y, blobs)
    inside = np.maximum(inside, np.where((y > 0.0) & (y < 0.97), 0.020 * (1.2 - y) - np.abs(x), -1))
    colour = picture.blend(np.array([0.05, 0.17, 0.03]), np.array([0.16, 0.33, 0.06]), np.clip(y + 0.1 * speck, 0, 1))
    return inside, colour * (1 + 0.12 * (which % 2))[..., None]


def _lavender(x: Floats, y: Floats, speck: Floats) -> Drawing:
    """A stem with whorls of buds that become narrower towards the tip."""
    rng = np.random.default_rng(81)
    blobs = []
    for whorl in range(8):
        t = whorl / 7
        height = 0.30 + 0.64 * t
        reach = 0.66 * (1 - 0.80 * t)
        for k in range(5):
            side = (k - 2) / 2 + 0.1 * rng.standard_normal()
            blobs.append(
                (side * reach, height + 0.014 * side**2, 0.066, 0.23 * (1 - 0.35 * t), np.pi / 2 - side * 0.25)
            )
    bloom, which = _union(x, y, blobs)
    stem = np.where((y > 0.0) & (y < 0.9), 0.055 - np.abs(x), -1)
    shade = ((which * 7) % 5 / 4)[..., None]
    colour = np.array([0.13, 0.07, 0.30]) * (1 - shade) + np.array([0.34, 0.23, 0.54]) * shade
    green = np.array([0.13, 0.21, 0.08])
    return np.maximum(bloom, stem), np.where((bloom > -0.02)[..., None], colour * (1 + 0.1 * speck[..., None]), green)


def _gypsophila(x: Floats, y: Floats, speck: Floats) -> Drawing:
    rng = np.random.default_rng(82)
    blobs, stems = [], np.full(x.shape, -1.0)
    for _ in range(34):
        px, py = rng.uniform(-0.85, 0.85), rng.uniform(0.40, 0.93)
        if abs(px) > 0.25 + 0.85 * (py - 0.3):
            continue
        blobs.append((px, py, 0.085, 0.075, rng.uniform(0, 3)))
        t = np.clip(y / py, 0, 1)
        line = 0.014 - np.abs(x - px * t**1.6)
        stems = np.maximum(stems, np.where((y > 0) & (y < py), line, -1))
    bloom, _ = _union(x, y, blobs)
    white = np.array([0.84, 0.80, 0.76]) * (0.86 + 0.14 * np.clip(bloom * 14, 0, 1) + 0.02 * speck)[..., None]
    return np.maximum(bloom, stems), np.where((bloom > -0.03)[..., None], white, np.array([0.22, 0.33, 0.14]))


def _ivy(x: Floats, y: Floats, speck: Floats) -> Drawing:
    """Five lobes with pale veins and a pale edge."""
    dx, dy = x, 2 * (y - 0.36)
    angle, radius = np.arctan2(dx, dy), np.hypot(dx, dy)
    reach = np.full(x.shape, 0.40)
    veins = np.zeros_like(x)
    for direction, length, width in (
        (0.0, 1.20, 0.46),
        (1.15, 0.95, 0.44),
        (-1.15, 0.95, 0.44),
        (2.2, 0.72, 0.42),
        (-2.2, 0.72, 0.42),
    ):
        lobe = length / (1 + (np.abs(angle - direction) / width) ** 1.7)
        reach = np.maximum(reach, lobe)
        near = np.abs(angle - direction) < 0.8
        veins = np.maximum(veins, np.exp(-(((angle - direction) * radius / 0.04) ** 2)) * near)
    inside = np.minimum(reach - radius, 0.98 - np.abs(x))
    inside = np.maximum(inside, np.where((y > 0) & (y < 0.3), 0.035 - np.abs(x), -1))
    green = picture.blend(
        np.array([0.030, 0.10, 0.028]), np.array([0.085, 0.20, 0.055]), np.clip(0.5 + 0.2 * speck, 0, 1)
    )
    green = picture.blend(green, np.array([0.30, 0.40, 0.20]), 0.6 * veins)
    edge = 1 - noise.step(0.02, 0.10, inside + 0.02 * speck)
    return inside, picture.blend(green, np.array([0.62, 0.64, 0.42]), edge)


_SPRAYS: dict[str, Callable[[Floats, Floats, Floats], Drawing]] = {
    "fern": _fern,
    "fern tip": lambda x, y, speck: _fern(x, y, speck, 8),
    "lavender": _lavender,
    "gypsophila": _gypsophila,
    "ivy": _ivy,
}
