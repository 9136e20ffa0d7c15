"""The fittings of the bicycle: saddle, lamps, carrier, dress guard, kickstand; in the space of the frame."""

from __future__ import annotations

import numpy as np

from .drivetrain import REAR_AXLE
from .frame import FRONT_AXLE, on_seat
from .mesh import Corners, join_corners, lathe, rotation, sheet, translation, tube
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import (
    ball,
    both,
    closed_bar,
    coil,
    count,
    frame,
    placed,
    plate,
    rod,
    rounded,
    shifted,
    spline,
    straight,
    swept,
)
from .wheels import GUARD_M, GUARD_WIDE_M

SADDLE = on_seat(0.585) + np.array([-0.005, 0.078, 0.0])  # the middle of the saddle's top
LAMP_DEGREES = 58.0  # on the front mudguard, from +x
CARRIER_M = 0.770  # height of the carrier's tubes
STRINGS = 16  # of the dress guard, on each side
DRESS_WIRE_M = 0.050  # radius of the wire that holds them
LEATHER_M = 0.20  # length of the leather picture


def saddle_parts(detail: float) -> list[Part]:
    """A sprung saddle of leather over a steel frame."""
    at = translation(*SADDLE)
    sides, springs = count(8, detail, 5), []
    for side in (-1, 1):
        spring = coil(0.0165, 0.0026, 0.050, 4.5, count(104, detail, 36), sides)
        springs.append(spring.moved(translation(-0.095, -0.082, side * 0.055)))
    rail = spline([[-0.095, -0.084, 0.055], [-0.060, -0.086, 0.040], [-0.010, -0.080, 0.022], [0.060, -0.066, 0.020],
                   [0.115, -0.040, 0.014], [0.132, -0.032, 0.0]], count(24, detail, 10))  # fmt: skip
    back = spline([[-0.098, -0.030, 0.0], [-0.104, -0.030, 0.045], [-0.090, -0.031, 0.076]], count(11, detail, 5))
    cups = [placed(rod(straight([0, 0, 0], [0, 0.004, 0]), 0.0195, 2 * sides), [-0.095, y, 0.055], [0, 1, 0])
            for y in (-0.086, -0.034)]  # fmt: skip
    steel = both(join_corners([rod(rail, 0.0036, sides), rod(back, 0.0042, sides), *cups]))
    edge, top = _saddle_shape(detail)
    piping = Corners(edge.positions, edge.uvs / LEATHER_M)
    facts = {"maker": "StreamXR", "leather": "vegetable-tanned", "spring rate N/mm": 22}
    return [
        Part("Saddle", "leather", (top + piping).moved(at), 50, extras=facts),
        Part("Saddle rivets", "palette", paint(_rivets(detail), "gold", 1).moved(at)),
        Part("Saddle springs", "palette", paint(join_corners(springs), "chrome", 2).moved(at)),
        Part("Saddle frame", "palette", paint(steel, "chrome", 4).moved(at)),
    ]


def _saddle_plan(turn: Floats) -> Floats:
    """The outline (…, 2) of the saddle as (ahead, right): turn 0…1 from the middle of its rear, anticlockwise."""
    half = np.array(
        [
            (-0.136, 0.0), (-0.130, 0.046), (-0.108, 0.083), (-0.072, 0.098), (-0.030, 0.086), (0.010, 0.058),
            (0.048, 0.037), (0.090, 0.027), (0.128, 0.023), (0.145, 0.014), (0.150, 0.0),
        ]
    )  # fmt: skip
    whole = np.concatenate([half, half[-2:0:-1] * [1.0, -1.0]])
    path = spline(np.concatenate([whole, np.zeros((len(whole), 1))], axis=1), 401, closed=True)
    share = np.linspace(0, 1, len(path))
    return np.stack([np.interp(turn % 1, share, path[:, i]) for i in (0, 1)], axis=-1)


