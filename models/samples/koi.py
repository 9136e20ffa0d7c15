"""The clockwork koi: two fish that swim around a pearl on a train of brass gears.

Rigid nodes turn and slide (rotor, planet gears, rods); the fish are skinned to a spine and two fins. There are two
clips that loop without a seam: Swim, and Glide at half the speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .finishes import BRIGHT, FRIEZE, SATIN, brass_pictures, trim, turned, walnut_pictures
from .fish import FISH_JOINTS, asagi_picture, body_pictures, fin_pictures, fish_meshes, kohaku_picture
from .glb import Glb
from .mesh import Corners, arc_length, join_corners, lathe, rotation, sheet, translation, tube, weld
from .noise import Floats, step, tile
from .picture import Picture, channels, colour, normals, orm, srgb

PICTURE = 1024
MODULE_M = 0.0021  # a gear's pitch diameter per tooth
SUN_TEETH, PLANET_TEETH, PLANETS = 48, 16, 3
GEAR_Y_M = 0.0565  # height of the gears' undersides
SHAFT_M = GEAR_Y_M + 0.013  # where the column above the gear begins
ORBIT_M, ARM_Y_M, FISH_Y_M = 0.112, 0.112, 0.168
SWIM_S, SWIM_BEATS = 12.0, 10  # seconds of one turn of the rotor, and tail beats in it
GLIDE_S, GLIDE_BEATS = 24.0, 8


def build(recipe: str, detail: float = 1.0) -> bytes:
    """The GLB. detail: scales the pictures only, since the mesh is small."""
    size = max(64, int(PICTURE * detail))
    out = Glb(recipe)
    brass = out.material("brass", out.textures(brass_pictures(size)))
    walnut = out.material("walnut", out.textures(walnut_pictures(size)))
    enamel = out.material("enamel", out.textures(_enamel_pictures(size)))
    pearl = out.material("pearl", {}, factor=(0.66, 0.60, 0.55, 1.0), metallic=0.0, roughness=0.18)
    skin = out.textures(body_pictures(size))
    kohaku = out.material("kohaku", {**skin, "base": out.texture(kohaku_picture(size))})
    asagi = out.material("asagi", {**skin, "base": out.texture(asagi_picture(size))})
    fins = out.textures(fin_pictures(size // 2))
    sheer: dict[str, Any] = {"metallic": 0.0, "roughness": 0.4, "alphaMode": "BLEND", "doubleSided": True}
    white_fin = out.material("kohaku fins", fins, factor=(1.0, 0.93, 0.86, 1.0), **sheer)
    blue_fin = out.material("asagi fins", fins, factor=(0.85, 0.50, 0.33, 1.0), **sheer)

    def part(name: str, parent: int | None, material: int, corners: Corners, **rest: object) -> int:
        vertices = out.attributes(weld(corners, 38), tangents=material != pearl)
        mesh = out.mesh(name, [(vertices, material)])
        return out.node(name, parent, mesh=mesh, **rest)

    root = out.node("Clockwork")
    part("Stand", root, walnut, _stand())
    part("Bezel", root, brass, _bezel())
    part("Water", root, enamel, _water())
    rotor = part("Rotor", root, brass, join_corners([_gear(SUN_TEETH, 6), _spindle()]))
    part("Pearl", rotor, pearl, _pearl())
    planet = out.mesh("Planet", [(out.attributes(weld(_gear(PLANET_TEETH, 0), 38)), brass)])
    planets, distance = [], MODULE_M * (SUN_TEETH + PLANET_TEETH) / 2
    for i in range(PLANETS):
        angle = 2 * np.pi / PLANETS * i
        at = [distance * np.sin(angle), 0.0, distance * np.cos(angle)]
        planets.append(out.node(f"Planet {i + 1}", root, mesh=planet, translation=at))
    rod = out.mesh("Rod", [(out.attributes(weld(_rod(), 38)), brass)])
    body, body_skin, sheets, sheet_skin = fish_meshes()
    body_vertices, sheet_vertices = out.attributes(body, body_skin), out.attributes(sheets, sheet_skin)
    rods, spines = [], []
    for name, side, scales, fin in (("Kohaku", 1, kohaku, white_fin), ("Asagi", -1, asagi, blue_fin)):
        slide = out.node(f"{name} rod", rotor, mesh=rod, translation=[side * ORBIT_M, 0.0, 0.0])
        # Each fish swims along the orbit with its left side towards the pearl.
        facing = [0.0, 1.0, 0.0, 0.0] if side > 0 else [0.0, 0.0, 0.0, 1.0]
        mount = out.node(f"{name} mount", slide, translation=[0.0, FISH_Y_M, 0.0], rotation=facing)
        joints: list[int] = []
        for joint in FISH_JOINTS:
            parent_at = np.zeros(3) if joint.parent is None else np.array(FISH_JOINTS[joint.parent].at)
            parent = mount if joint.parent is None else joints[joint.parent]
            offset = [float(x) for x in np.array(joint.at) - parent_at]
            rest = [float(x) for x in _quaternions(joint.axis, np.array([joint.rest]))[0]]
            joints.append(out.node(f"{name} {joint.name}", parent, translation=offset, rotation=rest))
        bind = np.stack([translation(*(-x for x in joint.at)) for joint in FISH_JOINTS])
        bound = out.skin(name, joints, bind)
        mesh = out.mesh(name, [(body_vertices, scales), (sheet_vertices, fin)])
        out.node(name, None, mesh=mesh, skin=bound)  # a skinned mesh follows its joints, not its parent
        rods.append(slide)
        spines.append(joints)
    for clip, seconds, beats, vigour in (("Swim", SWIM_S, SWIM_BEATS, 1.0), ("Glide", GLIDE_S, GLIDE_BEATS, 0.55)):
        _animate(out, clip, seconds, beats, vigour, rotor, planets, rods, spines)
    return out.encode()


def _animate(
    out: Glb, name: str, seconds: float, beats: int, vigour: float,
    rotor: int, planets: list[int], rods: list[int], spines: list[list[int]],
) -> None:  # fmt: skip
    """One clip: one turn of the rotor, with the gears in mesh and the fish in step."""

    def times(keys: int) -> int:
        return out.accessor(np.linspace(0, seconds, keys + 1).astype(np.float32), None, bounds=True)

    def values(array: Floats) -> int:
        array[-1] = array[0]  # bit for bit, so that the clip loops without a seam
        return out.accessor(array.astype(np.float32), None)

    def spin(turns: float, keys: int, start: float) -> Floats:
        return _quaternions((0.0, 1.0, 0.0), np.linspace(0, 360 * turns, keys + 1) + start)

    coarse, quick, fine = times(8), times(8 * SUN_TEETH // PLANET_TEETH), times(beats * 12)
    tracks = [(rotor, "rotation", coarse, values(spin(1, 8, 0.0)))]
    for i, planet in enumerate(planets):
        # A gap of the planet meets a tooth of the sun, so the planet is turned by half a pitch.
        start = 360 / PLANETS * i + 180 / PLANET_TEETH
        turns = -SUN_TEETH / PLANET_TEETH
        tracks.append((planet, "rotation", quick, values(spin(turns, 24, start))))
    phase = np.linspace(0, 2 * np.pi, beats * 12 + 1)
    for fish, (rod, joints) in enumerate(zip(rods, spines, strict=True)):
        side = 1 - 2 * fish
        rise = 0.007 * np.sin(2 * phase + fish * np.pi)
        slide = np.stack([np.full_like(rise, side * ORBIT_M), rise, np.zeros_like(rise)], axis=-1)
        tracks.append((rod, "translation", fine, values(slide)))
        for joint, node in zip(FISH_JOINTS, joints, strict=True):
            if joint.swing:
                beat = np.sin(beats * phase - joint.lag + 2.1 * fish)
                turn = _quaternions(joint.axis, joint.rest + vigour * joint.swing * beat)
                tracks.append((node, "rotation", fine, values(turn)))
    out.animation(name, tracks)


def _quaternions(axis: tuple[float, float, float], degrees: Floats) -> Floats:
    """Rotations about one axis as (n, 4) unit quaternions (x, y, z, w)."""
    half = np.radians(degrees) / 2
    unit = np.asarray(axis) / np.linalg.norm(axis)
    return np.concatenate([np.sin(half)[:, None] * unit, np.cos(half)[:, None]], axis=1)


def _stand() -> Corners:
    """The turned walnut foot."""
    profile = np.array(
        [
            (0.0, 0.0), (0.150, 0.0), (0.1535, 0.001), (0.156, 0.0035), (0.157, 0.007), (0.156, 0.0105),
            (0.1535, 0.013), (0.1500, 0.0138), (0.1475, 0.0148), (0.1445, 0.0175), (0.1425, 0.0210), (0.1418, 0.0245),
            (0.1425, 0.0250), (0.1425, 0.0425), (0.1432, 0.0430), (0.1455, 0.0440), (0.1470, 0.0460), (0.1470, 0.0480),
            (0.1455, 0.0495), (0.1430, 0.0500), (0.1300, 0.0500)
        ]
    )  # fmt: skip
    return lathe(profile, -arc_length(profile) / 0.12, 72, turns_u=8.0)


def _bezel() -> Corners:
    """The engraved band in the walnut, the ring that holds the enamel, and the gears' studs."""
    band = np.array(
        [
            (0.1420, 0.0248), (0.1432, 0.0252), (0.1436, 0.0262), (0.1436, 0.0413), (0.1432, 0.0423), (0.1420, 0.0427)
        ]
    )  # fmt: skip
    length = arc_length(band)
    belt = lathe(band, length, 80, turns_u=0.96)
    ring = np.array(
        [
            (0.1415, 0.0495), (0.1405, 0.0520), (0.1385, 0.0535), (0.1360, 0.0538), (0.1345, 0.0530), (0.1335, 0.0515),
            (0.1330, 0.0495)
        ]
    )  # fmt: skip
    stud = np.array(
        [
            (0.0050, 0.0500), (0.0050, 0.0535), (0.0044, 0.0540), (0.0036, 0.0545), (0.0036, 0.0650), (0.0058, 0.0652),
            (0.0060, 0.0664), (0.0052, 0.0680), (0.0030, 0.0692), (0.0, 0.0695)
        ]
    )  # fmt: skip
    distance = MODULE_M * (SUN_TEETH + PLANET_TEETH) / 2
    studs = [
        turned(stud, 14, BRIGHT).moved(translation(distance * np.sin(a), 0, distance * np.cos(a)))
        for a in 2 * np.pi / PLANETS * np.arange(PLANETS)
    ]
    return join_corners([trim(belt, FRIEZE, length[2], length[3]), turned(ring, 80, BRIGHT), *studs])


