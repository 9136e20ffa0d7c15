"""The flowers in the basket: heads of petal cards, sprigs of leaf cards, and ivy that hangs over the rim.

Every flower and sprig is a node; those of one kind share a mesh. Built about the middle of the basket's rim.
"""

from __future__ import annotations

import numpy as np

from .basket import CENTRE, HIGH_M, loop
from .foliage import card
from .mesh import Corners, join_corners, lathe, rotation, translation
from .noise import Floats
from .palette import paint
from .parts import Part
from .sweeps import ball, count, frame, rod, spline

GOLDEN_DEGREES = 137.50776
DOME = (0.113, 0.166, 0.105)  # semi-axes of the bouquet: ahead, to the side, up
# Where each branch of ivy hangs over the rim, 0…1 around it, and its length in metres.
IVY = ((0.07, 0.20), (0.19, 0.15), (0.31, 0.23), (0.44, 0.14), (0.70, 0.17), (0.83, 0.24), (0.93, 0.16))
MIDDLE = CENTRE + np.array([0.0, HIGH_M - 0.012, 0.0])


def bouquet_parts(detail: float) -> list[Part]:
    """All flowers, in the space of the frame."""
    rng = np.random.default_rng(90)
    heads = _spots(30, 0.0, 0.93, rng)
    roses, ranunculi, anemones, daisies = heads[0:30:4], heads[1:30:4], heads[2:30:4], heads[3:30:4]
    daisies += _spots(9, 0.35, 0.98, rng, turn=77)
    parts = [
        Part("Rose", "foliage", _rose(detail), 80, copies=[_lifted(m, 0.014) for m in roses]),
        Part("Ranunculus", "foliage", _ranunculus(detail), 80, copies=[_lifted(m, 0.010) for m in ranunculi]),
        Part("Anemone", "foliage", _anemone(detail), 80, copies=[_lifted(m, 0.020) for m in anemones]),
        Part("Daisy", "foliage", _daisy(), 80, copies=[_lifted(m, 0.022) for m in daisies]),
    ]
    for name, places, heart in (("Anemone", anemones, "ink"), ("Daisy", daisies, "pollen")):
        lift, radius = (0.020, 0.0080) if heart == "ink" else (0.022, 0.0082)
        centre = paint(ball(radius, count(10, detail, 7), 0.55), heart, 1).moved(translation(0, 0.002, 0))
        parts.append(Part(f"{name} heart", "palette", centre, 80, copies=[_lifted(m, lift) for m in places]))
    parts += [
        Part("Lavender", "foliage", _spray("lavender", 0.115, 0.028, 3, detail), 80,
             copies=[_lifted(m, 0.004) for m in _spots(16, 0.1, 0.9, rng, turn=31)]),
        Part("Gypsophila", "foliage", _spray("gypsophila", 0.090, 0.078, 3, detail), 80,
             copies=[_lifted(m, -0.012) for m in _spots(18, 0.15, 1.0, rng, turn=113)]),
        Part("Fern", "foliage", card("fern", 0.150, 0.066, bend=1.1, cup=0.006, detail=detail), 80,
             copies=[_leaning(m, 34) for m in _spots(14, 0.62, 1.0, rng, turn=9)]),
        Part("Eucalyptus", "foliage", _sprig("eucalyptus", 0.150, 0.026, 0.026, 15, detail), 80,
             copies=[_leaning(m, 28) for m in _spots(14, 0.62, 1.02, rng, turn=58)]),
        Part("Rose leaves", "foliage", _sprig("rose leaf", 0.085, 0.038, 0.027, 7, detail), 80,
             copies=[_leaning(m, 14) for m in _spots(40, 0.05, 1.0, rng, turn=160)]),
        Part("Young leaves", "foliage", _sprig("young leaf", 0.070, 0.034, 0.020, 9, detail), 80,
             copies=[_leaning(m, 10) for m in _spots(30, 0.0, 0.95, rng, turn=201)]),
        Part("Grass", "foliage", card("grass", 0.170, 0.012, bend=0.9, cup=0.001, detail=detail), 80,
             copies=[_leaning(m, 12) for m in _spots(22, 0.1, 0.9, rng, turn=250)]),
        Part("Copper leaves", "foliage", _sprig("autumn leaf", 0.090, 0.036, 0.023, 7, detail), 80,
             copies=[_leaning(m, 18) for m in _spots(9, 0.3, 0.97, rng, turn=300)]),
        Part("Small fern", "foliage", card("fern tip", 0.085, 0.050, bend=0.8, cup=0.004, detail=detail), 80,
             copies=[_leaning(m, 20) for m in _spots(14, 0.7, 1.02, rng, turn=20)]),
        Part("Rosebud", "foliage", _spray("bud", 0.032, 0.017, 3, detail), 80,
             copies=[_lifted(m, 0.010) for m in _spots(12, 0.1, 0.95, rng, turn=331)]),
    ]  # fmt: skip
    for number, (turn, length) in enumerate(IVY):
        leaves, stem = _ivy(turn, length, number, detail)
        parts.append(Part(f"Ivy {number + 1}", "foliage", leaves, 80))
        parts.append(Part(f"Ivy stem {number + 1}", "palette", paint(stem, "stem", 5)))
    parts.append(Part("Moss", "palette", _moss(detail), 80))
    return parts