def _saddle_points(turn: Floats, share: Floats) -> Floats:
    """Points (…, 3) of the leather: share 0 on the spine, 0.8 at the widest place, 1 at the lower edge."""
    plan = _saddle_plan(turn)
    spine = np.clip(plan[..., 0], -0.060, 0.120)
    angle = share * np.radians(112)
    reach = np.sin(np.minimum(angle, np.pi / 2)) ** 0.92 * (
        1 - 0.10 * np.clip(angle - np.pi / 2, 0, 1) / np.radians(22)
    )
    x, z = spine + (plan[..., 0] - spine) * reach, plan[..., 1] * reach
    # The hammock of a saddle: high behind, a dip, and a nose that falls.
    rise = 0.012 * np.exp(-(((x + 0.10) / 0.050) ** 2)) - 0.009 * np.exp(-(((x - 0.02) / 0.065) ** 2))
    rise = rise + 0.003 * np.exp(-(((x - 0.11) / 0.03) ** 2))
    deep = np.interp(x, [-0.14, -0.09, 0.0, 0.07, 0.15], [0.044, 0.050, 0.056, 0.048, 0.036])
    return np.stack([x, rise - deep * (1 - np.cos(angle)) / (1 - np.cos(np.radians(112))), z], axis=-1)


def _saddle_shape(detail: float) -> tuple[Corners, Corners]:
    """The piping along the open lower edge, and the top."""
    around, rings = count(110, detail, 36), count(14, detail, 6)
    turn, share = np.meshgrid(np.linspace(0, 1, around + 1), np.linspace(0, 1, rings + 1), indexing="ij")
    points = _saddle_points(turn, share)
    points[-1] = points[0]
    flat = points[..., [0, 2]]
    skirt = np.maximum(0, share - 0.6)[..., None] * 0.10 * np.sign(flat) * [0.3, 1.0]
    top = sheet(points, (flat + skirt) / LEATHER_M)
    edge = points[:, -1]
    return tube(edge, 0.0028, count(7, detail, 5), closed=True), top


def _rivets(detail: float) -> Corners:
    head = ball(0.0056, count(10, detail, 6), 0.45)
    heads = []
    for turn in (0.90, 0.95, 0.0, 0.05, 0.10, 0.47, 0.5, 0.53):
        here, beside, below = (
            _saddle_points(np.array(t), np.array(s)) for t, s in ((turn, 0.70), (turn + 0.004, 0.70), (turn, 0.71))
        )
        heads.append(placed(head, here, np.cross(beside - here, below - here)))
    return join_corners(heads)


def lamp_parts(detail: float) -> list[Part]:
    """The headlamp on the front mudguard: a bullet of chrome, a reflector, a bulb and a bulged glass."""
    turn = np.radians(LAMP_DEGREES)
    foot = FRONT_AXLE + GUARD_M * np.array([np.cos(turn), np.sin(turn), 0.0])
    centre = foot + np.array([0.012, 0.062, 0.0])
    place = frame(centre, [1.0, -0.04, 0.0])  # built along y, which points ahead
    sides = count(38, detail, 14)
    t = np.linspace(0, np.pi / 2, count(11, detail, 6))
    back = np.stack([0.0400 * np.sin(t) ** 0.9, 0.010 - 0.080 * np.cos(t)], axis=-1)
    back[0, 0] = 0.0
    rim = np.array([(0.0425, 0.011), (0.0440, 0.014), (0.0440, 0.022), (0.0425, 0.025), (0.0395, 0.026)])
    body = lathe(np.concatenate([back, rim]), np.arange(len(back) + len(rim), dtype=np.float64), sides)
    ring = body.positions[..., 1].mean(axis=1) > 0.0105
    s = np.linspace(1, 0, count(8, detail, 5))
    bowl = np.stack([0.0395 * s, 0.026 - 0.034 * (1 - s**2)], axis=-1)
    reflector = lathe(bowl, s, sides)
    lens = np.stack([0.0400 * s, 0.0245 + 0.0090 * (1 - s**2)], axis=-1)
    glass = lathe(lens, s, sides)
    bulb = ball(0.0068, count(16, detail, 8)).moved(translation(0, 0.008, 0))
    socket = rod(straight([0, -0.0105, 0], [0, 0.0030, 0]), 0.0034, count(12, detail, 6))
    fin = plate(np.array([(-0.028, 0.0), (0.018, 0.0), (0.010, 0.0045), (-0.010, 0.0085), (-0.022, 0.008)]), 0.003)
    fin = fin.moved(translation(centre[0] - 0.02, centre[1] + 0.0355, 0.0))
    stalk = rod(spline([foot - [0.004, 0.006, 0], shifted(foot, 0.006, 0.014, 0),
        centre - [0.002, 0.036, 0]], 10), 0.0065,
                count(13, detail, 7))  # fmt: skip
    facts = {"part": "HL-58", "lumen": 220, "note": "parking light stays on for four minutes"}
    return [
        Part("Headlamp", "palette", join_corners([paint(body.where(~ring), "chrome", 0),
            paint(body.where(ring), "gold", 1),
                                                  paint(reflector + socket, "chrome", 0)]).moved(place)
             + paint(fin, "chrome", 0) + paint(stalk, "gold", 2), 40, extras=facts),
        Part("Headlamp glass", "glass", glass.moved(place), 60),
        Part("Headlamp bulb", "bulb", bulb.moved(place), 60),
        *_tail_lamp(detail),
    ]  # fmt: skip


