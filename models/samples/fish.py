"""A koi: its body and fins, their joints, and its coats.

Space: metres, nose towards +z, back up, the origin where the rod holds the fish. `s` runs along the body, from
the nose (0) to the root of the tail (1); `a` runs around it, from the belly over the left flank to the back (π).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from . import noise, picture
from .finishes import scales
from .mesh import Corners, Mesh, join_corners, join_meshes, lathe, rotation, sheet, translation, tube, weld
from .noise import Floats

NOSE_M, LENGTH_M = 0.060, 0.135
STATIONS = [0.0, 0.004, 0.016, 0.045, 0.11, 0.20, 0.34, 0.52, 0.70, 0.86, 0.95, 1.0]
HEIGHT = PchipInterpolator(
    STATIONS, [0, 0.0024, 0.0048, 0.0080, 0.0124, 0.0170, 0.0215, 0.0205, 0.0145, 0.0092, 0.0080, 0.0062]
)
WIDTH = PchipInterpolator(
    STATIONS, [0, 0.0028, 0.0055, 0.0086, 0.0120, 0.0150, 0.0175, 0.0155, 0.0098, 0.0048, 0.0030, 0.0018]
)
RISE = PchipInterpolator(
    STATIONS, [-0.0040, -0.0040, -0.0039, -0.0034, -0.0020, 0.0, 0.0012, 0.0012, 0.0012, 0.0020, 0.0024, 0.0026]
)

BODY_V = 0.88  # share of the skin picture, from its top, that shows the body; the eye is below
EYE_UV = (0.03, 0.915, 0.06, 0.07)  # corner and size of the eye's patch


@dataclass(frozen=True)
class Joint:
    """A joint: its place in the bind pose, its axis, and its motion in degrees."""

    name: str
    parent: int | None
    at: tuple[float, float, float]
    axis: tuple[float, float, float] = (0.0, 1.0, 0.0)
    rest: float = 0.0  # of a fish that circles to its left
    swing: float = 0.0
    lag: float = 0.0  # radians behind the head


FISH_JOINTS = (
    Joint("trunk", None, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 7.0),
    Joint("head", 0, (0.0, 0.0, 0.026), rest=9.0, swing=4.5, lag=0.0),
    Joint("tail 1", 0, (0.0, 0.0, -0.014), rest=-6.0, swing=5.0, lag=1.3),
    Joint("tail 2", 2, (0.0, 0.0, -0.032), rest=-7.0, swing=8.5, lag=1.9),
    Joint("tail 3", 3, (0.0, 0.0, -0.050), rest=-7.0, swing=11.0, lag=2.5),
    Joint("tail 4", 4, (0.0, 0.0, -0.067), rest=-6.0, swing=14.0, lag=3.1),
    Joint("tail fin", 5, (0.0, 0.0, -0.088), rest=-5.0, swing=16.0, lag=3.9),
    Joint("left fin", 0, (0.0125, -0.0085, 0.0285), (0.35, 0.0, 1.0), 0.0, 15.0, 0.6),
    Joint("right fin", 0, (-0.0125, -0.0085, 0.0285), (-0.35, 0.0, 1.0), 0.0, -15.0, 1.4),
)
SPINE = (1, 0, 2, 3, 4, 5, 6)  # from head to tail
BLEND_M = 0.009  # length on either side of a joint in which two joints share the vertices
Skin = dict[str, NDArray[np.uint8] | NDArray[np.float32]]


def fish_meshes() -> tuple[Mesh, Skin, Mesh, Skin]:
    """The body with its skin, and the fins with theirs. JOINTS_0 are indices into FISH_JOINTS."""
    solid = weld(join_corners([_body(), *_eyes(), *_barbels()]), 50)
    spine = weld(join_corners([_tail(), _dorsal(), _anal(), *_pelvic()]), 80)
    left, right = (weld(_pectoral(side), 80) for side in (1, -1))
    weights = np.concatenate([_spine_weights(spine.positions), _fin_weights(left, 7), _fin_weights(right, 8)])
    return solid, _skin(_spine_weights(solid.positions)), join_meshes(spine, left, right), _skin(weights)


def surface(s: Floats, a: Floats) -> Floats:
    """Points (…, 3) of the body."""
    high, wide = HEIGHT(s), WIDTH(s)
    x, y = np.sin(a), -np.cos(a)
    # Fuller shoulders than an ellipse, and a keel towards the tail.
    full = 1 + 0.06 * np.sin(2 * a) ** 2
    return np.stack([wide * x * full, RISE(s) + high * y * full, NOSE_M - LENGTH_M * s], axis=-1)


def _spine_weights(points: Floats) -> Floats:
    """Weights (n, joints) by the position along the spine; at most three joints share a vertex."""
    z = points[:, 2]
    past = [np.ones_like(z)]
    for joint in SPINE[1:]:
        # The trunk begins at the head's joint, not at its own.
        start = FISH_JOINTS[1].at[2] if joint == 0 else FISH_JOINTS[joint].at[2]
        past.append(noise.step(-BLEND_M, BLEND_M, start - z))
    past.append(np.zeros_like(z))
    weights = np.zeros((len(z), len(FISH_JOINTS)))
    for i, joint in enumerate(SPINE):
        weights[:, joint] = past[i] - past[i + 1]
    return weights.clip(0)


def _fin_weights(fin: Mesh, joint: int) -> Floats:
    """Weights of a paired fin: its root moves with the body, the rest with its own joint."""
    reach = np.linalg.norm(fin.positions - np.array(FISH_JOINTS[joint].at), axis=1)
    own = noise.step(0.001, 0.012, reach)
    weights = _spine_weights(fin.positions) * (1 - own)[:, None]
    weights[:, joint] = own
    return weights


def _skin(weights: Floats) -> Skin:
    """The four joints with the largest weights of each vertex, with weights that sum to 1."""
    strongest = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    kept = np.take_along_axis(weights, strongest, axis=1)
    kept = (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)
    kept[:, 0] += 1 - kept.sum(axis=1, dtype=np.float32)
    return {"JOINTS_0": np.where(kept > 0, strongest, 0).astype(np.uint8), "WEIGHTS_0": kept}


def _body() -> Corners:
    s = np.concatenate([[0, 0.004, 0.012, 0.025], np.linspace(0.045, 0.98, 33), [1.0, 1.0]])
    a = np.linspace(0, 2 * np.pi, 29)
    turn = a.copy()
    turn[-1] = 0.0
    points = surface(*np.meshgrid(s, turn, indexing="ij"))
    points[0] = points[0].mean(axis=0)
    points[-1] = points[-1].mean(axis=0) - [0, 0, 0.0055]
    uvs = np.stack(
        np.broadcast_arrays((0.01 + 0.98 * s)[:, None], (0.01 + (BODY_V - 0.02) * a / (2 * np.pi))[None, :]), axis=-1
    )
    return sheet(points, uvs)


def _eyes() -> list[Corners]:
    b = np.linspace(0, np.pi / 2, 7)
    profile = np.stack([0.0026 * np.cos(b), 0.0017 * np.sin(b)], axis=-1)
    profile[-1, 0] = 0.0
    u, v, du, dv = EYE_UV
    globe = lathe(profile, v + dv * (1 - b / (np.pi / 2)), 16, du, u)
    place = surface(np.array(0.115), np.array(0.615 * np.pi))
    eyes = []
    for side in (1, -1):
        turn = (
            translation(side * (place[0] - 0.0003), place[1], place[2])
            @ rotation([0, 0, 1], -side * 74)
            @ rotation([1, 0, 0], 16)
        )
        eyes.append(globe.moved(turn))
    return eyes


def _barbels() -> list[Corners]:
    s = np.linspace(0, 1, 7)
    barbels = []
    for side in (1, -1):
        path = np.stack(
            [side * (0.0042 + 0.0042 * s), -0.0072 - 0.0055 * s**1.4, NOSE_M - 0.0035 - 0.004 * s**2], axis=-1
        )
        thin = tube(path, 0.00065 * (1 - 0.75 * s), 6)
        barbels.append(Corners(thin.positions, 0 * thin.uvs + [0.06, 0.30] + thin.uvs * [0.5, 1.0]))
    return barbels


def _fan(root: Floats, tips: Floats, bow: Floats) -> Corners:
    """A fin: rays from `root` (k, 3) to `tips` (k, 3), bent by `bow` (3,) in the middle; u grows outwards."""
    r = np.linspace(0, 1, 9)
    points = root[:, None] + (tips - root)[:, None] * r[None, :, None] + np.sin(np.pi * r)[None, :, None] * bow
    v = np.linspace(0.02, 0.98, len(root))
    return sheet(points, np.stack(np.broadcast_arrays((0.01 + 0.98 * r)[None, :], v[:, None]), axis=-1))


def _tail() -> Corners:
    k = np.linspace(-1, 1, 19)
    root = np.stack([0 * k, 0.0026 + 0.0078 * k, -0.0695 + 0.0015 * (1 - k**2)], axis=-1)
    reach = 0.025 + 0.023 * np.abs(k) ** 1.4
    angle = 0.62 * k
    tips = root + np.stack([0 * k, reach * np.sin(angle) * 1.5, -reach * np.cos(angle)], axis=-1)
    return _fan(root, tips, np.array([0.0, 0.0, 0.0]))


def _dorsal() -> Corners:
    k = np.linspace(0, 1, 15)
    s = 0.34 + 0.36 * k
    root = surface(s, np.full_like(s, np.pi)) - [0, 0.0015, 0]
    high = 0.0020 + 0.0165 * np.interp(k, [0, 0.10, 0.22, 0.5, 0.8, 1], [0.25, 0.85, 1.0, 0.72, 0.5, 0.28])
    tips = root + np.stack([0 * k, high, -high * 0.75], axis=-1)
    return _fan(root, tips, np.zeros(3))


def _anal() -> Corners:
    k = np.linspace(0, 1, 8)
    s = 0.78 + 0.08 * k
    root = surface(s, np.zeros_like(s)) + np.array([0, 0.0015, 0])
    long = 0.016 - 0.008 * k
    return _fan(root, root + np.stack([0 * k, -long * 0.8, -long * 0.75], axis=-1), np.zeros(3))


def _pelvic() -> list[Corners]:
    k = np.linspace(0, 1, 8)
    fins = []
    for side in (1, -1):
        s = 0.56 + 0.04 * k
        root = surface(s, np.full_like(s, 0.20 * np.pi)) * [side * 0.9, 0.95, 1]
        long = 0.020 * np.sin(np.pi * (0.30 + 0.55 * k))
        tips = root + np.stack([side * long * (0.55 + 0.2 * k), -long * 0.62, -long * (0.35 + 0.6 * k)], axis=-1)
        fins.append(_fan(root, tips, np.array([side * 0.001, -0.001, 0.0])))
    return fins


def _pectoral(side: int) -> Corners:
    k = np.linspace(0, 1, 13)
    s = 0.225 + 0.022 * k
    root = surface(s, np.full_like(s, 0.255 * np.pi)) * [side * 0.93, 0.93, 1]
    long = 0.037 * np.sin(np.pi * (0.34 + 0.42 * k)) ** 1.3
    angle = np.radians(18 + 62 * k)
    tips = root + np.stack([side * long * np.cos(angle), -long * (0.30 - 0.10 * k), -long * np.sin(angle)], axis=-1)
    return _fan(root, tips, np.array([0.0, 0.0022, 0.0]))


def _skin_texels(size: int) -> tuple[Floats, Floats, Floats]:
    """`s`, `a` and the surface point of each texel of the skin picture."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    s = np.clip((u - 0.01) / 0.98, 0, 1)
    a = np.clip((v - 0.01) / (BODY_V - 0.02), -0.02, 1.02) * 2 * np.pi
    return s, a, surface(s, a)


