"""The bicycle's frame with lugs and stays, chain guard and seat post, and the geometry of its steering.

Space: metres, forwards +x, up +y, the right side +z; the origin is on the ground below the crank axle.
"""

from __future__ import annotations

import numpy as np

from .drivetrain import CRANK_AXLE, REAR_AXLE
from .mesh import Corners, join_corners, rotation, sheet, translation, tube
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import (
    Point,
    both,
    count,
    plate,
    rod,
    rounded,
    shifted,
    spline,
    straight,
    turned_about_z,
)

FRONT_AXLE = np.array([0.690, 0.350, 0.0])
HEAD_DEGREES, RAKE_M = 70.0, 0.060
STEER_UP = np.array([-np.cos(np.radians(HEAD_DEGREES)), np.sin(np.radians(HEAD_DEGREES)), 0.0])
STEER_AHEAD = np.array([STEER_UP[1], -STEER_UP[0], 0.0])
STEER_FOOT = FRONT_AXLE - RAKE_M * STEER_AHEAD  # the point of the steering axis that is nearest to the axle
HEAD_LOW_M, HEAD_HIGH_M, BAR_M = 0.420, 0.600, 0.705  # along the axis, from that point
SEAT_UP = STEER_UP  # seat tube and head tube are parallel
SEAT_TUBE_M = 0.470


def on_axis(along: float, ahead: float = 0.0, side: float = 0.0) -> Floats:
    """A point by its distances along the steering axis, ahead of it and to its right."""
    return np.asarray(STEER_FOOT + along * STEER_UP + ahead * STEER_AHEAD + np.array([0.0, 0.0, side]))


def on_seat(along: float) -> Floats:
    """A point on the axis of the seat tube."""
    return np.asarray(CRANK_AXLE + along * SEAT_UP)


def steering(degrees: float) -> Floats:
    """The 4×4 matrix of a turn of the steering; positive is left."""
    turn = rotation([float(x) for x in STEER_UP], degrees)
    return np.asarray(translation(*STEER_FOOT) @ turn @ translation(*-STEER_FOOT))


LOWER_TUBE: list[Point] = [on_axis(0.450), [0.305, 0.525, 0.0], [0.130, 0.352, 0.0], CRANK_AXLE]
UPPER_TUBE: list[Point] = [on_axis(0.572), [0.275, 0.640, 0.0], [0.105, 0.480, 0.0], on_seat(0.165)]


def frame_parts(detail: float) -> list[Part]:
    """Tubes, lugs and stays that do not turn with the handlebar."""
    return [
        Part("Head tube", "enamel", _head_tube(detail)),
        Part("Lower tube", "enamel", _lined(spline(LOWER_TUBE, count(38, detail, 12)), 0.0165, detail)),
        Part("Upper tube", "enamel", _lined(spline(UPPER_TUBE, count(35, detail, 12)), 0.0143, detail)),
        Part("Seat tube", "enamel", _lined(straight(on_seat(0.0), on_seat(SEAT_TUBE_M), 12), 0.0146, detail)),
        Part("Lugs", "enamel", _lugs(detail)),
        Part("Stays", "enamel", _stays(detail)),
        Part("Dropouts", "palette", _dropouts(detail), 30),
        Part("Bottom bracket", "enamel", _bottom_bracket(detail)),
        Part("Head badge", "palette", _badge(detail), 30),
        Part("Chain guard", "enamel sheet", _chain_guard(detail), 30),
        Part("Seat post", "palette", _seat_post(detail)),
    ]


def _lined(path: Floats, radius: float, detail: float) -> Corners:
    """A tube with a pair of gold rings near each end."""
    sides = count(18, detail, 8)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    parts = [paint(tube(path, radius, sides), "enamel")]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    for place in (0.075, 0.083, length - 0.095, length - 0.087):
        ends = [np.array([np.interp(place + d, along, path[:, i]) for i in range(3)]) for d in (-0.0013, 0.0013)]
        parts.append(paint(rod(np.stack(ends), radius + 0.00045, sides), "gold", 1))
    return join_corners(parts)


