"""The wheels of the bicycle: tyres with a tread, rims, hubs, laced spokes, and mudguards.

Space: metres, the wheel's axle along z, its centre in the origin, forwards +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mesh import Corners, join_corners, lathe, rotation, sheet, translation
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import ABOUT_Z, ball, count, rod, straight, turned_about_z

WHEEL_M = 0.350  # radius over the tread
SECTION_M = 0.0200  # radius of the tyre's section over the tread
TREAD_M = 0.0013  # depth of the grooves
TREAD_BLOCKS = 76  # around the tyre
RIM_HOLE_M = 0.2985
HOLES = 18  # spoke holes of one flange
CROSSINGS_DEGREES = (10, 30, 50)  # where a spoke meets those of the other direction, seen from the hub
GUARD_M, GUARD_WIDE_M = 0.372, 0.0275  # radius of a mudguard's crown, and half its width


@dataclass(frozen=True)
class Hub:
    """Radius and distance from the middle of the flanges, radius of the barrel, half the length of the axle."""

    flange: float
    offset: float
    barrel: float
    axle: float


FRONT, REAR = Hub(0.0205, 0.033, 0.0125, 0.056), Hub(0.0340, 0.027, 0.0265, 0.074)


def wheel_parts(name: str, hub: Hub, detail: float) -> list[Part]:
    """Tyre, rim, hub, 36 spokes with nipples and the valve of one wheel."""
    parts = [
        Part(f"{name} tyre", "palette", tyre(detail), shared="Tyre"),
        Part(f"{name} rim", "palette", _rim(detail), shared="Rim"),
        Part(f"{name} hub", "palette", _hub(hub, detail)),
        Part(f"{name} valve", "palette", _valve(detail), shared="Valve"),
    ]
    flip = rotation([1, 0, 0], 180)
    for kind, lean in (("trailing", 1), ("leading", -1)):
        # The first hole of a leading spoke is beside that of a trailing one; the left flange is half a hole further.
        first = 0.0 if lean > 0 else 360 / HOLES
        turns = [rotation([0, 0, 1], first + 720 / HOLES * i) for i in range(HOLES // 2)]
        left = [rotation([0, 0, 1], 180 / HOLES) @ flip @ turn for turn in turns]
        parts.append(Part(f"{name} {kind} spoke", "palette", _spoke(hub, lean, detail), copies=turns + left))
    return parts


def tyre(detail: float) -> Corners:
    """Blocks and grooves on the crown, pale walls, open at the beads."""
    # Degrees from the crown, and the height of the tread: 0 groove, 1 rib all around, 2 blocks.
    half = [
        (0.0, 1), (4.0, 1), (5.5, 0), (9.0, 0), (10.5, 2), (24.0, 2), (25.5, 0), (29.0, 0), (30.5, 2), (46.0, 2),
        (49.0, 0), (54.0, 0), (70.0, 0), (86.0, 0), (102.0, 0), (132.0, 0),
    ]  # fmt: skip
    angles = np.array([-a for a, _ in half[:0:-1]] + [a for a, _ in half])
    kinds = np.array([k for _, k in half[:0:-1]] + [k for _, k in half])
    blocks = count(TREAD_BLOCKS, detail, 24)
    phase = (np.arange(blocks)[:, None] + np.array([0.0, 0.60, 0.68, 0.92])).reshape(-1) / blocks
    phase = np.append(phase, phase[0])
    top = np.append(np.tile([1.0, 1.0, 0.0, 0.0], blocks), 1.0)
    height = np.where(kinds == 2, top[:, None], np.broadcast_to(kinds == 1, (len(phase), len(kinds))))
    slant = 0.9 * np.abs(angles) / 46 / blocks  # chevrons
    round_ = 2 * np.pi * (phase[:, None] + np.where(np.abs(angles) > 60, 0.9 * 60 / 46 / blocks, slant))
    round_[-1] = round_[0]
    lean = np.radians(angles)[None, :]
    reach = SECTION_M - TREAD_M + TREAD_M * height
    out = WHEEL_M - SECTION_M + reach * np.cos(lean)
    points = np.stack([out * np.cos(round_), out * np.sin(round_), reach * np.sin(lean)], axis=-1)
    whole = sheet(points, np.broadcast_to(np.abs(angles)[None, :, None], (*points.shape[:2], 2)))
    degrees = whole.uvs[..., 0].mean(axis=1)
    dark, stripe = degrees < 51, (degrees > 86) & (degrees < 102)
    return join_corners(
        [
            paint(whole.where(dark), "rubber", 2),
            paint(whole.where(stripe), "gum", 3),
            paint(whole.where(~dark & ~stripe), "ivory", 2),
        ]
    )


def _rim(detail: float) -> Corners:
    profile = np.array(
        [
            (0.3080, -0.0100), (0.2990, -0.0075), (0.2962, -0.0030), (0.2955, 0.0), (0.2962, 0.0030), (0.2990, 0.0075),
            (0.3080, 0.0100), (0.3120, 0.0135), (0.3150, 0.0150), (0.3172, 0.0146), (0.3166, 0.0132), (0.3120, 0.0095),
            (0.3080, 0.0060), (0.3070, 0.0), (0.3080, -0.0060), (0.3120, -0.0095), (0.3166, -0.0132),
            (0.3172, -0.0146), (0.3150, -0.0150), (0.3120, -0.0135), (0.3080, -0.0100),
        ]
    )[::-1]  # fmt: skip
    whole = lathe(profile, np.arange(len(profile), dtype=np.float64), count(115, detail, 48)).moved(ABOUT_Z)
    place = whole.uvs[..., 1].mean(axis=1)
    # Two lines on either flank, as painted by hand.
    lined = np.isin(np.floor(place), [0, 13])
    return paint(whole.where(~lined), "chrome", 1) + paint(whole.where(lined), "enamel", 2)


def _hub(hub: Hub, detail: float) -> Corners:
    sides, z, f, b = count(32, detail, 12), hub.offset, hub.flange, hub.barrel
    half = [
        (0.0045, hub.axle), (0.0045, z + 0.012), (0.0085, z + 0.012), (0.0090, z + 0.011), (0.0090, z + 0.007),
        (0.0120, z + 0.006), (f - 0.004, z + 0.0020), (f - 0.001, z + 0.0014), (f, z + 0.0005), (f, z - 0.0005),
        (f - 0.001, z - 0.0014), (f - 0.004, z - 0.0016), (b + 0.0010, z - 0.0030), (b, z - 0.0060), (b, 0.004),
    ]  # fmt: skip
    profile = [(0.0, -hub.axle), *[(r, -h) for r, h in half], *half[::-1], (0.0, hub.axle)]
    shell = paint(turned_about_z(profile, sides), "chrome", 3)
    band = [(b, -0.0055), (b + 0.0006, -0.0050), (b + 0.0006, 0.0050), (b, 0.0055)]
    nut = [
        (0.0, 0.0), (0.0060, 0.0), (0.0085, 0.0012), (0.0088, 0.0060), (0.0070, 0.0090), (0.0040, 0.0115),
        (0.0, 0.0122),
    ]  # fmt: skip
    dome = paint(turned_about_z(nut, max(8, sides // 2)), "gold", 3)
    ends = [dome.moved(translation(0, 0, hub.axle - 0.002)), dome.moved(rotation([1, 0, 0], 180))]
    ends[1] = ends[1].moved(translation(0, 0, 0.002 - hub.axle))
    return join_corners([shell, paint(turned_about_z(band, sides), "gold", 2), *ends])


def _spoke(hub: Hub, lean: int, detail: float) -> Corners:
    """A spoke of the right flange from the hub hole at angle 0 to the rim; trailing ones (lean 1) leave outside.

    At the last crossing trailing spokes pass inside leading ones, so that each pair is laced.
    """
    sides = count(6, detail, 4)
    hole, side = hub.flange - 0.0035, float(lean)
    end = np.radians(60.0 * lean)
    rim = RIM_HOLE_M * np.array([np.cos(end), np.sin(end)])
    shares = []
    for degrees in CROSSINGS_DEGREES:
        slope = np.tan(np.radians(degrees))
        shares.append(hole * slope / (RIM_HOLE_M * np.sin(np.radians(60)) - slope * (rim[0] - hole)))
    stops = np.array([0.004, shares[1], 0.5 * (shares[1] + shares[2]), shares[2], 0.45, 1.0])
    weave = side * np.array([0.0020, 0.0016, 0.0, -0.00105, -0.0006, 0.0])
    z = hub.offset + (0.0015 - hub.offset) * stops + weave
    flat = np.array([hole, 0.0]) + (rim - [hole, 0.0]) * stops[:, None]
    path = np.concatenate([flat, z[:, None]], axis=1)
    head = np.array([[hole, 0.0, hub.offset - side * 0.0026], [hole, 0.0, hub.offset + side * 0.0012]])
    wire = rod(np.concatenate([head, path]), 0.00105, sides)
    cap = rod(straight(head[0] - [0, 0, side * 0.0006], head[0] + [0, 0, side * 0.0004]), 0.0021, sides)
    along = (path[-1] - path[-2]) / np.linalg.norm(path[-1] - path[-2])
    s = np.array([-0.0135, -0.0125, -0.002, -0.0012, 0.0])
    nipple = rod(path[-1] + s[:, None] * along, np.array([0.0014, 0.0019, 0.0019, 0.0024, 0.0024]), sides)
    return paint(wire + cap, "steel", 1) + paint(nipple, "gold", 4)


def _valve(detail: float) -> Corners:
    sides = count(8, detail, 6)
    turn = np.radians(-86)
    out = np.array([np.cos(turn), np.sin(turn), 0.0])
    stem = rod(straight(0.298 * out, 0.272 * out), 0.0030, sides)
    cap = rod(np.stack([r * out for r in (0.274, 0.272, 0.262, 0.260)]), np.array([0.003, 0.004, 0.0036, 0.002]), sides)
    return paint(stem, "gold", 5) + paint(cap, "ink", 2)


def mudguard(start_degrees: float, end_degrees: float, detail: float) -> Corners:
    """A thin sheet over the wheel with two painted lines and open edges; angles from +x, anticlockwise."""
    rows = count(120, detail, 36)
    turn = np.radians(np.linspace(start_degrees, end_degrees, rows))
    across = np.array([-1.0, -0.92, -0.78, -0.62, -0.55, -0.50, -0.25, 0.0, 0.25, 0.50, 0.55, 0.62, 0.78, 0.92, 1.0])
    # The ends are round in plan.
    end = np.minimum(turn - turn[0], turn[-1] - turn) * GUARD_M / 0.030
    wide = GUARD_WIDE_M * np.sqrt(1 - (1 - np.clip(end, 0.06, 1)) ** 2)
    drop = 0.013 * (wide[:, None] / GUARD_WIDE_M * across) ** 2 + 0.004 * across**6
    out = GUARD_M - drop
    points = np.stack(
        [out * np.cos(turn)[:, None], out * np.sin(turn)[:, None], wide[:, None] * across[None, :]], axis=-1
    )
    whole = sheet(points, np.broadcast_to(np.abs(across)[None, :, None], (*points.shape[:2], 2)))
    lined = np.abs(whole.uvs[..., 0].mean(axis=1) - 0.525) < 0.024
    return paint(whole.where(~lined), "enamel") + paint(whole.where(lined), "gold", 1)


def mudguard_beads(start_degrees: float, end_degrees: float, detail: float) -> Corners:
    """The rolled edges of a mudguard."""
    turn = np.radians(np.linspace(start_degrees + 4, end_degrees - 4, count(96, detail, 30)))
    out = GUARD_M - 0.0172
    edges = []
    for side in (-1, 1):
        path = np.stack([out * np.cos(turn), out * np.sin(turn), np.full_like(turn, side * GUARD_WIDE_M)], axis=-1)
        edges.append(rod(path, 0.0014, count(6, detail, 4)))
    return paint(join_corners(edges), "gold", 2)


def mudguard_stays(degrees: list[float], foot: Floats, detail: float) -> Corners:
    """Pairs of wires from `foot` (3,) beside the axle, and its mirror image, to the edges of a mudguard."""
    wires, bolts = [], []
    for angle in degrees:
        turn = np.radians(angle)
        out = np.array([np.cos(turn), np.sin(turn)])
        for side in (-1.0, 1.0):
            edge = np.array([*(GUARD_M - 0.0165) * out, side * (GUARD_WIDE_M + 0.0015)])
            start = foot * [1.0, 1.0, side]
            wires.append(rod(straight(start, edge), 0.0019, count(7, detail, 4)))
            bolts.append(ball(0.0036, count(8, detail, 5)).moved(translation(*edge)))
    return paint(join_corners(wires), "chrome", 3) + paint(join_corners(bolts), "gold", 2)
