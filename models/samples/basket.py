"""The wicker basket before the handlebar: staves, woven rows, braids, a cloth, straps and the rods that carry it.

Space: that of the frame, with the wheel straight.
"""

from __future__ import annotations

import numpy as np

from .fittings import strap
from .frame import BAR_M, FRONT_AXLE, on_axis
from .mesh import Corners, arc_length, join_corners, sheet, translation, tube
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import both, chain_of, count, rod, rounded, shifted, straight

CENTRE = np.array([0.640, 0.0, 0.0])
LOW_M, HIGH_M = 0.778, 0.992  # heights of the bottom and of the rim
STAVES, ROWS = 44, 18
WEAVE_M = 0.0044  # distance of a woven strand from the middle of the wall, inwards and outwards
WICKER_M = 0.09  # length of the wicker picture


def loop(turn: Floats, rise: Floats | float, away: Floats | float = 0.0) -> Floats:
    """Points (…, 3) of the wall: turn 0…1 around it by length, rise 0 at the bottom to 1 at the rim.

    `away` is the distance outwards from the middle of the wall, in metres.
    """
    fine = rounded(1.0, 1.40, 721, 3.4)
    fine = np.concatenate([fine, fine[:1]])
    length = arc_length(fine)
    outward = np.roll(np.gradient(fine, axis=0), 1, axis=1) * [1.0, -1.0]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    whole = (turn % 1.0) * length[-1]
    x, z = (np.interp(whole, length, fine[:, i]) for i in (0, 1))
    nx, nz = (np.interp(whole, length, outward[:, i]) for i in (0, 1))
    h = np.asarray(rise, dtype=np.float64)
    size = 0.196 + 0.058 * h - 0.008 * np.sin(np.pi * np.clip(h, 0, 1))
    points = np.stack(
        np.broadcast_arrays(size * x + away * nx, LOW_M + (HIGH_M - LOW_M) * h, size * z + away * nz), axis=-1
    )
    return np.asarray(points + CENTRE)


def basket_parts(detail: float) -> list[Part]:
    """The basket without its flowers."""
    facts = {"maker": "StreamXR", "material": "willow", "load kg": 5}
    parts = [Part("Basket rim", "wicker", _braid(1.0, 0.0068, 0.0056, 34, detail), extras=facts)]
    parts.append(Part("Basket foot", "wicker", _braid(0.0, 0.0050, 0.0045, 24, detail)))
    parts.append(Part("Basket staves", "wicker", _staves(detail)))
    parts += [Part(f"Basket row {row + 1}", "wicker", _row(row, detail)) for row in range(ROWS)]
    parts.append(Part("Basket bottom", "wicker", _bottom(detail)))
    parts.append(Part("Basket cloth", "cloth", _cloth(detail), 60))
    for side, name in ((-1, "Left"), (1, "Right")):
        bar = on_axis(BAR_M, 0.055) + np.array([0.066, 0.004, side * 0.075])
        band, buckle = strap(bar, 0.058, 0.052, detail)
        parts.append(Part(f"{name} strap", "leather", band))
        parts.append(Part(f"{name} buckle", "palette", buckle, 30))
    parts.append(Part("Basket carrier", "palette", _carrier(detail)))
    return parts


def _wicker(strand: Corners, offset: float) -> Corners:
    return Corners(strand.positions, strand.uvs / WICKER_M * [1.0, 2.0] + [0.0, offset])


def _row(row: int, detail: float) -> Corners:
    """A strand that passes before one stave and behind the next; neighbouring rows alternate."""
    samples = 4 if detail > 0.6 else 2
    turn = np.linspace(0, 1, STAVES * samples + 1)
    weave = WEAVE_M * np.cos(np.pi * STAVES * turn) * (-1) ** row
    rise = (row + 0.8) / (ROWS + 0.8)
    path = loop(turn, rise, weave)
    path[-1] = path[0]
    return _wicker(tube(path, 0.0050, count(5, detail, 4), closed=True), 0.37 * row)


def _staves(detail: float) -> Corners:
    rise = np.linspace(0.0, 1.0, count(10, detail, 4))
    rods = []
    for stave in range(STAVES):
        path = loop(np.full_like(rise, stave / STAVES), rise)
        rods.append(_wicker(tube(path, 0.0025, count(6, detail, 4)), 0.21 * stave))
    return join_corners(rods)