def _spots(number: int, inner: float, outer: float, rng: np.random.Generator, turn: float = 0.0) -> list[Floats]:
    """Places on the dome, evenly spread: 4×4 matrices whose y axis points out of the bouquet."""
    spots = []
    for i in range(number):
        share = np.sqrt(inner**2 + (outer**2 - inner**2) * (i + 0.5) / number)
        angle = np.radians(turn + GOLDEN_DEGREES * i) + 0.15 * rng.standard_normal()
        lean = share * np.pi / 2 * 0.92
        reach = np.sin(lean) * _corner(angle)
        unit = np.array([reach * np.cos(angle), np.cos(lean), reach * np.sin(angle)])
        at = MIDDLE + unit * np.array([DOME[0], DOME[2], DOME[1]])
        outward = unit / np.array([DOME[0], DOME[2], DOME[1]])
        outward = outward / np.linalg.norm(outward) + [0, 0.45, 0] + 0.10 * rng.standard_normal(3)
        spots.append(frame(at, outward, float(rng.uniform(0, 360))))
    return spots


def _corner(angle: Floats | float) -> Floats:
    """Distance of a superellipse from its middle, 1 on its axes: the bouquet fills the corners of the basket."""
    return np.asarray((np.abs(np.cos(angle)) ** 3 + np.abs(np.sin(angle)) ** 3) ** (-1 / 3))


def _lifted(matrix: Floats, by: float) -> Floats:
    return np.asarray(matrix @ translation(0, by, 0))


def _leaning(matrix: Floats, degrees: float) -> Floats:
    """Rooted below the dome's surface, and tilted from its normal."""
    return np.asarray(matrix @ translation(0, -0.030, 0) @ rotation([1, 0, 0], degrees))


def _whorl(petal: Corners, number: int, open_degrees: float, out: float, up: float, start: float) -> list[Corners]:
    """Petals around y that lean outwards from upright by `open_degrees`."""
    petals = []
    for i in range(number):
        turn = rotation([0, 1, 0], start + 360 / number * i)
        petals.append(petal.moved(turn @ translation(0, up, out) @ rotation([1, 0, 0], open_degrees)))
    return petals


def _rose(detail: float) -> Corners:
    """Five whorls of cupped petals: upright and dark inside, open and pale outside."""
    petals: list[Corners] = []
    for kind, number, size, lean, out, up, bend in (
        ("heart petal", 3, 0.026, -6, 0.003, 0.0, -0.5), ("heart petal", 4, 0.031, 4, 0.005, -0.002, -0.4),
        ("rose petal", 5, 0.036, 16, 0.006, -0.005, -0.2), ("rose petal", 6, 0.041, 34, 0.007, -0.009, 0.3),
        ("rose petal", 7, 0.045, 56, 0.007, -0.012, 0.6),
    ):  # fmt: skip
        leaf = card(kind, size, size * 1.05, bend=bend, cup=-0.30 * size, cupped=True, detail=detail)
        petals += _whorl(leaf, number, lean, out, up, 23.0 * number)
    return join_corners(petals)


def _ranunculus(detail: float) -> Corners:
    """Many round petals in tight whorls."""
    petals: list[Corners] = []
    for ring in range(5):
        size, lean = 0.018 + 0.0038 * ring, -12 + 21 * ring
        leaf = card(
            "ranunculus petal", size, size * 1.1, bend=-0.9 + 0.22 * ring, cup=-0.34 * size, cupped=True, detail=detail
        )
        petals += _whorl(leaf, 4 + ring, lean, 0.002 + 0.0014 * ring, -0.0016 * ring, 31.0 * ring)
    return join_corners(petals)


def _anemone(detail: float) -> Corners:
    petals: list[Corners] = []
    for lean, up, start in ((66, 0.0, 0.0), (76, -0.002, 26.0)):
        leaf = card("anemone petal", 0.032, 0.027, bend=-0.35, cup=-0.003, detail=detail)
        petals += _whorl(leaf, 7, lean, 0.004, up, start)
    return join_corners(petals)


