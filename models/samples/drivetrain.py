"""The bicycle's drive: a chain of single links, chainring, cranks, pedals and sprocket.

Space: metres, forwards +x, up +y, the right side +z; the origin is on the ground below the crank axle.
"""

from __future__ import annotations

import numpy as np

from .mesh import Corners, join_corners, rotation, sheet, translation
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import ball, both, circle, closed_bar, count, mirrored, plate, rod, rounded, straight, turned_about_z

CRANK_AXLE = np.array([0.0, 0.285, 0.0])
REAR_AXLE = np.array([-0.470, 0.350, 0.0])
CHAIN_Z_M = 0.0500
PITCH_M = 0.0127
RING_TEETH, SPROCKET_TEETH = 44, 18
CRANK_M, CRANK_DEGREES = 0.170, -38.0  # length, and angle of the right crank from +x
PEDAL_Z_M = 0.122


def drive_parts(detail: float) -> list[Part]:
    """All parts of the drive, in the space of the frame."""
    outer, inner = _chain_places()
    at = translation(*CRANK_AXLE)
    right = at @ rotation([0, 0, 1], CRANK_DEGREES)
    left = at @ rotation([0, 0, 1], CRANK_DEGREES + 180)
    pedal = _pedal(detail)
    tips = [CRANK_AXLE + CRANK_M * _direction(CRANK_DEGREES + turn) for turn in (0, 180)]
    return [
        Part("Outer link", "palette", _link(detail, inner=False), copies=outer),
        Part("Inner link", "palette", _link(detail, inner=True), copies=inner),
        Part("Chainring", "palette", _chainring(detail).moved(right), 30),
        Part("Sprocket", "palette", _sprocket(detail).moved(translation(*REAR_AXLE)), 30),
        Part("Right crank", "palette", _crank(detail).moved(right)),
        Part("Left crank", "palette", mirrored(_crank(detail)).moved(left)),
        Part("Right pedal", "palette", pedal.moved(translation(*tips[0])), 30),
        Part("Left pedal", "palette", mirrored(pedal).moved(translation(*tips[1])), 30),
        Part("Crank axle", "palette", _axle(detail).moved(at)),
    ]


def _direction(degrees: float) -> Floats:
    turn = np.radians(degrees)
    return np.array([np.cos(turn), np.sin(turn), 0.0])


def pitch_radius(teeth: int) -> float:
    """Radius of the circle through the pins of a chain on a wheel."""
    return float(PITCH_M / 2 / np.sin(np.pi / teeth))


def _chain_places() -> tuple[list[Floats], list[Floats]]:
    """Matrices of the outer and the inner links on the belt around both wheels."""
    a, b = CRANK_AXLE[:2], REAR_AXLE[:2]
    ra, rb = pitch_radius(RING_TEETH), pitch_radius(SPROCKET_TEETH)
    distance = float(np.linalg.norm(b - a))
    line = np.arctan2(*(b - a)[::-1])  # from the ring to the sprocket
    lean = np.arccos((ra - rb) / distance)
    top, low = line - lean, line + lean  # where the upper and the lower run leave the wheels
    span = distance * np.sin(lean)
    arc_b, arc_a = 2 * lean, 2 * np.pi - 2 * lean
    total = 2 * span + ra * arc_a + rb * arc_b
    links = 2 * round(total / PITCH_M / 2)

    def unit(angle: float) -> Floats:
        return np.array([np.cos(angle), np.sin(angle)])

    def point(s: float) -> Floats:
        """The point after a length s along the belt: upper run, sprocket, lower run, ring."""
        s %= total
        if s < span:
            start, end = a + ra * unit(top), b + rb * unit(top)
            return np.asarray(start + (end - start) * s / span)
        s -= span
        if s < rb * arc_b:
            return np.asarray(b + rb * unit(top + s / rb))
        s -= rb * arc_b
        if s < span:
            start, end = b + rb * unit(low), a + ra * unit(low)
            return np.asarray(start + (end - start) * s / span)
        return np.asarray(a + ra * unit(low + (s - span) / ra))

    pins = [point(total * i / links) for i in range(links)]
    places = []
    for i, pin in enumerate(pins):
        ahead = pins[(i + 1) % links]
        middle, along = (pin + ahead) / 2, ahead - pin
        turn = float(np.degrees(np.arctan2(along[1], along[0])))
        places.append(translation(middle[0], middle[1], CHAIN_Z_M) @ rotation([0, 0, 1], turn))
    return places[0::2], places[1::2]


