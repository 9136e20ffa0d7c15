"""The bicycle: a city bicycle on its kickstand, with flowers in its basket.

A model as artists make them: hundreds of named parts, thin tubes, spokes and strings beside smooth bodies, one
palette for most parts, cards that are cut out by alpha, thin sheets with open edges, and glass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pygltflib as gl

from . import noise, picture
from .basket import basket_parts
from .bouquet import bouquet_parts
from .drivetrain import REAR_AXLE, drive_parts
from .finishes import walnut_pictures
from .fittings import carrier_parts, dress_guard, kickstand, lamp_parts, saddle_parts
from .foliage import foliage_pictures
from .frame import FRONT_AXLE, frame_parts, steering
from .glb import Glb
from .mesh import Corners, rotation, translation
from .noise import Floats
from .palette import palette_pictures
from .parts import Part, add_parts, transform
from .steering import bell, cables, steering_parts
from .wheels import FRONT, REAR, mudguard, mudguard_beads, mudguard_stays, tyre, wheel_parts

PICTURE = 1024
LEAN_DEGREES, STEER_DEGREES = 6.5, 13.0  # to the left, as on a kickstand
FOOT_M = 0.165  # distance of the kickstand's foot from the wheels' line, on the ground
TYRE_TURNS = {"Front": 17.0, "Rear": 41.0}  # degrees by which each wheel has rolled


def build(recipe: str, detail: float = 1.0) -> bytes:
    """The GLB. detail: scales pictures and the segments of curves; the number of parts stays."""
    out = Glb(recipe)
    materials = _materials(out, max(64, int(PICTURE * detail)))
    steer = steering(STEER_DEGREES)
    pose, stand = _pose(steer, detail)
    root = out.node("Bicycle", **transform(pose))

    frame = out.node("Frame", root)
    front_cable, rear_cable = cables(steer, detail)
    add_parts(out, frame, [*frame_parts(detail), rear_cable, Part("Kickstand", "palette", stand)], materials)
    add_parts(out, out.node("Drive", root), drive_parts(detail), materials)
    add_parts(out, out.node("Seat", root), saddle_parts(detail), materials)
    rear = out.node("Rear", root, translation=[float(x) for x in REAR_AXLE])
    wheel = out.node("Rear wheel", rear, **transform(rotation([0, 0, 1], TYRE_TURNS["Rear"])))
    add_parts(out, wheel, wheel_parts("Rear", REAR, detail), materials)
    guard = _guard_parts("Rear", 5.0, 192.0, [62.0, 128.0, 186.0], np.array([-0.004, 0.006, 0.0735]), detail)
    add_parts(out, rear, guard, materials)
    luggage = [*carrier_parts(detail), Part("Dress guard", "palette", dress_guard(detail))]
    add_parts(out, out.node("Luggage", root), luggage, materials)

    steered = out.node("Steering", root, **transform(steer))
    lamps = lamp_parts(detail)
    handle = [*steering_parts(detail), front_cable, Part("Bell", "palette", bell(detail), extras={"tone Hz": 2093})]
    add_parts(out, steered, [*handle, *lamps[:3]], materials)
    add_parts(out, frame, lamps[3:], materials)
    add_parts(out, out.node("Basket", steered), basket_parts(detail), materials)
    add_parts(out, out.node("Bouquet", steered), bouquet_parts(detail), materials)
    front = out.node("Front", steered, translation=[float(x) for x in FRONT_AXLE])
    wheel = out.node("Front wheel", front, **transform(rotation([0, 0, 1], TYRE_TURNS["Front"])))
    add_parts(out, wheel, wheel_parts("Front", FRONT, detail), materials)
    guard = _guard_parts("Front", 38.0, 205.0, [150.0, 198.0], np.array([0.0, 0.004, 0.0625]), detail)
    add_parts(out, front, guard, materials)
    return out.encode()


def _guard_parts(name: str, start: float, end: float, stays: list[float], foot: Floats, detail: float) -> list[Part]:
    return [
        Part(f"{name} mudguard", "enamel sheet", mudguard(start, end, detail)),
        Part(f"{name} mudguard beads", "palette", mudguard_beads(start, end, detail)),
        Part(f"{name} mudguard stays", "palette", mudguard_stays(stays, foot, detail)),
    ]


def _pose(steer: Floats, detail: float) -> tuple[Floats, Corners]:
    """The matrix of the bicycle that leans on its kickstand, and the kickstand, in the space of the frame.

    Both tyres and the kickstand touch the ground, y = 0; the middle of their footprint is the origin.
    """
    points = tyre(detail).positions.reshape(-1, 3)
    front = _moved(points, steer @ translation(*FRONT_AXLE) @ rotation([0, 0, 1], TYRE_TURNS["Front"]))
    rear = _moved(points, translation(*REAR_AXLE) @ rotation([0, 0, 1], TYRE_TURNS["Rear"]))
    lean, pitch = rotation([1, 0, 0], -LEAN_DEGREES), 0.0
    for _ in range(12):
        pose = lean @ rotation([0, 0, 1], pitch)
        low, other = _moved(front, pose)[:, 1].min(), _moved(rear, pose)[:, 1].min()
        pitch -= float(np.degrees(np.arctan((low - other) / (FRONT_AXLE[0] - REAR_AXLE[0]))))
    pose = translation(0, -float(low), 0) @ pose

    line = _moved(np.array([[-0.165, 0.0, 0.0]]), pose)[0]
    foot = np.array([line[0], 0.0, line[2] - FOOT_M, 1.0])
    for _ in range(8):  # its shoe is tilted, so that the lowest point is beside the middle of its end
        stand = kickstand(np.linalg.solve(pose, foot)[:3], detail)
        foot[1] -= _moved(stand.positions.reshape(-1, 3), pose)[:, 1].min()

    ground = _moved(np.concatenate([front, rear, stand.positions.reshape(-1, 3)]), pose)
    ground = ground[ground[:, 1] < 1e-4]
    middle = (ground.min(axis=0) + ground.max(axis=0)) / 2
    return translation(-float(middle[0]), 0.0, -float(middle[2])) @ pose, stand


def _moved(points: Floats, matrix: Floats) -> Floats:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _materials(out: Glb, size: int) -> dict[str, int]:
    sampler = len(out.document.samplers)
    out.document.samplers.append(
        gl.Sampler(magFilter=gl.NEAREST, minFilter=gl.NEAREST, wrapS=gl.REPEAT, wrapT=gl.REPEAT)
    )
    palette = out.textures(palette_pictures())
    for index in palette.values():
        out.document.textures[index].sampler = sampler
    lacquer: dict[str, Any] = {
        "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 1.0, "clearcoatRoughnessFactor": 0.06}}
    }
    out.document.extensionsUsed = ["KHR_materials_clearcoat", "KHR_materials_emissive_strength"]
    foliage = out.textures(foliage_pictures(size))
    glass: dict[str, Any] = {"metallic": 0.0, "roughness": 0.04, "alphaMode": "BLEND", "doubleSided": True}
    materials = {
        "palette": out.material("palette", palette),
        "enamel": out.material("enamel", palette, **lacquer),
        "enamel sheet": out.material("enamel sheet", palette, doubleSided=True, **lacquer),
        "cloth": out.material("cloth", palette, doubleSided=True),
        "leather": out.material("leather", out.textures(_leather_pictures(size // 2)), doubleSided=True),
        "wicker": out.material("wicker", out.textures(_wicker_pictures(size // 2))),
        "walnut": out.material("walnut slats", out.textures(walnut_pictures(size // 2))),
        "foliage": out.material("foliage", foliage, metallic=0.0, roughness=0.7, alphaMode="MASK", doubleSided=True),
        "glass": out.material("glass", {}, factor=(0.90, 0.96, 1.0, 0.22), **glass),
        "ruby glass": out.material("ruby glass", {}, factor=(0.70, 0.01, 0.02, 0.72), **glass),
        "bulb": out.material(
            "bulb", {}, factor=(1.0, 0.9, 0.7, 1.0), metallic=0.0, roughness=0.3,
            extensions={"KHR_materials_emissive_strength": {"emissiveStrength": 1.6}},
        ),
    }  # fmt: skip
    out.document.materials[materials["bulb"]].emissiveFactor = [1.0, 0.78, 0.45]
    return materials


def _leather_pictures(size: int) -> dict[str, picture.Picture]:
    """Tanned leather with pores, creases and darker, polished patches."""
    cloud = noise.tile(size, size, 101, (4, 4), 1.6)
    pore = noise.tile(size, size, 102, (70, 70), 0.6)
    crease = np.abs(noise.tile(size, size, 103, (16, 16), 1.2))
    worn = noise.step(-1.2, 1.6, cloud)
    colour = picture.blend(np.array([0.235, 0.090, 0.030]), np.array([0.400, 0.175, 0.065]), worn)
    colour *= (1 + 0.05 * pore - 0.12 * np.exp(-crease / 0.08))[..., None]
    height = 0.00004 * pore - 0.00010 * np.exp(-crease / 0.10)
    texel = 0.2 / size
    return {
        "base": picture.colour("leather_base", picture.srgb(np.clip(colour, 0, 1))),
        "normal": picture.channels("leather_normal", picture.normals(height, (texel, texel))),
        "orm": picture.orm(
            "leather_orm", np.ones_like(cloud), np.clip(0.50 - 0.12 * worn + 0.03 * pore, 0.2, 0.9), 0.0
        ),
    }


def _wicker_pictures(size: int) -> dict[str, picture.Picture]:
    """Peeled willow, its fibres along u."""
    fibre = noise.tile(size, size, 111, (90, 5), 0.7)
    cloud = noise.tile(size, size, 112, (5, 3), 1.5)
    fleck = np.clip(noise.tile(size, size, 113, (40, 12), 0.6) - 1.6, 0, 2)
    tone = np.clip(0.5 + 0.22 * cloud + 0.10 * fibre, 0, 1)
    colour = picture.blend(np.array([0.300, 0.150, 0.055]), np.array([0.620, 0.400, 0.190]), tone)
    colour *= (1 - 0.35 * fleck)[..., None]
    height = 0.000020 * fibre - 0.00006 * fleck
    texel = 0.09 / size
    return {
        "base": picture.colour("wicker_base", picture.srgb(np.clip(colour, 0, 1))),
        "normal": picture.channels("wicker_normal", picture.normals(height, (texel, texel))),
        "orm": picture.orm("wicker_orm", 1 - 0.3 * np.clip(fleck, 0, 1), np.clip(0.58 - 0.05 * fibre, 0.2, 0.9), 0.0),
    }
