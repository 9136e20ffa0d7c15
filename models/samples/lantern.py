"""The lantern: a six-sided brass cage on a walnut stand, with old glass and a burning candle."""

from __future__ import annotations

import numpy as np

from . import noise, picture
from .finishes import BRIGHT, FRIEZE, SATIN, SCALES, SOOT, brass_pictures, trim, turned, walnut_pictures
from .glb import Glb
from .mesh import Corners, arc_length, join_corners, lathe, rotation, sheet, translation, tube, weld
from .noise import Floats

SIDES = 6
PICTURE = 1024
POST_M = 0.084  # from the axis to the six columns
FLOOR_M, CEILING_M = 0.078, 0.262


def build(recipe: str, detail: float = 1.0) -> bytes:
    """The GLB. detail: scales the pictures only, since the mesh is small."""
    size = max(64, int(PICTURE * detail))
    out = Glb(recipe)
    brass = out.material("brass", out.textures(brass_pictures(size)))
    wood = out.material("walnut", out.textures(walnut_pictures(size)))
    glass = out.material("glass", out.textures(_glass_pictures(size)), alphaMode="BLEND", doubleSided=True)
    candle = out.material(
        "candle",
        out.textures(_candle_pictures(size)),
        extensions={"KHR_materials_emissive_strength": {"emissiveStrength": 4.0}},
    )
    out.document.extensionsUsed = ["KHR_lights_punctual", "KHR_materials_emissive_strength"]
    # A real candle has about one candela; this one is dimmer, to match the exposure of usual scenes.
    light = {"type": "point", "name": "candle light", "color": [1.0, 0.62, 0.27], "intensity": 0.06, "range": 1.5}
    out.document.extensions = {"KHR_lights_punctual": {"lights": [light]}}

    def part(name: str, parent: int | None, material: int, corners: Corners, crease: float = 38, **rest: object) -> int:
        mesh = out.mesh(name, [(out.attributes(weld(corners, crease)), material)])
        return out.node(name, parent, mesh=mesh, **rest)

    root = out.node("Lantern")
    part("Stand", root, wood, _stand())
    cage = part("Cage", root, brass, _cage())
    part("Panes", cage, glass, _panes())
    part("Roof", cage, brass, _roof())
    part("Handle", cage, brass, _handle(), translation=[0.0, 0.452, 0.0], rotation=[0.1305, 0.0, 0.0, 0.9914])
    held = part("Candle", root, candle, _wax(), 60, translation=[0.0, FLOOR_M + 0.006, 0.0])
    flame = part("Flame", held, candle, _flame(), 80, translation=[0.0, 0.088, 0.0])
    out.node("Candlelight", flame, translation=[0.0, 0.02, 0.0], extensions={"KHR_lights_punctual": {"light": 0}})
    return out.encode()


def _prism(profile: Floats, bevel: float = 0.004) -> Corners:
    """A profile (k, 2) of (distance to the corner, height) around six sides with rounded corners.

    UVs are metres: along each side from its middle, and along the profile.
    """
    length = arc_length(profile)
    half_turn = np.pi / SIDES
    sides = []
    for side in range(SIDES):
        columns, offsets = [], []
        for hand in (-1, 1):
            for bend in (0.0, 0.5, 1.0) if hand < 0 else (1.0, 0.5, 0.0):
                # The fillet's centre is on the ray to the corner; `bend` goes from the corner (0) to the side (1).
                fillet = np.minimum(bevel, 0.4 * profile[:, 0])
                centre = profile[:, 0] - fillet / np.cos(half_turn)
                corner, lean = hand * half_turn, hand * half_turn * (1 - bend)
                x = centre * np.sin(corner) + fillet * np.sin(lean)
                z = centre * np.cos(corner) + fillet * np.cos(lean)
                columns.append(np.stack([x, profile[:, 1], z], axis=-1))
                offsets.append(np.stack([x, length], axis=-1))
        turn = rotation([0, 1, 0], 360 / SIDES * side)
        sides.append(sheet(np.stack(columns), np.stack(offsets)).moved(turn))
    return join_corners(sides)


def _around(part: Corners, offset_degrees: float = 0.0) -> Corners:
    """Six copies, one for each side."""
    return join_corners([part.moved(rotation([0, 1, 0], offset_degrees + 360 / SIDES * i)) for i in range(SIDES)])


