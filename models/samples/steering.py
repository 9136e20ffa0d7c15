"""The steering: fork, stem, grips, levers and the front brake; cables and the bell.

Space: that of the frame, with the wheel straight.
"""

from __future__ import annotations

import numpy as np

from .drivetrain import CRANK_AXLE
from .frame import BAR_M, FRONT_AXLE, HEAD_HIGH_M, LOWER_TUBE, STEER_AHEAD, STEER_UP, on_axis
from .mesh import Corners, join_corners, lathe, translation
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import (
    ball,
    both,
    closed_bar,
    count,
    frame,
    mirrored,
    placed,
    plate,
    rod,
    rounded,
    shifted,
    spline,
    straight,
)


def steering_parts(detail: float) -> list[Part]:
    """Fork, stem, handlebar, grips, levers and the front brake."""
    sides = count(14, detail, 8)
    bar = handlebar(count(60, detail, 24))
    grip = bar[np.linalg.norm(bar - bar[-1], axis=1) < 0.125]
    rings = 0.0164 + 0.0006 * np.cos(np.linspace(0, 2 * np.pi * 9, count(58, detail, 19)))
    wrap = rod(np.stack([np.interp(np.linspace(0, 1, len(rings)), np.linspace(0, 1, len(grip)), grip[:, i])
                         for i in range(3)], axis=1), rings, count(16, detail, 8))  # fmt: skip
    plug = placed(ball(0.0175, count(13, detail, 8), 0.35), bar[-1], bar[-1] - bar[-2])
    return [
        Part("Fork", "enamel", _fork(detail)),
        Part("Stem", "palette", _stem(detail)),
        Part("Handlebar", "palette", both(paint(rod(bar[:-1], 0.0112, sides), "chrome", 0))),
        Part("Left grip", "leather", mirrored(Corners(wrap.positions, wrap.uvs / 0.2))),
        Part("Right grip", "leather", Corners(wrap.positions, wrap.uvs / 0.2)),
        Part("Grip ends", "palette", both(paint(plug, "gold", 2))),
        Part("Brake levers", "palette", _levers(bar, detail)),
        Part("Front brake", "palette", _front_brake(detail)),
    ]


def handlebar(number: int) -> Floats:
    """The right half of the swept-back handlebar, from the stem to its end, (number, 3)."""
    # Ahead of the clamp, above it, to the right.
    knots = [(0.0, 0.0, 0.0), (0.004, 0.0, 0.030), (0.030, 0.010, 0.090), (0.040, 0.034, 0.160), (0.012, 0.048, 0.225),
             (-0.060, 0.044, 0.262), (-0.150, 0.030, 0.280), (-0.235, 0.014, 0.290)]  # fmt: skip
    clamp = on_axis(BAR_M, 0.055)
    return spline(np.array([shifted(clamp, a, u, r) for a, u, r in knots]), number)