def _braid(rise: float, reach: float, thick: float, twists: int, detail: float) -> Corners:
    """Three strands that twist around the wall."""
    turn = np.linspace(0, 1, count(twists * 7, detail, twists * 4) + 1)
    strands = []
    for strand in range(3):
        angle = 2 * np.pi * (twists * turn + strand / 3)
        path = loop(turn, rise + reach * np.sin(angle) / (HIGH_M - LOW_M), reach * np.cos(angle))
        path[-1] = path[0]
        strands.append(_wicker(tube(path, thick, count(5, detail, 4), closed=True), 0.31 * strand))
    return join_corners(strands)


def _bottom(detail: float) -> Corners:
    """Rods side by side, across the bottom."""
    rods = []
    reach = 0.196 * 0.5 - 0.004
    for x in np.linspace(-reach, reach, 21):
        wide = 0.196 * 0.70 * (1 - min(0.999, abs(x) / (0.196 * 0.5)) ** 3.4) ** (1 / 3.4)
        z = np.linspace(-wide, wide, count(11, detail, 5))
        path = np.stack([np.full_like(z, x), 0.0012 * np.sin(z * 300), z], axis=-1) + CENTRE + [0, LOW_M, 0]
        rods.append(_wicker(rod(path, 0.0052, count(6, detail, 4)), 0.4 * x))
    return join_corners(rods)


def _cloth(detail: float) -> Corners:
    """A lining of linen that folds over the rim and hangs down outside in scallops, checked along its hem."""
    columns = count(173, detail, 72)
    turn = np.linspace(0, 1, columns + 1)
    scallop = np.abs(np.sin(np.pi * 18 * turn)) ** 0.7
    fold = 0.0022 * np.sin(2 * np.pi * 36 * turn + 0.6) + 0.0012 * np.sin(2 * np.pi * 23 * turn)
    # Height above the rim in metres and distance from the wall, from the inside over the rim to the hem.
    line = [(-0.150, -0.012), (-0.100, -0.012), (-0.050, -0.012), (-0.015, -0.012), (0.004, -0.0125), (0.0105, -0.0095),
            (0.0142, -0.002), (0.0140, 0.006), (0.0100, 0.0125), (0.002, 0.0145)]  # fmt: skip
    rows = [loop(turn, 1 + h / (HIGH_M - LOW_M), d + fold * 0.4) for h, d in line]
    for share in (0.2, 0.4, 0.6, 0.72, 0.84, 1.0):
        drop = share * (0.030 + 0.016 * scallop)
        rows.append(loop(turn, 1 + (0.002 - drop) / (HIGH_M - LOW_M), 0.0148 + 0.004 * share + fold * share))
    points = np.stack(rows)
    points[:, -1] = points[:, 0]
    place = np.stack(
        np.broadcast_arrays(np.arange(len(rows), dtype=np.float64)[:, None], np.arange(columns + 1.0)[None, :]), axis=-1
    )
    whole = sheet(points[:, ::-1], place[:, ::-1])
    row, column = np.floor(whole.uvs[..., 0].mean(axis=1)), np.floor(whole.uvs[..., 1].mean(axis=1))
    hem, check = np.isin(row, [12, 13]), (column // max(1, columns // 108)) % 2 == (row % 2)
    return join_corners(
        [
            paint(whole.where(~hem), "linen", 0),
            paint(whole.where(hem & check), "ruby", 1),
            paint(whole.where(hem & ~check), "ivory", 0),
        ]
    )


def _carrier(detail: float) -> Corners:
    """A frame of rods below the basket on struts to the front axle."""
    sides, y = count(8, detail, 5), LOW_M - 0.0105
    turn = np.linspace(0, 1, count(58, detail, 24) + 1)
    ring = loop(turn, -0.012 / (HIGH_M - LOW_M) - 0.02, -0.016)
    ring[:, 1] = y
    ring[-1] = ring[0]
    paths = [straight([CENTRE[0] + x, y, -0.120], [CENTRE[0] + x, y, 0.120]) for x in (-0.045, 0.045)]
    end = shifted(FRONT_AXLE, 0.0, 0.006, 0.0640)
    struts_ahead = straight([CENTRE[0] + 0.045, y, 0.102], end)
    struts_behind = straight([CENTRE[0] - 0.045, y, 0.102], end - [0.010, -0.004, 0.0])
    loops = tube(ring, 0.0034, sides, closed=True)
    struts = both(chain_of([struts_ahead, struts_behind], 0.0034, sides))
    bolts = both(
        rod(straight([0, 0, 0.060], [0, 0, 0.068]), 0.0062, sides).moved(translation(*shifted(FRONT_AXLE, 0, 0.006, 0)))
    )
    return paint(join_corners([loops, chain_of(paths, 0.0034, sides), struts]), "chrome", 3) + paint(bolts, "gold", 2)