def _link(detail: float, *, inner: bool) -> Corners:
    """Two plates in the shape of an eight along x, with rollers (inner) or pins (outer)."""
    steps = count(5, detail, 5)
    turn = np.linspace(-np.pi / 2, np.pi / 2, steps)
    end = np.stack([PITCH_M / 2 + 0.0042 * np.cos(turn), 0.0042 * np.sin(turn)], axis=-1)
    waist = np.array([[0.0, 0.0030]])
    outline = np.concatenate([end, waist, -end, -waist])
    z, thick = (0.0026, 0.0010) if inner else (0.0038, 0.0010)
    plates = [plate(outline, thick).moved(translation(0, 0, side * z)) for side in (-1, 1)]
    sides, pins = count(7, detail, 5), []
    for x in (-PITCH_M / 2, PITCH_M / 2):
        half, radius = (0.0024, 0.0038) if inner else (0.0050, 0.0017)
        pins.append(rod(straight([x, 0, -half], [x, 0, half]), radius, sides))
    metal, shade = ("iron", 3) if inner else ("steel", 4)
    return paint(join_corners(plates), metal, shade) + paint(join_corners(pins), "steel", 2)


def _toothed(teeth: int, detail: float, hole_m: float, thickness: float) -> Corners:
    """A ring with teeth that stand between the pins of the chain."""
    radius = pitch_radius(teeth)
    # Phase within one pitch and distance from the pitch circle: gap, flank, tip, flank.
    shape = np.array([(-0.22, -0.0036), (0.0, -0.0042), (0.22, -0.0036), (0.36, 0.0006), (0.45, 0.0034), (0.55, 0.0034),
                      (0.64, 0.0006)])  # fmt: skip
    if detail < 0.5:
        shape = shape[[1, 3, 5]]
    turn = 2 * np.pi / teeth * (np.arange(teeth)[:, None] + shape[:, 0]).reshape(-1)
    reach = np.tile(radius + shape[:, 1], teeth)
    unit = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    return plate(reach[:, None] * unit, thickness, hole_m * unit)


def _chainring(detail: float) -> Corners:
    """The toothed ring, a spider of five curved arms with rosettes, and its boss."""
    ring = _toothed(RING_TEETH, detail, 0.0745, 0.0026)
    band = turned_about_z([(0.0745, -0.0020), (0.0790, -0.0020), (0.0790, 0.0020), (0.0745, 0.0020), (0.0745, -0.0020)],
                          count(70, detail, 30))  # fmt: skip
    parts = [paint(ring + band, "chrome", 2)]
    sides = count(14, detail, 8)
    for i in range(5):
        turn = rotation([0, 0, 1], 72 * i)
        s = np.linspace(0, 1, count(10, detail, 5))
        bend = 0.55 * np.sin(np.pi * s)
        for hand in (-1, 1):
            radius, angle = 0.018 + 0.060 * s, hand * bend * 0.62
            path = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * s], axis=-1)
            bar = closed_bar(path, rounded(0.0046, 0.0030, count(6, detail, 6)), [0, 0, 1])
            parts.append(paint(bar.moved(turn), "chrome", 3))
        for x, outer, inner in ((0.047, 0.0105, 0.0070), (0.067, 0.0056, 0.0030)):
            rosette = plate(circle(outer, sides), 0.0028, circle(inner, sides))
            parts.append(paint(rosette.moved(turn @ translation(x, 0, 0)), "gold", 2))
    boss = [(0.0, -0.006), (0.020, -0.006), (0.0225, -0.0030), (0.0225, 0.0030), (0.019, 0.006), (0.0, 0.007)]
    parts.append(paint(turned_about_z(boss, count(29, detail, 12)), "chrome", 2))
    return join_corners(parts).moved(translation(0, 0, CHAIN_Z_M))