def _water() -> Corners:
    """The enamelled disc under the gears; its UVs are its plan."""
    radius = np.array([0.1340, 0.1000, 0.0600, 0.0])
    part = lathe(np.stack([radius, 0.0510 + 0.0006 * np.cos(radius * 22)], axis=-1), radius, 80)
    xz = part.positions[..., [0, 2]]
    return Corners(part.positions, 0.5 + xz / 0.272)


def _gear(teeth: int, spokes: int) -> Corners:
    """A horizontal spur gear at GEAR_Y_M, with a tooth towards +z; without spokes it is a dished disc."""
    thick, pitch = 0.0052, MODULE_M * teeth / 2
    steps = 6
    turn = np.arange(teeth * steps + 1) / (teeth * steps)
    turn[-1] = 0.0
    at = np.arange(teeth * steps + 1) % steps
    # Root, flank and tip of a trapezoidal tooth, which is a little narrower than its gap.
    shift = np.array([0.0, 0.13, 0.20, 0.28, 0.72, 0.80])[at] - at / steps + 0.0
    shift[at == 5] += 0.07
    high = np.array([0.95, 0.92, 0.0, -1.12, -1.12, 0.0])[at] * MODULE_M
    angle = 2 * np.pi * (turn + shift / teeth)
    outer = pitch + high
    rim = pitch - (3.4 if spokes else 5.4) * MODULE_M if teeth > 20 else pitch * 0.62
    y0, y1, edge = GEAR_Y_M, GEAR_Y_M + thick, 0.0004
    inner = np.full_like(outer, rim)
    section = (
        (inner, y0 + edge), (inner + edge, y0), (outer - edge, y0), (outer, y0 + edge), (outer, y1 - edge),
        (outer - edge, y1), (inner + edge, y1), (inner, y1 - edge), (inner, y0 + edge),
    )  # fmt: skip
    columns = [np.stack([r * np.sin(angle), np.full_like(r, y), r * np.cos(angle)], axis=-1) for r, y in section]
    points = np.stack(columns, axis=1)
    v = np.array([0.0, 0.0005, 0.008, 0.0085, 0.0135, 0.014, 0.0215, 0.022, 0.026])
    u = 2 * np.pi * np.linspace(0, 1, len(turn)) * pitch
    ring = trim(sheet(points, np.stack(np.broadcast_arrays(u[:, None], v[None]), axis=-1)), SATIN, 0.0, 0.026)
    parts = [ring]
    middle = GEAR_Y_M + thick / 2
    for i in range(spokes):
        s = np.linspace(0, 1, 10)
        bend = 0.16 * np.sin(2 * np.pi * s)
        reach = 0.006 + (rim + 0.0012 - 0.006) * s
        path = np.stack([reach * np.sin(bend), np.full_like(s, middle), reach * np.cos(bend)], axis=-1)
        width = 0.0030 - 0.0011 * np.sin(np.pi * s)
        parts.append(trim(tube(path, width, 7), BRIGHT, 0.0, 0.02).moved(rotation([0, 1, 0], 360 / spokes * i)))
    if not spokes:
        web = np.array(
            [
                (rim + 0.0002, y0 + 0.0015), (rim + 0.0002, y1 - 0.0012), (rim * 0.75, y1 - 0.0018),
                (rim * 0.62, y1 - 0.0006), (rim * 0.5, y1 + 0.0004), (0.0, y1 + 0.0004)
            ]
        )  # fmt: skip
        parts.append(turned(web, 24, SATIN))
    return join_corners(parts)