def _scaled(s: Floats, a: Floats) -> tuple[Floats, Floats, Floats]:
    """Height and edge distance of the scales, and the share of scales, 0…1: there are none before the gills."""
    height, edge = scales(34 * a / (2 * np.pi), -(s * 38))
    gill = 0.205 + 0.030 * np.cos(a - np.pi / 2) ** 2
    return height, edge, noise.step(0.0, 0.03, s - gill) * (1 - 0.5 * noise.step(0.9, 1.0, s))


def _eye_patch(size: int) -> tuple[slice, slice, Floats]:
    """Rows and columns of the eye, and a value from 0 at its rim to 1 at its centre."""
    u, v, du, dv = EYE_UV
    rows, columns = slice(int((v - 0.012) * size), size), slice(0, int((u + du + 0.03) * size))
    down = (np.arange(size)[rows] + 0.5) / size
    return rows, columns, np.clip(1 - (down - v) / dv, 0, 1)[:, None]


def _coat(name: str, size: int, colour: Floats) -> picture.Picture:
    """The encoded picture, with the eye added."""
    rows, columns, centre = _eye_patch(size)
    ring = np.exp(-(((centre - 0.42) / 0.12) ** 2))
    iris = picture.blend(np.array([0.02, 0.014, 0.010]), np.array([0.55, 0.34, 0.09]), ring)
    colour[rows, columns] = picture.blend(iris, np.array([0.004, 0.004, 0.005]), noise.step(0.50, 0.56, centre))
    return picture.colour(name, picture.srgb(np.clip(colour, 0, 1)))