def _head_tube(detail: float) -> Corners:
    sides = count(22, detail, 10)
    s = np.array([0.0, 0.002, 0.010, 0.014, 0.020, 0.160, 0.166, 0.170, 0.178, 0.180])
    r = np.array([0.0195, 0.0212, 0.0212, 0.0198, 0.0185, 0.0185, 0.0198, 0.0212, 0.0212, 0.0195])
    body = paint(rod(on_axis(HEAD_LOW_M) + s[:, None] * STEER_UP, r, sides), "enamel")
    cups = []
    for place, outward in ((HEAD_LOW_M, -1.0), (HEAD_HIGH_M, 1.0)):
        t = outward * np.array([-0.001, 0.0, 0.006, 0.008, 0.009, 0.013])
        cup = rod(on_axis(place) + t[:, None] * STEER_UP,
                  np.array([0.0190, 0.0215, 0.0215, 0.0200, 0.0180, 0.0165]), sides)  # fmt: skip
        cups.append(paint(cup, "gold", 2))
    return body + join_corners(cups)


def _lugs(detail: float) -> Corners:
    """Sleeves where tubes meet, thicker than these, edged in gold."""
    sides, parts = count(19, detail, 8), []
    lower, upper = spline(LOWER_TUBE, 60), spline(UPPER_TUBE, 60)
    joints = [(lower[:8], 0.0186), (upper[:8], 0.0164), (lower[:-8:-1], 0.0186), (upper[:-8:-1], 0.0164)]
    joints += [(straight(on_seat(a), on_seat(b), 7), 0.0166) for a, b in ((0.0, 0.065), (0.21, 0.13), (0.47, 0.415))]
    for path, radius in joints:
        taper = radius - np.linspace(0, 0.0011, len(path))
        parts.append(paint(rod(path, taper, sides), "enamel", 1))
        rim = straight(path[-1] - 0.05 * (path[-1] - path[-2]), path[-1] + 0.10 * (path[-1] - path[-2]))
        parts.append(paint(rod(rim, taper[-1] + 0.0003, sides), "gold", 1))
    clamp = rod(straight(on_seat(0.452), on_seat(0.474)), 0.0178, sides)
    bolt = rod(
        straight(shifted(on_seat(0.463), -0.020, -0.007, -0.011), shifted(on_seat(0.463), -0.020, -0.007, 0.011)),
        0.0042,
        10,
    )
    return join_corners([*parts, paint(clamp, "chrome", 1), paint(bolt, "chrome", 4)])


def _stays(detail: float) -> Corners:
    sides, n = count(13, detail, 7), count(21, detail, 8)
    chain = spline(
        [[-0.012, 0.287, 0.020], [-0.100, 0.298, 0.0345], [-0.270, 0.322, 0.052], [-0.462, 0.349, 0.0655]], n
    )
    top = on_seat(0.440)
    seat = spline([shifted(top, -0.004, -0.004, 0.013), shifted(top, -0.040, -0.044, 0.028),
        shifted(top, -0.110, -0.126, 0.045),
                   shifted(REAR_AXLE, 0.010, 0.014, 0.0655)], n)  # fmt: skip
    bridge = straight([-0.132, 0.303, -0.037], [-0.132, 0.303, 0.037])
    s = np.linspace(0, 1, n)
    pair = paint(rod(chain, 0.0098 - 0.0026 * s, sides) + rod(seat, 0.0078 - 0.0016 * s, sides), "enamel")
    return both(pair) + paint(rod(bridge, 0.0060, sides), "enamel")


def _dropouts(detail: float) -> Corners:
    outline = np.array([(0.016, -0.004), (0.020, 0.006), (0.014, 0.020), (0.004, 0.020), (-0.008, 0.012),
        (-0.014, 0.002),
                        (-0.012, -0.010), (0.0, -0.014)])  # fmt: skip
    smooth = spline(np.concatenate([outline, np.zeros((8, 1))], axis=1), count(26, detail, 10) + 1, closed=True)
    shape = plate(smooth[:-1, :2], 0.0050).moved(translation(*REAR_AXLE) @ translation(0, 0, 0.0665))
    return paint(both(shape), "chrome", 4)