def _spindle() -> Corners:
    """The column on the sun gear, with a cup at its top and two arms that form an S."""
    g = GEAR_Y_M
    column = np.array(
        [
            (0.0, g - 0.004), (0.0105, g - 0.004), (0.0105, g + 0.0065), (0.0120, g + 0.0072), (0.0120, g + 0.0092),
            (0.0095, g + 0.0105), (0.0072, g + 0.0130), (0.0060, g + 0.0170), (0.0055, g + 0.0230),
            (0.0058, g + 0.0290), (0.0070, g + 0.0340), (0.0088, g + 0.0375), (0.0092, g + 0.0400),
            (0.0085, g + 0.0425), (0.0064, g + 0.0445), (0.0062, g + 0.0455), (0.0078, g + 0.0465),
            (0.0078, g + 0.0480), (0.0060, g + 0.0492), (0.0052, g + 0.0560), (0.0056, g + 0.0640),
            (0.0082, g + 0.0680), (0.0098, g + 0.0715), (0.0082, g + 0.0750), (0.0056, g + 0.0785),
            (0.0046, g + 0.0840), (0.0042, g + 0.1000), (0.0046, g + 0.1060), (0.0066, g + 0.1090),
            (0.0066, g + 0.1104), (0.0052, g + 0.1115), (0.0062, g + 0.1135), (0.0092, g + 0.1165),
            (0.0116, g + 0.1205), (0.0120, g + 0.1225), (0.0112, g + 0.1225), (0.0, g + 0.1180)
        ]
    )  # fmt: skip
    column[:, 1] = np.where(column[:, 1] > SHAFT_M, SHAFT_M + 0.72 * (column[:, 1] - SHAFT_M), column[:, 1])
    s = np.linspace(0, 1, 19)
    bend = 0.55 * np.sin(np.pi * s) * (1 - s)
    reach = 0.004 + (ORBIT_M - 0.004) * s
    path = np.stack(
        [reach * np.cos(bend), ARM_Y_M - 0.012 * np.sin(np.pi * s) * (1 - s) * 1.6, -reach * np.sin(bend)], axis=-1
    )
    arm = trim(tube(path, 0.0040 - 0.0016 * s, 10), BRIGHT, 0.0, 0.022)
    sleeve = np.array(
        [
            (0.0, -0.0085), (0.0030, -0.0085), (0.0042, -0.0075), (0.0042, -0.0060), (0.0034, -0.0052),
            (0.0034, -0.0030), (0.0052, -0.0016), (0.0056, 0.0), (0.0052, 0.0016), (0.0034, 0.0030), (0.0034, 0.0052),
            (0.0042, 0.0060), (0.0042, 0.0075), (0.0030, 0.0085), (0.0, 0.0085)
        ]
    )  # fmt: skip
    end = turned(sleeve, 14, BRIGHT).moved(translation(ORBIT_M, ARM_Y_M, 0))
    half = join_corners([arm, end])
    return join_corners([turned(column, 24, BRIGHT), half, half.moved(rotation([0, 1, 0], 180))])