def _stand() -> Corners:
    """The walnut foot; its grain runs along each side."""
    profile = np.array(
        [
            (0.0, 0.014), (0.100, 0.014), (0.108, 0.0145), (0.1105, 0.017), (0.1105, 0.030), (0.109, 0.033),
            (0.106, 0.0345), (0.1045, 0.037), (0.103, 0.042), (0.099, 0.046), (0.096, 0.047), (0.0, 0.047)
        ]
    )  # fmt: skip
    part = _prism(profile, 0.006)
    return Corners(
        part.positions,
        part.uvs / 0.12 + np.repeat(np.arange(len(part.uvs)) * 7 // len(part.uvs), 3).reshape(-1, 3, 1) * 0.37,
    )


def _cage() -> Corners:
    """Feet, base, columns, arches and the candle's dish."""
    ball = np.linspace(-np.pi / 2, np.pi / 2, 7)
    foot = turned(np.stack([0.0105 * np.cos(ball), 0.0095 + 0.0095 * np.sin(ball)], axis=-1), 10, BRIGHT)
    base = np.array(
        [
            (0.0, 0.0465), (0.098, 0.0465), (0.0995, 0.048), (0.0995, 0.0515), (0.098, 0.053), (0.095, 0.0535),
            (0.0935, 0.055), (0.0925, 0.0555), (0.0925, 0.0715), (0.0935, 0.072), (0.095, 0.0735), (0.0955, 0.0755),
            (0.095, 0.0775), (0.0935, 0.0785), (0.0, 0.0785)
        ]
    )  # fmt: skip
    length = arc_length(base)
    body = _prism(base)
    middle = body.uvs[..., 1].mean(axis=1)
    drum = (middle > length[7]) & (middle < length[8])
    frieze = body.where(drum)
    rest = body.where(~drum)
    inside = rest.uvs[..., 1].mean(axis=1) > length[-2]
    y = FLOOR_M + np.array([0, 0.004, 0.006, 0.008, 0.010, 0.012, 0.045, 0.046, 0.048, 0.050, 0.051])
    r = np.array([0.0072, 0.0072, 0.0055, 0.0050, 0.0060, 0.0043, 0.0036, 0.0050, 0.0056, 0.0050, 0.0036])
    half = np.stack([r, y], axis=-1)
    flip = half[::-1] * [1, -1] + [0, FLOOR_M + CEILING_M]
    whole = np.concatenate([half, flip])
    column = lathe(whole, arc_length(whole), 10, turns_u=0.03)
    # The picture repeats along u, which is vertical here.
    column = trim(Corners(column.positions, column.uvs[..., ::-1]), BRIGHT, 0.0, 0.03).moved(translation(0, 0, POST_M))
    dish = np.array(
        [
            (0.0, 0.0785), (0.044, 0.0785), (0.046, 0.082), (0.0475, 0.0865), (0.0465, 0.0875), (0.0445, 0.086),
            (0.042, 0.0825), (0.0285, 0.0825), (0.0275, 0.092), (0.0262, 0.0925), (0.0258, 0.09), (0.0, 0.09)
        ]
    )  # fmt: skip
    return join_corners(
        [
            _around(foot.moved(translation(0, 0, 0.090)), 30),
            trim(frieze, FRIEZE, length[7], length[8]),
            trim(rest.where(~inside), SATIN, 0.095, length[-2]),
            trim(rest.where(inside), SOOT, length[-2], length[-1]),
            _around(column, 30),
            _around(_arch()),
            turned(dish, 32, SATIN),
        ]
    )


def _arch() -> Corners:
    """The pointed arch of one side, a plate with a rounded inner edge, and the sill below it."""
    wide, plate = 0.0375, 0.0036
    away = POST_M * np.cos(np.pi / SIDES) - 0.0005
    x = np.linspace(-wide, wide, 25)
    bow = 1.55 * wide
    rise = np.sqrt(np.maximum(bow**2 - (np.abs(x) + bow - wide) ** 2, 0))
    low = CEILING_M - 0.064 + rise * 0.95 + 0.006 * np.exp(-np.abs(x) / 0.004)  # the tip of the ogee
    top = np.full_like(x, CEILING_M + 0.002)
    z = np.array([0.5, 0.5, 0.25, -0.25, -0.5, -0.5]) * plate + away
    drop = np.array([0.0, 0.0009, 0.0, 0.0, 0.0009, 0.0])
    y = np.stack([top, low, low, low, low, top], axis=1)
    y[:, 1] += drop[1]
    y[:, 4] += drop[4]
    points = np.stack([np.broadcast_to(x[:, None], y.shape), y, np.broadcast_to(z, y.shape)], axis=-1)
    uvs = np.stack([np.broadcast_to(x[:, None], y.shape), CEILING_M - y + np.arange(6) * 0.0005], axis=-1)
    # The columns are reversed, so that normals point outwards.
    arch = trim(sheet(points[:, ::-1], uvs[:, ::-1]), SATIN, 0.0, 0.08)
    sill = np.array(
        [
            (0.0, 0.0), (0.003, 0.0), (0.003, 0.004), (0.0018, 0.0055), (-0.0018, 0.0055), (-0.003, 0.004),
            (-0.003, 0.0)
        ]
    )  # fmt: skip
    x2 = np.array([-0.0385, 0.0385])
    points = np.stack([np.broadcast_to(x2[:, None], (2, 6)), np.broadcast_to(FLOOR_M + sill[1:, 1], (2, 6)),
                       np.broadcast_to(away + sill[1:, 0], (2, 6))], axis=-1)  # fmt: skip
    uvs = np.stack(np.broadcast_arrays(x2[:, None], arc_length(sill[1:])), axis=-1)
    return join_corners([arch, trim(sheet(points, uvs), BRIGHT, 0.0, 0.02)])


def _panes() -> Corners:
    """The six panes, behind the arches; each shows its own part of the glass picture."""
    away = POST_M * np.cos(np.pi / SIDES) - 0.0028
    x, y = np.meshgrid([-0.039, 0.039], [FLOOR_M + 0.001, CEILING_M - 0.001], indexing="ij")
    points = np.stack([x, y, np.full_like(x, away)], axis=-1)
    panes = []
    for i in range(SIDES):
        u = (np.array([[0.0, 0.0], [1.0, 1.0]]) + i % 3) / 3
        v = (np.array([[1.0, 0.0], [1.0, 0.0]]) + i // 3) / 2
        pane = sheet(points, np.stack([u, v], axis=-1))
        panes.append(pane.moved(rotation([0, 1, 0], 360 / SIDES * i)))
    return join_corners(panes)


def _roof() -> Corners:
    """The cornice, the scaled roof with ribs on its hips, the vent, and the finial with its eye."""
    cornice = np.array(
        [
            (0.0, CEILING_M), (0.089, CEILING_M), (0.0925, 0.2625), (0.0925, 0.2775), (0.094, 0.278), (0.0985, 0.280),
            (0.1015, 0.2835), (0.1025, 0.287), (0.1025, 0.290), (0.1010, 0.2915), (0.097, 0.2925)
        ]
    )  # fmt: skip
    t = np.linspace(0, 1, 15)
    # An ogee: nearly flat at the eaves, then bulging, then steep towards the neck.
    slope = np.stack(
        [0.0965 - 0.0735 * (0.62 * t + 0.38 * np.sin(np.pi * t / 2) ** 2), 0.2925 + 0.085 * (0.28 * t + 0.72 * t**1.9)],
        axis=-1,
    )
    under = _prism(cornice)
    length = arc_length(cornice)
    middle = under.uvs[..., 1].mean(axis=1)
    frieze, ceiling = (middle > length[2]) & (middle < length[3]), middle < length[1]
    moulding = ~(frieze | ceiling)
    slope_length = arc_length(slope)[-1]
    hip = np.stack([0 * t, slope[:, 1] + 0.0005, slope[:, 0] - 0.0018], axis=-1)
    rib = tube(hip, np.linspace(0.0036, 0.0022, len(t)), 6)
    rib = Corners(rib.positions, rib.uvs[..., ::-1] * [1.0, 1.0])
    vent = np.array(
        [
            (0.0255, 0.3745), (0.0265, 0.3765), (0.0265, 0.379), (0.0245, 0.3805), (0.0205, 0.3815), (0.0195, 0.383),
            (0.0195, 0.393), (0.0205, 0.3945), (0.0235, 0.396), (0.0250, 0.398), (0.0245, 0.4000), (0.0205, 0.4035),
            (0.0145, 0.4085), (0.0100, 0.4125), (0.0072, 0.4165), (0.0062, 0.4200), (0.0078, 0.4215), (0.0086, 0.4235),
            (0.0078, 0.4255), (0.0055, 0.4270), (0.0, 0.4275)
        ]
    )  # fmt: skip
    a = np.linspace(0, 2 * np.pi, 25)
    a[-1] = 0.0
    eye = tube(np.stack([0 * a, 0.4345 + 0.0085 * np.cos(a), 0.0085 * np.sin(a)], axis=-1), 0.0026, 10, closed=True)
    drop = np.array(
        [
            (0.0, -0.010), (0.0022, -0.0085), (0.0034, -0.006), (0.0030, -0.0035), (0.0016, -0.001), (0.0014, 0.004),
            (0.0, 0.004)
        ]
    )  # fmt: skip
    pendant = turned(drop, 8, BRIGHT).moved(translation(0, 0.2805, 0.0985))
    return join_corners(
        [
            trim(under.where(frieze), FRIEZE, length[2], length[3]),
            trim(under.where(ceiling), SOOT, 0.0, length[1]),
            trim(under.where(moulding), SATIN, length[3], length[-1]),
            trim(_prism(slope, 0.003), SCALES, 0.0, slope_length),
            _around(trim(rib, BRIGHT, 0.0, 0.03), 30),
            turned(vent, 24, BRIGHT),
            trim(Corners(eye.positions, eye.uvs), BRIGHT, 0.0, 0.02),
            _around(pendant, 30),
        ]
    )


def _handle() -> Corners:
    """The ring that hangs in the finial's eye."""
    a = np.linspace(0, 2 * np.pi, 49)
    a[-1] = 0.0
    thick = 0.0034 + 0.0012 * np.cos(a + np.pi) ** 2 * (np.cos(a) > 0)
    path = np.stack([0.030 * np.sin(a), 0.0195 + 0.030 * np.cos(a), 0 * a], axis=-1)
    return trim(tube(path, thick, 10, closed=True), BRIGHT, 0.0, 0.025)


# Ranges of u in the candle picture.
WAX_U, FLAME_U, WICK_U = (0.0, 0.62), (0.68, 0.88), (0.93, 0.98)
WAX_M, WAX_HIGH_M = 0.0235, 0.084


def _wax() -> Corners:
    """The candle with drips of wax on its side, the pool at its top, and the wick."""
    turn, up = np.meshgrid(np.linspace(0, 1, 65), np.linspace(0, 1, 14), indexing="ij")
    angle = 2 * np.pi * (turn % 1)
    runs = np.zeros_like(up)
    for at, width, low, depth in (
        (0.35, 0.13, 0.42, 2.2), (0.8, 0.10, 0.68, 1.7), (1.5, 0.12, 0.20, 2.0), (2.6, 0.14, 0.30, 2.2),
        (3.3, 0.10, 0.62, 1.6), (3.9, 0.12, 0.50, 2.3), (5.2, 0.14, 0.12, 2.1), (5.75, 0.10, 0.58, 1.8),
    ):  # fmt: skip
        beside = (angle - at + np.pi) % (2 * np.pi) - np.pi
        bead = 1 + 0.7 * np.exp(-(((up - low - 0.07) / 0.05) ** 2))
        runs += depth * np.exp(-((beside / width) ** 2)) * noise.step(low, low + 0.06, up) * bead
    rim = 1 - 0.06 * noise.step(0.85, 1.0, up)
    radius = WAX_M * rim * np.ones_like(up) + 0.001 * runs * (1.15 - 0.3 * up)
    high = WAX_HIGH_M * up + 0.0028 * np.sin(angle + 0.8) * up**4 + 0.0016 * np.sin(2 * angle) * up**4
    wall = np.stack([radius * np.sin(angle), high, radius * np.cos(angle)], axis=-1)
    inner = np.array([0.93, 0.84, 0.70, 0.45, 0.2, 0.0])
    sink = np.array([0.0006, -0.0010, -0.0036, -0.0050, -0.0052, -0.0050])
    edge = wall[:, -1:]
    fade = inner[None, :, None]
    pool = edge * fade
    pool[..., 1] = edge[..., 1] * fade[..., 0] + (1 - fade[..., 0]) * WAX_HIGH_M + sink
    points = np.concatenate([wall, pool], axis=1)
    v = np.concatenate([0.98 - 0.80 * up[0], 0.18 - 0.16 * (1 - inner)])
    u = WAX_U[0] + 0.01 + (WAX_U[1] - WAX_U[0] - 0.02) * turn[:, :1]
    wax = sheet(points, np.stack(np.broadcast_arrays(u, v[None, :]), axis=-1))
    s = np.linspace(0, 1, 7)
    path = np.stack([0.0022 * s**2, WAX_HIGH_M - 0.007 + 0.015 * s, 0.001 * s**2], axis=-1)
    wick = tube(path, np.array([1.1, 1.0, 1.0, 1.0, 1.0, 0.9, 0.3]) * 0.0009, 8)
    wick_uv = np.stack(
        [WICK_U[0] + (WICK_U[1] - WICK_U[0]) * wick.uvs[..., 1] / 0.006, 0.95 - wick.uvs[..., 0] / 0.016 * 0.9], axis=-1
    )
    return join_corners([wax, Corners(wick.positions, wick_uv)])


def _flame() -> Corners:
    """A teardrop that is bent a little."""
    t = np.linspace(0, 1, 15)
    radius = 0.0075 * np.sin(np.pi * t**0.62) ** 1.05 * (1 - 0.35 * t)
    radius[-1] = 0.0
    body = lathe(
        np.stack([radius, 0.044 * t - 0.003], axis=-1), 0.97 - 0.94 * t, 16, FLAME_U[1] - FLAME_U[0], FLAME_U[0]
    )
    lean = 0.0045 * (body.positions[..., 1] / 0.044) ** 2
    return Corners(body.positions + lean[..., None] * np.array([1.0, 0, 0.4]), body.uvs)


def _glass_pictures(size: int) -> dict[str, picture.Picture]:
    """Six old panes, three by two: wavy, with dust in the corners and some soot at the top."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    x, y = (3 * u) % 1, (2 * v) % 1
    rim = np.minimum(np.minimum(x, 1 - x) * 0.42, np.minimum(y, 1 - y))
    wave = noise.tile(size, size, 51, (14, 9), 2.0)
    dust = noise.tile(size, size, 52, (40, 40), 0.9)
    grime = np.exp(-rim / 0.030) * (0.7 + 0.25 * dust) + 0.35 * np.exp(-y / 0.16) * (0.8 + 0.3 * wave)
    grime = np.clip(grime + 0.03 * np.clip(dust - 1.2, 0, 2), 0, 1)
    alpha = 0.07 + 0.45 * grime
    tint = picture.srgb(picture.blend(np.array([0.85, 0.93, 0.90]), np.array([0.25, 0.19, 0.13]), grime))
    return {
        "base": picture.channels("glass_base", np.concatenate([tint, alpha[..., None]], axis=-1)),
        "normal": picture.channels(
            "glass_normal", picture.normals(0.00022 * wave, (0.185 * 2 / size, 0.078 * 3 / size))
        ),
        "orm": picture.orm("glass_orm", np.ones_like(u), 0.05 + 0.55 * grime, 0.0),
    }


def _candle_pictures(size: int) -> dict[str, picture.Picture]:
    """Wax that glows near the flame, the flame, and a charred wick."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    cloud, speck = noise.tile(size, size, 61, (5, 9), 1.6), noise.tile(size, size, 62, (70, 70), 0.8)
    colour = picture.blend(np.array([0.80, 0.68, 0.48]), np.array([0.88, 0.80, 0.64]), noise.step(-1.5, 1.5, cloud))
    depth = np.clip((v - 0.10) / 0.88, 0, 1)  # from 0 at the pool to 1 at the foot
    warm = np.exp(-depth / 0.22) * (1 + 0.05 * cloud)
    glow = np.stack([0.20 * warm, 0.080 * warm**1.25, 0.018 * warm**1.6], axis=-1)

    up = 1 - v
    flame = (u > FLAME_U[0] - 0.03) & (u < FLAME_U[1] + 0.03)
    blue = np.exp(-(((up - 0.06) / 0.10) ** 2))
    core = noise.step(0.10, 0.42, up) * (1 - 0.5 * noise.step(0.70, 1.0, up))
    fire = np.stack(
        [0.22 + 0.78 * core, 0.07 + 0.36 * core**1.3 + 0.03 * blue, 0.01 + 0.08 * core**2 + 0.16 * blue], axis=-1
    )
    glow = np.where(flame[..., None], fire, glow)
    wick = u > WICK_U[0] - 0.02
    ember = noise.step(0.80, 0.95, up)
    glow = np.where(wick[..., None], ember[..., None] * np.array([0.55, 0.12, 0.02]), glow)
    colour = np.where(flame[..., None], 0.0, np.where(wick[..., None], np.array([0.02, 0.017, 0.015]), colour))
    rough = np.where(flame | wick, 0.95, np.clip(0.46 - 0.30 * np.exp(-depth / 0.04) + 0.03 * speck, 0.1, 0.9))
    height = np.where(flame | wick, 0.0, 0.00003 * cloud + 0.000006 * speck)
    return {
        "base": picture.colour("candle_base", picture.srgb(colour)),
        "normal": picture.channels("candle_normal", picture.normals(height, (0.10 / size, 0.24 / size))),
        "orm": picture.orm("candle_orm", np.ones_like(u), rough, 0.0),
        "emissive": picture.colour("candle_emissive", picture.srgb(glow)),
    }