def _bottom_bracket(detail: float) -> Corners:
    shell = [(0.0, -0.0345), (0.0205, -0.0345), (0.0222, -0.0325), (0.0222, 0.0325), (0.0205, 0.0345), (0.0, 0.0345)]
    return paint(turned_about_z(shell, count(26, detail, 10)), "enamel").moved(translation(*CRANK_AXLE))


def _badge(detail: float) -> Corners:
    """An oval plate with a wheel in relief on the front of the head tube."""
    oval = plate(rounded(0.030, 0.044, count(32, detail, 14), 2.0), 0.0024)
    ring = plate(
        rounded(0.018, 0.018, count(24, detail, 12), 2.0), 0.0024, rounded(0.013, 0.013, count(24, detail, 12), 2.0)
    )
    spokes = [rod(straight([0, 0, 0], [0.008 * np.cos(a), 0.008 * np.sin(a), 0]), 0.0009, 5) for a in
              np.pi / 4 * np.arange(8)]  # fmt: skip
    wheel = join_corners([ring, *spokes]).moved(translation(0, 0, 0.0012))
    whole = paint(oval, "enamel", 4) + paint(wheel, "gold", 0)
    edge = plate(rounded(0.0325, 0.0465, count(32, detail, 14), 2.0), 0.0016)
    whole += paint(edge, "gold", 1)
    # The plate's z is ahead, its y along the axis.
    turn = np.eye(4)
    turn[:3, :3] = np.stack([np.cross(STEER_UP, STEER_AHEAD), STEER_UP, STEER_AHEAD], axis=1)
    return whole.moved(translation(*on_axis(0.511, 0.0190)) @ turn)


def _chain_guard(detail: float) -> Corners:
    """A plate beside the upper run of the chain, open all around, with a lip above and a gold line."""
    n = count(48, detail, 16)
    top = spline([[0.148, 0.262, 0], [0.120, 0.362, 0], [0.020, 0.412, 0], [-0.200, 0.405, 0], [-0.400, 0.400, 0],
                  [-0.505, 0.392, 0]], n)  # fmt: skip
    low = spline([[0.118, 0.258, 0], [0.088, 0.335, 0], [0.010, 0.372, 0], [-0.200, 0.366, 0], [-0.400, 0.368, 0],
                  [-0.500, 0.384, 0]], n)  # fmt: skip
    stops = np.array([0.0, 0.10, 0.26, 0.32, 0.68, 0.74, 0.90, 1.0])
    flat = low[:, None] + (top - low)[:, None] * stops[None, :, None]
    flat[..., 2] = 0.0610 + 0.0015 * np.sin(np.pi * stops)
    up = (top - low) / np.linalg.norm(top - low, axis=1, keepdims=True)
    lips = [top + up * 0.003 + [0, 0, 0.0580], top + up * 0.0040 + [0, 0, 0.0520], top + up * 0.0035 + [0, 0, 0.0440]]
    points = np.concatenate([flat, np.stack(lips, axis=1)], axis=1)
    columns = np.arange(points.shape[1], dtype=np.float64)
    whole = sheet(points[:, ::-1], np.broadcast_to(columns[::-1, None], (*points.shape[:2], 2)))
    lined = np.isin(np.floor(whole.uvs[..., 0].mean(axis=1)), [2, 4])
    arms = []
    for start, end in (
        ([0.060, 0.356, 0.0600], [0.012, 0.296, 0.0330]),
        ([-0.385, 0.378, 0.0600], [-0.392, 0.340, 0.0600]),
    ):
        arms.append(rod(straight(start, end), 0.0024, count(6, detail, 5)))
    return join_corners([paint(whole.where(~lined), "enamel"), paint(whole.where(lined), "gold", 1),
                         paint(join_corners(arms), "chrome", 4)])  # fmt: skip


def _seat_post(detail: float) -> Corners:
    post = rod(straight(on_seat(0.40), on_seat(0.585), 3), 0.0128, count(18, detail, 8))
    clamp = rod(
        straight(shifted(on_seat(0.575), 0, 0, -0.026), shifted(on_seat(0.575), 0, 0, 0.026)),
        0.0105,
        count(16, detail, 8),
    )
    return paint(post, "chrome", 1) + paint(clamp, "steel", 4)