def _pearl() -> Corners:
    """The ball in the column's cup."""
    a = np.linspace(-np.pi / 2, np.pi / 2, 15)
    profile = np.stack([0.0125 * np.cos(a), 0.1530 + 0.0125 * np.sin(a)], axis=-1)
    profile[0, 0] = profile[-1, 0] = 0.0
    return lathe(profile, np.linspace(1, 0, 15), 24)


def _rod() -> Corners:
    """The sliding rod that carries a fish, with a knob below and a saddle above."""
    y = FISH_Y_M
    rod = np.array(
        [
            (0.0, 0.0785), (0.0022, 0.0790), (0.0034, 0.0805), (0.0038, 0.0820), (0.0034, 0.0835), (0.0022, 0.0848),
            (0.0018, 0.0860), (0.0018, y - 0.030), (0.0026, y - 0.0285), (0.0026, y - 0.0275), (0.0019, y - 0.0262),
            (0.0019, y - 0.0235), (0.0034, y - 0.0212), (0.0058, y - 0.0196), (0.0, y - 0.018)
        ]
    )  # fmt: skip
    return turned(rod, 12, BRIGHT)


def _enamel_pictures(size: int) -> dict[str, Picture]:
    """Deep water in enamel, with rings that spread from the spindle."""
    y, x = np.meshgrid(*[((np.arange(size) + 0.5) / size - 0.5) * 0.272] * 2, indexing="ij")
    radius, turn = np.hypot(x, y), np.arctan2(x, y)
    drift = tile(size, size, 71, (2.5, 2.5), 3.5)
    cloud = tile(size, size, 72, (5, 5), 2.5)
    ring = radius / 0.0115 + 0.22 * np.sin(5 * turn + 9 * radius) + 0.35 * drift
    ripple = np.sin(2 * np.pi * ring) * (0.35 + 0.65 * step(0.02, 0.10, radius))
    crest = step(0.35, 1.0, ripple)
    deep = step(0.02, 0.135, radius + 0.004 * cloud)[..., None]
    tone = np.array([0.010, 0.120, 0.135]) * (1 - deep) + np.array([0.003, 0.026, 0.060]) * deep
    tone = tone * (1 + 0.08 * cloud[..., None]) + crest[..., None] * np.array([0.010, 0.055, 0.060])
    texel = 0.272 / size
    return {
        "base": colour("enamel_base", srgb(tone)),
        "normal": channels("enamel_normal", normals(0.00011 * ripple, (texel, texel), wrap=False)),
        "orm": orm("enamel_orm", 0.75 + 0.25 * step(-1, 1, ripple), np.clip(0.13 + 0.012 * cloud, 0.05, 0.5), 0.0),
    }