def kohaku_picture(size: int) -> picture.Picture:
    """White, with vermilion patches on the back and a few black spots."""
    s, a, points = _skin_texels(size)
    _, edge, scaled = _scaled(s, a)
    back = noise.step(-0.5, 0.55, -np.cos(a))
    island = noise.solid(points, 36.0, 85, octaves=3) + 1.5 * back - 1.15
    red = noise.step(-0.05, 0.09, island + 0.10 * (edge - 0.5) * scaled)
    ink = noise.solid(points, 62.0, 87, octaves=2) + 0.5 * back
    black = noise.step(1.50, 1.64, ink + 0.12 * (edge - 0.5) * scaled)
    colour = picture.blend(np.array([0.80, 0.74, 0.66]), np.array([0.86, 0.83, 0.78]), back)
    colour = picture.blend(colour, np.array([0.90, 0.62, 0.50]), 0.35 * noise.step(0.86, 1.0, s))
    hue = picture.blend(
        np.array([0.70, 0.075, 0.012]), np.array([0.80, 0.17, 0.020]), noise.step(0.0, 0.9, edge) * scaled
    )
    colour = picture.blend(colour, hue, red)
    colour = picture.blend(colour, np.array([0.018, 0.018, 0.022]), black)
    return _coat("kohaku_base", size, _lined(colour, s, a, edge, scaled))