def _daisy() -> Corners:
    leaf = card("daisy petal", 0.019, 0.0074, bend=0.25, cup=-0.001, detail=0.0)
    return join_corners(_whorl(leaf, 17, 76, 0.005, 0.0, 0.0) + _whorl(leaf, 17, 84, 0.005, -0.001, 10.6))


def _spray(kind: str, length: float, width: float, planes: int, detail: float) -> Corners:
    """Crossed cards about y."""
    leaf = card(kind, length, width, bend=0.12, detail=detail)
    return join_corners([leaf.moved(rotation([0, 1, 0], 180 / planes * i)) for i in range(planes)])


def _sprig(kind: str, length: float, leaf_m: float, wide_m: float, leaves: int, detail: float) -> Corners:
    """A bent stem, as a narrow card of grass, with leaves on both sides and one at its tip."""
    stem = card("grass", length, 0.005, bend=0.8, detail=detail)
    parts = [stem, stem.moved(rotation([0, 1, 0], 90))]
    for i in range(leaves):
        t = 0.22 + 0.78 * (i + 1) / leaves
        angle = 0.8 * t
        at = length * np.array([0.0, np.sin(angle) / 0.8, (1 - np.cos(angle)) / 0.8])
        side = -1 if i % 2 else 1
        size = 1.0 - 0.35 * t
        spread = 58.0 if i < leaves - 1 else 0.0
        leaf = card(kind, leaf_m * size, wide_m * size, bend=0.5, cup=-0.10 * wide_m, detail=detail)
        place = translation(*(float(c) for c in at)) @ rotation([1, 0, 0], float(np.degrees(angle)))
        parts.append(leaf.moved(place @ rotation([0, 1, 0], side * 20.0) @ rotation([0, 0, 1], -side * spread)))
    return join_corners(parts)


def _ivy(turn: float, length: float, seed: int, detail: float) -> tuple[Corners, Corners]:
    """Leaves and stem of a branch that hangs over the rim at `turn` around it."""
    rng = np.random.default_rng([91, seed])
    drift = 0.02 * rng.standard_normal()
    t = np.array([0.0, 0.12, 0.25, 0.5, 0.75, 1.0])
    rise = np.array([0.05, 0.16, 0.02, -0.35, -0.70, -1.0]) * [0.6, 0.75, 1, 1, 1, 1]
    rise = 1 + np.where(t > 0.2, rise * length / 0.214, rise * 0.4)
    away = np.array([-0.030, 0.010, 0.030, 0.026, 0.024, 0.030])
    knots = np.stack([loop(np.array(turn + drift * k), h, a) for k, h, a in zip(t, rise, away, strict=True)])
    path = spline(knots, count(30, detail, 10))
    leaves = []
    number = int(length / 0.0135)
    for i in range(number):
        k = min(len(path) - 2, int((0.15 + 0.85 * i / number) * (len(path) - 1)))
        out = loop(np.array(turn), 0.5, 0.1) - loop(np.array(turn), 0.5, 0.0)
        out /= np.linalg.norm(out)
        side = np.cross([0.0, 1.0, 0.0], out) * (1 if i % 2 else -1)
        size = (0.036 - 0.014 * i / number) * rng.uniform(0.85, 1.15)
        leaf = card("ivy", size * 1.15, size * 1.1, bend=-0.3, cup=-0.10 * size, detail=detail)
        grow = 0.7 * side + np.array([0.0, -0.45, 0.0]) + 0.25 * out + 0.18 * rng.standard_normal(3)
        grow /= np.linalg.norm(grow)
        face = out + np.array([0.0, 0.5, 0.0]) + 0.2 * rng.standard_normal(3)
        face -= (face @ grow) * grow
        face /= np.linalg.norm(face)
        place = np.eye(4)
        place[:3, :3] = np.stack([np.cross(grow, face), grow, face], axis=1)
        place[:3, 3] = path[k]
        leaves.append(leaf.moved(place))
    return join_corners(leaves), rod(path, 0.0013, count(5, detail, 3))


def _moss(detail: float) -> Corners:
    """The ground that flowers stand in, so that nobody looks through the bouquet to the bottom of the basket."""
    angle = np.linspace(0, np.pi / 2, count(12, detail, 5))
    profile = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    profile[-1, 0] = 0.0
    dome = lathe(profile, angle, count(40, detail, 14))
    size = np.array([DOME[0] * 0.96, DOME[2] * 0.62, DOME[1] * 0.96])
    round_ = _corner(np.arctan2(dome.positions[..., 2], dome.positions[..., 0]))
    wide = np.stack([round_, np.ones_like(round_), round_], axis=-1)
    return paint(Corners(dome.positions * wide * size + MIDDLE - [0, 0.012, 0], dome.uvs), "stem", 12)