def _sprocket(detail: float) -> Corners:
    teeth = paint(_toothed(SPROCKET_TEETH, detail, 0.0180, 0.0024), "steel", 5)
    carrier = [
        (0.0150, -0.008),
        (0.0200, -0.008),
        (0.0215, -0.0030),
        (0.0215, 0.0030),
        (0.0185, 0.006),
        (0.0150, 0.006),
    ]
    return (teeth + paint(turned_about_z(carrier, count(26, detail, 10)), "steel", 3)).moved(
        translation(0, 0, CHAIN_Z_M)
    )


def _crank(detail: float) -> Corners:
    """The right crank along +x, with its dust cap and the pedal's eye."""
    s = np.linspace(0, 1, count(13, detail, 6))
    path = np.stack([CRANK_M * s, 0 * s, 0.064 + 0.010 * s**1.5], axis=-1)
    arm = closed_bar(path, rounded(0.022, 0.0125, count(16, detail, 8), 3.0), [0, 0, 1], 1 - 0.32 * s + 0.12 * s**6)
    boss = [(0.0, 0.054), (0.0165, 0.054), (0.0175, 0.056), (0.0175, 0.070), (0.0160, 0.0725), (0.0, 0.0725)]
    cap = [(0.0, 0.0725), (0.0095, 0.0725), (0.0085, 0.0740), (0.0, 0.0752)]
    eye = [(0.0, 0.066), (0.0105, 0.066), (0.0115, 0.068), (0.0115, 0.079), (0.0105, 0.081), (0.0, 0.081)]
    sides = count(22, detail, 10)
    return join_corners(
        [
            paint(arm + turned_about_z(boss, sides), "chrome", 1),
            paint(turned_about_z(cap, sides), "gold", 2),
            paint(turned_about_z(eye, sides).moved(translation(CRANK_M, 0, 0)), "chrome", 2),
        ]
    )


def _pedal(detail: float) -> Corners:
    """A right pedal about the origin: spindle, end plates, two rubber blocks with ribs, and reflectors."""
    sides = count(11, detail, 7)
    spindle = rod(np.array([[0, 0, 0.070], [0, 0, 0.086], [0, 0, 0.088], [0, 0, 0.168]]),
                  np.array([0.006, 0.006, 0.0085, 0.0075]), sides)  # fmt: skip
    outline = rounded(0.088, 0.024, count(22, detail, 12), 3.2)
    ends = [plate(outline, 0.0022).moved(translation(0, 0, z)) for z in (0.087, 0.164)]
    parts = [paint(spindle, "steel", 3), paint(join_corners(ends), "chrome", 2)]
    ribs = count(9, detail, 4)
    for x in (-0.030, 0.030):
        bend = np.linspace(0, 2 * np.pi, count(12, detail, 8) + 1)
        z = np.linspace(0.0885, 0.1625, 4 * ribs + 1)
        deep = np.append(np.tile([0.0, 1.0, 1.0, 0.0], ribs), 0.0)
        wide, high = 0.0115 - 0.0012 * deep, 0.0125 - 0.0012 * deep
        cos, sin = np.cos(bend), np.sin(bend)
        c, s = np.sign(cos) * np.abs(cos) ** 0.6, np.sign(sin) * np.abs(sin) ** 0.6
        points = np.stack(np.broadcast_arrays(x + wide[:, None] * c, high[:, None] * s, z[:, None] + 0 * c), axis=-1)
        points[:, -1] = points[:, 0]
        block = sheet(points[:, ::-1], points[:, ::-1, :2])
        parts.append(paint(block, "rubber", 3))
        front = plate(rounded(0.060, 0.011, 16, 6.0), 0.0040).moved(rotation([0, 1, 0], 90))
        parts.append(paint(front.moved(translation(x + np.sign(x) * 0.0115, 0, 0.1255)), "amber", 1))
    parts.append(paint(ball(0.0070, sides, 0.7).moved(translation(0, 0, 0.168)), "gold", 2))
    return join_corners(parts)


def _axle(detail: float) -> Corners:
    cup = [(0.0, 0.028), (0.0190, 0.028), (0.0200, 0.030), (0.0200, 0.034), (0.0165, 0.0370), (0.0095, 0.0372),
           (0.0095, 0.0600), (0.0, 0.0600)]  # fmt: skip
    return paint(both(turned_about_z(cup, count(26, detail, 10))), "steel", 3)