def asagi_picture(size: int) -> picture.Picture:
    """Slate blue scales with pale rims; a pale head, vermilion cheeks and belly."""
    s, a, points = _skin_texels(size)
    _, edge, scaled = _scaled(s, a)
    low = np.cos(a)
    warm = noise.step(-0.10, 0.55, low + 0.22 * noise.solid(points, 40.0, 91, octaves=2) - 0.15)
    blue = picture.blend(np.array([0.30, 0.40, 0.46]), np.array([0.030, 0.068, 0.120]), noise.step(0.06, 0.42, edge))
    head = np.array([0.56, 0.60, 0.62]) * (1 - 0.10 * np.clip(noise.solid(points, 120.0, 92), -2, 2))[..., None]
    colour = picture.blend(head, blue, scaled)
    colour = picture.blend(colour, np.array([0.66, 0.13, 0.022]), 0.92 * warm)
    cream = noise.step(0.80, 0.97, low)
    colour = picture.blend(colour, np.array([0.82, 0.66, 0.50]), 0.75 * cream)
    return _coat("asagi_base", size, _lined(colour, s, a, edge, scaled))


def _lined(colour: Floats, s: Floats, a: Floats, edge: Floats, scaled: Floats) -> Floats:
    """The colour with the lines that all coats share: rims of scales, gill covers, mouth."""
    rim = np.exp(-edge / 0.07) * scaled
    colour = colour * (1 - 0.30 * rim)[..., None]
    gill = np.exp(-(((s - 0.205 - 0.030 * np.cos(a - np.pi / 2) ** 2) / 0.004) ** 2)) * noise.step(
        0.15, 0.4, np.abs(np.sin(a))
    )
    mouth = np.exp(-(((s - 0.030) / 0.004) ** 2)) * noise.step(0.30, 0.75, np.cos(a))
    return np.asarray(colour * (1 - 0.45 * np.maximum(gill, mouth))[..., None])