def _tail_lamp(detail: float) -> list[Part]:
    turn = np.radians(163)
    normal = np.array([np.cos(turn), np.sin(turn), 0.0])
    place = frame(REAR_AXLE + (GUARD_M - 0.002) * normal, normal)
    sides = count(26, detail, 10)
    cup = np.array([(0.0, 0.0), (0.020, 0.0), (0.0215, 0.002), (0.0225, 0.016), (0.0245, 0.018), (0.0245, 0.022),
                    (0.0225, 0.0235), (0.0215, 0.020), (0.0, 0.012)])  # fmt: skip
    s = np.linspace(1, 0, count(7, detail, 5))
    socket = rod(straight([0, 0.011, 0], [0, 0.018, 0]), 0.0030, count(12, detail, 6))
    dome = np.stack([0.0222 * s, 0.0215 + 0.0130 * (1 - s**2)], axis=-1)
    return [
        Part("Tail lamp", "palette", paint(lathe(cup, cup[:, 1], sides) + socket, "chrome", 1).moved(place)),
        Part("Tail lamp glass", "ruby glass", lathe(dome, s, sides).moved(place), 60),
        Part("Tail lamp bulb", "bulb", ball(0.0055, sides).moved(place @ translation(0, 0.021, 0)), 60),
    ]


def carrier_parts(detail: float) -> list[Part]:
    """The carrier over the rear wheel: tubes, five slats of walnut with bolts, and stays to the axle."""
    sides, y = count(10, detail, 6), CARRIER_M
    half = [[-0.225, y - 0.006, 0.0], [-0.228, y, 0.030], [-0.250, y, 0.052], [-0.420, y, 0.060], [-0.600, y, 0.060],
            [-0.660, y, 0.050], [-0.672, y + 0.004, 0.0]]  # fmt: skip
    loop = spline(half, count(48, detail, 18))
    stays = []
    for top, bend in ((-0.330, 0.012), (-0.440, 0.006), (-0.600, -0.012)):
        start = np.array([top, y, 0.059])
        end = shifted(REAR_AXLE, -0.004 + bend, 0.012, 0.0735)
        stays.append(spline([start, shifted(start, 0.1 * (end[0] - top), -0.060, 0.008), end], count(14, detail, 6)))
    struts = [straight([-0.225, y - 0.006, 0.0], shifted(on_seat(0.455), -0.010, 0, 0.0))]
    struts += [straight([x, y, -0.059], [x, y, 0.059]) for x in (-0.300, -0.470, -0.640)]
    tubes = join_corners(
        [both(rod(path, 0.0046, sides)) for path in (loop, *stays)] + [rod(p, 0.0040, sides) for p in struts]
    )
    slat = closed_bar(straight([-0.662, y + 0.0095, 0], [-0.262, y + 0.0095, 0], 6),
                      rounded(0.0170, 0.0085, count(13, detail, 8), 5.0), [0, 1, 0])  # fmt: skip
    slats = join_corners(
        [Corners(shifted(slat.positions, 0, 0, 0.0215 * k), slat.uvs / 0.12 + 0.37 * k) for k in range(-2, 3)]
    )
    bolt = ball(0.0034, count(8, detail, 6), 0.5)
    heads = [translation(x, y + 0.0138, 0.0215 * k) for x in (-0.300, -0.470, -0.640) for k in range(-2, 3)]
    return [
        Part("Carrier", "palette", paint(tubes, "chrome", 3)),
        Part("Carrier slats", "walnut", slats),
        Part("Slat bolt", "palette", paint(bolt, "gold", 2), copies=heads),
    ]