def _fork(detail: float) -> Corners:
    n, sides = count(21, detail, 8), count(14, detail, 8)
    blade = spline([on_axis(0.400, 0.0, 0.030), on_axis(0.300, 0.001, 0.046), on_axis(0.150, 0.008, 0.0535),
                    on_axis(0.060, 0.028, 0.0555), FRONT_AXLE + 0.004 * STEER_UP + [0, 0, 0.0565]], n)  # fmt: skip
    s = np.linspace(0, 1, n)
    blades = both(paint(rod(blade, 0.0128 - 0.0060 * s**1.3, sides), "enamel"))
    tip = slice(-max(2, n // 7), None)
    socks = both(paint(rod(blade[tip], (0.0128 - 0.0060 * s**1.3)[tip] + 0.0005, sides), "chrome", 1))
    crown = closed_bar(
        straight(on_axis(0.402, 0, -0.042), on_axis(0.402, 0, 0.042), 9),
        rounded(0.030, 0.026, sides, 2.6), [float(x) for x in STEER_UP],
        np.array([0.55, 0.8, 0.95, 1.0, 1.0, 1.0, 0.95, 0.8, 0.55]),
    )  # fmt: skip
    steerer = rod(straight(on_axis(0.400), on_axis(0.424)), 0.0168, sides)
    lines = [placed(rod(straight([0, -0.0012, 0], [0, 0.0012, 0]), 0.01285, sides), blade[k], blade[k + 1] - blade[k])
             for k in (n // 5, n // 5 + 1)]  # fmt: skip
    ends = both(
        plate(rounded(0.024, 0.030, count(16, detail, 10), 2.5), 0.005).moved(
            translation(*shifted(FRONT_AXLE, 0, 0, 0.0575))
        )
    )
    return join_corners([blades, socks, paint(crown, "chrome", 1), paint(steerer, "chrome", 2),
                         both(paint(join_corners(lines), "gold", 1)), paint(ends, "chrome", 3)])  # fmt: skip


def _stem(detail: float) -> Corners:
    """The quill and its forward extension with the clamp."""
    sides = count(18, detail, 8)
    quill = rod(straight(on_axis(0.600), on_axis(BAR_M - 0.004), 3), 0.0112, sides)
    nut = rod(on_axis(HEAD_HIGH_M + 0.012) + np.array([0.0, 0.012, 0.014])[:, None] * STEER_UP,
              np.array([0.0185, 0.0185, 0.0150]), 8)  # fmt: skip
    reach = spline(
        [on_axis(BAR_M - 0.004), on_axis(BAR_M + 0.004, 0.020), on_axis(BAR_M + 0.0, 0.055)], count(10, detail, 5)
    )
    arm = rod(reach, np.linspace(0.0125, 0.0105, len(reach)), sides)
    top = placed(ball(0.0125, sides, 0.7), on_axis(BAR_M - 0.002), STEER_UP)
    clamp = rod(straight(on_axis(BAR_M, 0.055, -0.021), on_axis(BAR_M, 0.055, 0.021), 5),
                np.array([0.0135, 0.0150, 0.0155, 0.0150, 0.0135]), sides)  # fmt: skip
    return paint(join_corners([quill, arm, top, clamp]), "chrome", 1) + paint(nut, "gold", 2)


def _levers(bar: Floats, detail: float) -> Corners:
    """Levers below the grips on clamps ahead of these."""
    sides = count(11, detail, 6)
    from_end = np.linalg.norm(bar - bar[-1], axis=1)
    k = int(np.argmin(np.abs(from_end - 0.165)))
    along = (bar[k + 1] - bar[k - 1]) / np.linalg.norm(bar[k + 1] - bar[k - 1])
    clamp = rod(straight(bar[k] - 0.009 * along, bar[k] + 0.009 * along), 0.0142, sides)
    pivot = bar[k] + [0.006, -0.022, 0.010]
    post = rod(straight(bar[k], pivot), 0.0075, sides)
    mid, end = bar[int(np.argmin(np.abs(from_end - 0.09)))], bar[int(np.argmin(np.abs(from_end - 0.035)))]
    path = spline([shifted(pivot, 0.010, 0.004, -0.006), pivot, shifted(mid, 0, -0.040, 0.012),
        shifted(end, 0, -0.038, 0.010)],
                  count(16, detail, 7))  # fmt: skip
    s = np.linspace(0, 1, len(path))
    lever = closed_bar(path, rounded(0.012, 0.0058, sides, 2.4), [0, 1, 0], 0.85 + 0.25 * s - 0.25 * s**8)
    tip = ball(0.0062, sides).moved(translation(*path[-1]))
    return both(paint(join_corners([clamp, post, lever, tip]), "chrome", 2))


def _front_brake(detail: float) -> Corners:
    """A caliper with two curved arms around the tyre, and its shoes beside the rim."""
    sides = count(10, detail, 6)
    centre = on_axis(0.392, 0.024)
    shoe = on_axis(0.315, 0.012, 0.0215)
    arm = spline([shifted(centre, 0, 0.004, -0.012), shifted(centre, 0.004, 0.010, 0.014), on_axis(0.370, 0.026, 0.036),
                  on_axis(0.335, 0.020, 0.032), shifted(shoe, 0.004, 0, 0.002)], count(14, detail, 7))  # fmt: skip
    caliper = rod(arm, np.linspace(0.0048, 0.0038, len(arm)), sides)
    rubber = closed_bar(
        straight(shoe - 0.024 * STEER_AHEAD, shoe + 0.024 * STEER_AHEAD), rounded(0.008, 0.012, sides, 4), [0, 0, 1]
    )
    bolt = rod(straight(centre - 0.020 * STEER_AHEAD, centre + 0.010 * STEER_AHEAD), 0.0040, sides)
    return both(paint(caliper, "chrome", 2) + paint(rubber, "rubber", 4)) + paint(bolt, "gold", 3)


def cables(steer: Floats, detail: float) -> tuple[Part, Part]:
    """The front brake's cable, which turns with the handlebar, and the rear one, which ends at the frame."""
    bar = handlebar(90)
    from_end = np.linalg.norm(bar - bar[-1], axis=1)
    lever = bar[int(np.argmin(np.abs(from_end - 0.165)))] + [0.018, -0.020, 0.004]
    n, sides = count(48, detail, 14), count(6, detail, 4)
    front = spline([lever, shifted(lever, 0.050, -0.006, -0.030), on_axis(0.720, 0.100, 0.115),
        on_axis(0.600, 0.062, 0.045),
                    on_axis(0.470, 0.040, 0.022), on_axis(0.402, 0.030, 0.016)], n)  # fmt: skip
    left = lever * [1, 1, -1]
    loop = np.array(
        [left, shifted(left, 0.050, -0.006, 0.030), on_axis(0.720, 0.095, -0.115), on_axis(0.610, 0.055, -0.062)]
    )
    turned = loop @ steer[:3, :3].T + steer[:3, 3]
    lower = spline(LOWER_TUBE, 40)
    side = np.array([0.0, -0.004, -0.0185])
    stay = [[-0.100, 0.312, -0.038], [-0.270, 0.334, -0.053], [-0.420, 0.356, -0.062]]
    rear = spline(np.array([*turned, lower[5] + side, lower[16] + side, lower[28] + side,
                            shifted(CRANK_AXLE, 0.020, 0.032, -0.026), *stay]), 2 * n)  # fmt: skip
    return (
        Part("Front cable", "palette", paint(rod(front, 0.0025, sides), "linen", 6)),
        Part("Rear cable", "palette", paint(rod(rear, 0.0025, sides), "linen", 6)),
    )


def bell(detail: float) -> Corners:
    """A bell on the handlebar, right of the stem."""
    sides = count(32, detail, 12)
    bar = handlebar(90)
    k = int(np.argmin(np.abs(bar[:, 2] - 0.078)))
    up = np.array([-0.25, 0.95, 0.10])
    dome = np.array([(0.0, 0.006), (0.0255, 0.006), (0.0275, 0.008), (0.0280, 0.011), (0.0270, 0.0125),
        (0.0258, 0.0150),
                     (0.0235, 0.0205), (0.0190, 0.0255), (0.0120, 0.0290), (0.0055, 0.0300), (0.0050, 0.0315),
                         (0.0035, 0.0335),
                     (0.0, 0.0340)])  # fmt: skip
    shell = lathe(dome, np.arange(len(dome), dtype=np.float64), sides)
    foot = rod(straight([0, -0.004, 0], [0, 0.010, 0]), 0.0060, count(13, detail, 8))
    thumb = rod(spline([[0.016, 0.006, 0.012], [0.028, 0.006, 0.016], [0.040, 0.010, 0.012]], 8), 0.0030, 8)
    place = frame(bar[k] + 0.009 * up, up)
    along = (bar[k + 1] - bar[k - 1]) / np.linalg.norm(bar[k + 1] - bar[k - 1])
    clamp = rod(straight(bar[k] - 0.006 * along, bar[k] + 0.006 * along), 0.0132, count(16, detail, 8))
    return join_corners([paint(shell, "gold", 0).moved(place), paint(foot + thumb, "chrome", 4).moved(place),
                         paint(clamp, "chrome", 4)])  # fmt: skip