def body_pictures(size: int) -> dict[str, picture.Picture]:
    """The pictures that all coats share: normals of the scales, and roughness of wet skin."""
    s, a, points = _skin_texels(size)
    height, edge, scaled = _scaled(s, a)
    gill = s - 0.205 - 0.030 * np.cos(a - np.pi / 2) ** 2
    cover = -np.exp(-((gill / 0.005) ** 2)) * noise.step(0.15, 0.4, np.abs(np.sin(a)))
    mouth = -np.exp(-(((s - 0.030) / 0.004) ** 2)) * noise.step(0.30, 0.75, np.cos(a))
    relief = 0.00042 * height * scaled + 0.0008 * np.minimum(cover, mouth)
    relief = ndimage.gaussian_filter(relief, size / 1024 * 0.9)
    around = 2 * np.pi * np.sqrt((HEIGHT(s) ** 2 + WIDTH(s) ** 2) / 2).clip(0.004) / (BODY_V * size)
    rough = 0.24 + 0.14 * np.exp(-edge / 0.10) * scaled + 0.02 * np.clip(noise.solid(points, 150.0, 95), -2, 2)
    occlusion = 1 - 0.35 * np.exp(-edge / 0.06) * scaled
    rows, columns, centre = _eye_patch(size)
    relief[rows, columns] = 0.0
    rough[rows, columns], occlusion[rows, columns] = 0.06 + 0 * centre, 1.0
    return {
        "normal": picture.channels(
            "koi_normal", picture.normals(relief, (around, LENGTH_M / (0.98 * size)), wrap=False)
        ),
        "orm": picture.orm("koi_orm", occlusion, np.clip(rough, 0.05, 0.9), 0.0),
    }


def fin_pictures(size: int) -> dict[str, picture.Picture]:
    """Fin rays in a translucent membrane, clearer towards the edge."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    drift = noise.tile(size, size, 97, (3, 3), 1.6)
    # Each ray forks once.
    fork = noise.step(0.35, 0.65, u)
    ray = (
        np.abs(np.cos(np.pi * 17 * v + 0.12 * drift)) * (1 - fork)
        + np.abs(np.cos(np.pi * 34 * v + 0.24 * drift)) * fork
    )
    ray = ray**1.5
    alpha = (0.66 + 0.32 * ray) * (1 - 0.38 * u) + 0.4 * np.exp(-u / 0.12)
    alpha *= 1 - noise.step(0.88, 1.02, u - 0.03 * drift) * 0.8
    tone = picture.blend(np.array([0.62, 0.60, 0.57]), np.array([0.92, 0.91, 0.89]), ray)
    rgba = np.concatenate([picture.srgb(tone), np.clip(alpha, 0.05, 1)[..., None]], axis=-1)
    return {
        "base": picture.channels("fin_base", rgba),
        "normal": picture.channels("fin_normal", picture.normals(0.00010 * ray, (0.030 / size, 0.030 / size))),
    }