def dress_guard(detail: float) -> Corners:
    """Strings from the edge of the rear mudguard to a bent wire above the axle, on both sides."""
    sides, strings, eyes = count(5, detail, 3), [], []
    wire_z = 0.0770
    for share in np.linspace(0, 1, STRINGS):
        high, low = np.radians(46 + 86 * share), np.radians(26 + 124 * share)
        start = (GUARD_M - 0.0165) * np.array([np.cos(high), np.sin(high), 0]) + [0, 0, GUARD_WIDE_M + 0.001]
        end = DRESS_WIRE_M * np.array([np.cos(low), np.sin(low), 0]) + [0, 0, wire_z]
        strings.append(rod(straight(start, end), 0.0009, sides))
        eyes.append(ball(0.0026, sides + 1).moved(translation(*start)))
    turn = np.radians(np.linspace(8, 160, count(30, detail, 10)))
    bow = np.stack([DRESS_WIRE_M * np.cos(turn), DRESS_WIRE_M * np.sin(turn), np.full_like(turn, wire_z)], axis=-1)
    wire = rod(np.concatenate([[[0.004, 0.0, wire_z]], bow, [[-0.004, 0.0, wire_z]]]), 0.0018, count(7, detail, 4))
    washer = rod(straight([0, 0, wire_z - 0.006], [0, 0, wire_z + 0.002]), 0.0085, count(14, detail, 7))
    parts = paint(join_corners(strings + eyes), "linen", 1) + paint(wire + washer, "chrome", 3)
    return both(parts).moved(translation(*REAR_AXLE))


def kickstand(foot: Floats, detail: float) -> Corners:
    """The leg from behind the crank axle to `foot` (3,), in the space of the frame, with its rubber shoe."""
    sides = count(11, detail, 7)
    top = np.array([-0.105, 0.286, -0.030])
    knee = shifted(top, -0.004, -0.018, -0.020)
    along = (foot - knee) / np.linalg.norm(foot - knee)
    leg = rod(
        spline([top, shifted(top, -0.001, -0.006, -0.012), knee, 0.5 * (knee + foot), foot - 0.004 * along], 16),
        0.0062,
        sides,
    )
    shoe = rod(
        foot + np.array([-0.034, -0.032, -0.004, 0.0])[:, None] * along,
        np.array([0.008, 0.0095, 0.0100, 0.0080]),
        sides,
    )
    block = closed_bar(straight([-0.130, 0.288, 0], [-0.075, 0.284, 0]), rounded(0.060, 0.026, sides, 5.0), [0, 1, 0])
    return join_corners([paint(leg, "chrome", 3), paint(shoe, "rubber", 3), paint(block, "steel", 5)])


def strap(centre: Floats, tall: float, deep: float, detail: float) -> tuple[Corners, Corners]:
    """A leather strap in a loop around z, `tall` × `deep` metres, and its buckle in front."""
    loop = rounded(deep, tall, count(40, detail, 16), 3.0)
    path = np.concatenate([loop, np.zeros((len(loop), 1))], axis=1)
    band = swept(np.concatenate([path, path[:1]]), rounded(0.0026, 0.0160, count(8, detail, 6), 6.0), [0, 0, 1])
    corners = count(24, detail, 12)
    buckle = plate(rounded(0.020, 0.024, corners, 6.0), 0.0030, rounded(0.013, 0.017, corners, 6.0))
    buckle = buckle.moved(translation(deep / 2 + 0.002, 0, 0) @ rotation([0, 1, 0], 90))
    return Corners(band.positions + centre, band.uvs / LEATHER_M), paint(buckle, "gold", 1).moved(translation(*centre))
