"""Models of many parts, each of a kind that artists and programs write: small generators with counts to choose."""

from __future__ import annotations

from typing import Any

import gltf_maker as make
import numpy as np
from crate_maker import CUBE, CUBE_SIDES

Array = make.Array
ANISOTROPY = "KHR_materials_anisotropy"


def loose_cubes(count: int, *, seed: int = 4) -> make.Maker:
    """One mesh of so many cubes that do not touch, in a cloud."""
    rng = np.random.default_rng(seed)
    maker = make.Maker()
    maker.material(name="grain", pbrMetallicRoughness={"baseColorFactor": [0.7, 0.5, 0.2, 1], "metallicFactor": 0})
    size = 1.2 * count ** (-1 / 3)
    corners = rng.normal(size=(count, 1, 3)) + size * CUBE
    triangles = (np.arange(count)[:, None, None] * len(CUBE) + CUBE_SIDES).reshape(-1, 3)
    maker.node(mesh=maker.mesh(maker.primitive(corners.reshape(-1, 3).astype("<f4"), triangles, 0)), name="grains")
    return maker


def repeated_cubes(count: int, *, seed: int = 4) -> make.Maker:
    """So many nodes that draw one cube each, all of the same mesh."""
    rng = np.random.default_rng(seed)
    maker = make.Maker()
    maker.material(name="brick", pbrMetallicRoughness={"baseColorFactor": [0.6, 0.2, 0.1, 1], "metallicFactor": 0})
    mesh = maker.mesh(maker.primitive(CUBE.astype("<f4"), CUBE_SIDES, 0))
    size = 1.2 * count ** (-1 / 3)
    for number, place in enumerate(rng.normal(size=(count, 3))):
        maker.node(mesh=mesh, name=f"Brick {number}", translation=place.tolist(), scale=[size] * 3)
    return maker


def painted_tiles(count: int, *, differ: str = "color", seed: int = 5) -> make.Maker:
    """A floor of boxes with a material each.

    differ: "color" if the materials differ in colour only, "shine" if also in metalness and roughness, "coat" if also
        in a factor of an extension.
    """
    rng = np.random.default_rng(seed)
    maker = make.Maker()
    side = int(np.ceil(count**0.5))
    for number in range(count):
        red, green, blue, metal, rough, coat = rng.random(6).tolist()
        pbr = {"baseColorFactor": [red, green, blue, 1], "metallicFactor": 0.0, "roughnessFactor": 0.6}
        further: dict[str, Any] = {}
        if differ != "color":
            pbr |= {"metallicFactor": metal, "roughnessFactor": rough}
        if differ == "coat":
            further = {"extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": coat}}}
        material = maker.material(name=f"paint {number}", pbrMetallicRoughness=pbr, **further)
        place = np.array([number % side, 0, number // side])
        corners = (CUBE * np.array([0.9, 0.3 + 0.5 * rough, 0.9]) + place)[CUBE_SIDES].reshape(-1, 3)
        primitive = maker.primitive(corners.astype("<f4"), np.arange(36).reshape(-1, 3), material)
        maker.node(mesh=maker.mesh(primitive), name=f"Tile {number}")
    if differ == "coat":
        maker.json["extensionsUsed"] = ["KHR_materials_clearcoat"]
    return maker


def ball(rings: int, sectors: int, material: int | None, maker: make.Maker, **more: Array) -> make.Json:
    """The primitive of a bumpy ball with normals."""
    positions, normals, _, triangles = make.bumpy_sphere(rings, sectors)
    return maker.primitive(positions, triangles, material, NORMAL=normals, **more)


def shiny_balls(count: int, *, rings: int = 20, sectors: int = 40) -> make.Maker:
    """A wall of balls, each a mesh with its own metalness and roughness; the colour differs by row."""
    maker = make.Maker()
    side = int(np.ceil(count**0.5))
    for number in range(count):
        column, row = number % side, number // side
        pbr = {
            "baseColorFactor": [0.9, 0.2 + 0.7 * row / side, 0.1, 1],
            "metallicFactor": row / side,
            "roughnessFactor": column / side,
        }
        maker.material(name=f"shine {number}", pbrMetallicRoughness=pbr)
        mesh = maker.mesh(ball(rings, sectors, number, maker), name=f"Ball {number}")
        maker.node(mesh=mesh, name=f"Ball {number}", translation=[2.5 * column, 2.5 * row, 0])
    return maker


def brushed_balls(count: int, *, rings: int = 20, sectors: int = 40) -> make.Maker:
    """A wall of balls with tangents, each a mesh with its own anisotropic material."""
    maker = make.Maker()
    maker.json["extensionsUsed"] = [ANISOTROPY]
    side = int(np.ceil(count**0.5))
    _, normals, _, _ = make.bumpy_sphere(rings, sectors)
    around = np.stack([normals[:, 2], np.zeros(len(normals)), -normals[:, 0]], axis=1)
    length = np.linalg.norm(around, axis=1, keepdims=True)
    around = np.where(length > 1e-6, around / np.maximum(length, 1e-6), [1.0, 0, 0])
    tangents = np.concatenate([around, np.ones((len(around), 1))], axis=1).astype("<f4")
    for number in range(count):
        column, row = number % side, number // side
        pbr = {"baseColorFactor": [0.8, 0.8, 0.8, 1], "metallicFactor": 1, "roughnessFactor": 0.2 + 0.5 * row / side}
        brushed = {"anisotropyStrength": number / count, "anisotropyRotation": 0.0}
        maker.material(name=f"brushed {number}", pbrMetallicRoughness=pbr, extensions={ANISOTROPY: brushed})
        mesh = maker.mesh(ball(rings, sectors, number, maker, TANGENT=tangents))
        maker.node(mesh=mesh, name=f"Ball {number}", translation=[2.5 * column, 2.5 * row, 0])
    return maker


def machine(parts: int, *, largest: int = 5000, smallest: int = 500) -> make.Maker:
    """Parts of different sizes in groups of ten; an animation turns each part, and the groups move."""
    maker = make.Maker()
    rng = np.random.default_rng(6)
    maker.json["animations"] = [{"name": "run", "samplers": [], "channels": []}]
    animation = maker.json["animations"][0]
    times = maker.accessor(np.array([0, 1, 2], "<f4"), min=[0], max=[2])
    turn = maker.accessor(np.array([[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, -1]], "<f4"))
    animation["samplers"].append({"input": times, "output": turn})
    for number in range(8):
        color = [*rng.random(3).tolist(), 1]
        maker.material(name=f"paint {number}", pbrMetallicRoughness={"baseColorFactor": color, "metallicFactor": 0.2})
    children: list[int] = []
    for number in range(parts):
        triangles = smallest + (largest - smallest) * number / parts
        rings = max(3, round((triangles / 4) ** 0.5))
        mesh = maker.mesh(ball(rings, 2 * rings, number % 8, maker), name=f"Part {number}")
        place = [2.2 * (number % 10), 0.0, 0.0]
        node = maker.node(root=False, mesh=mesh, name=f"Part {number}", translation=place, scale=[1, 0.4, 1])
        animation["channels"].append({"sampler": 0, "target": {"node": node, "path": "rotation"}})
        children.append(node)
        if len(children) == 10 or number == parts - 1:
            maker.node(name=f"Group {number // 10}", children=children, translation=[0, 0, 2.2 * (number // 10)])
            children = []
    return maker


def limb(joints: int, rings: int, sectors: int) -> tuple[Array, Array, dict[str, Array]]:
    """Positions, triangles and further attributes of a limb along y, whose vertices follow `joints` joints."""
    direction, normals, _, triangles = make.bumpy_sphere(rings, sectors)
    positions = (direction * np.array([0.25, joints / 2, 0.25])).astype("<f4")
    along = np.clip(positions[:, 1] + joints / 2 - 0.5, 0, joints - 1)
    first = np.minimum(along.astype(np.int64), max(0, joints - 2))
    second = np.minimum(first + 1, joints - 1)
    share = along - first
    weights = np.stack([1 - share, share, 0 * share, 0 * share], axis=1).astype("<f4")
    numbers = np.stack([first, second, 0 * first, 0 * first], axis=1)
    numbers[weights == 0] = 0
    return positions, triangles, {"NORMAL": normals, "JOINTS_0": numbers.astype("<u1"), "WEIGHTS_0": weights}


def skeleton(maker: make.Maker, joints: int, name: str, place: list[float], inverse: int) -> int:
    """A chain of joints with a skin of its own; returns the skin's index."""
    below: list[int] = []
    chain = []
    for number in range(joints - 1, -1, -1):
        moved = [0, 1, 0] if number else [place[0], place[1] - joints / 2 + 0.5, place[2]]
        child = {"children": below} if below else {}
        node = maker.node(root=number == 0, name=f"{name} joint {number}", translation=moved, **child)
        below = [node]
        chain.append(node)
    skins = maker.json.setdefault("skins", [])
    skins.append({"joints": chain[::-1], "inverseBindMatrices": inverse})
    return len(skins) - 1


def inverse_matrices(maker: make.Maker, joints: int) -> int:
    matrices = np.tile(np.eye(4), (joints, 1, 1))
    matrices[:, 3, 1] = joints / 2 - 0.5 - np.arange(joints)
    return maker.accessor(matrices.reshape(joints, 16).astype("<f4"))


def bend(maker: make.Maker, nodes: list[int]) -> None:
    """An animation that bends these nodes."""
    times = maker.accessor(np.array([0, 1, 2], "<f4"), min=[0], max=[2])
    turns = maker.accessor(np.array([[0, 0, 0, 1], [0, 0, 0.2588190, 0.9659258], [0, 0, 0, 1]], "<f4"))
    samplers = [{"input": times, "output": turns}]
    channels = [{"sampler": 0, "target": {"node": node, "path": "rotation"}} for node in nodes]
    maker.json.setdefault("animations", []).append({"name": "bend", "samplers": samplers, "channels": channels})


def crowd(count: int, *, joints: int = 8, rings: int = 40, sectors: int = 24, animated: bool = True) -> make.Maker:
    """One skinned mesh that so many nodes draw, each with a skin of its own."""
    maker = make.Maker()
    maker.material(name="skin", pbrMetallicRoughness={"baseColorFactor": [0.8, 0.5, 0.4, 1], "metallicFactor": 0})
    positions, triangles, further = limb(joints, rings, sectors)
    mesh = maker.mesh(maker.primitive(positions, triangles, 0, **further), name="limb")
    inverse = inverse_matrices(maker, joints)
    moved = []
    for number in range(count):
        place = [1.5 * (number % 6), 0, 1.5 * (number // 6)]
        skin = skeleton(maker, joints, f"Limb {number}", place, inverse)
        moved += maker.json["skins"][skin]["joints"][1:]
        maker.node(mesh=mesh, skin=skin, name=f"Limb {number}")
    if animated:
        bend(maker, moved)
    return maker


def patched_figure(patches: int, *, joints: int = 18, triangles: int = 60_000) -> make.Maker:
    """One skinned mesh of so many primitives, each with a material that differs in colour only."""
    maker = make.Maker()
    rng = np.random.default_rng(7)
    rings = round((triangles / 2) ** 0.5)
    positions, faces, further = limb(joints, rings, rings)
    height = positions[faces][:, :, 1].mean(axis=1)
    patch = np.clip(((height / joints + 0.5) * patches).astype(np.int64), 0, patches - 1)
    primitives = []
    for number in range(patches):
        color = [*rng.random(3).tolist(), 1]
        pbr = {"baseColorFactor": color, "metallicFactor": 0.0, "roughnessFactor": 0.9}
        maker.material(name=f"patch {number}", pbrMetallicRoughness=pbr)
        used, own = np.unique(faces[patch == number], return_inverse=True)
        attributes = {name: values[used] for name, values in further.items()}
        primitives.append(maker.primitive(positions[used], own.reshape(-1, 3), number, **attributes))
    skin = skeleton(maker, joints, "Figure", [0, 0, 0], inverse_matrices(maker, joints))
    bend(maker, maker.json["skins"][skin]["joints"][1:])
    maker.node(mesh=maker.mesh(*primitives, name="figure"), skin=skin, name="figure")
    return maker


def fleet(vehicles: int, *, boxes: int = 4) -> make.Maker:
    """Vehicles that drive and turn, each with a body of boxes and two wheels that spin and share one mesh."""
    maker = make.Maker()
    for name, color in (("body", [0.1, 0.3, 0.8, 1]), ("tyre", [0.05, 0.05, 0.05, 1])):
        maker.material(name=name, pbrMetallicRoughness={"baseColorFactor": color, "metallicFactor": 0})
    times = maker.accessor(np.array([0, 1, 2], "<f4"), min=[0], max=[2])
    turn = maker.accessor(np.array([[0, 0, 0, 1], [0, 0.6, 0, 0.8], [0, 1, 0, 0]], "<f4"))
    spin = maker.accessor(np.array([[0, 0, 0, 1], [0.6, 0, 0, 0.8], [1, 0, 0, 0]], "<f4"))
    animation: dict[str, Any] = {"name": "drive", "samplers": [], "channels": []}
    animation["samplers"] += [{"input": times, "output": turn}, {"input": times, "output": spin}]
    wheel = maker.mesh(ball(6, 8, 1, maker), name="wheel")
    corners = CUBE[CUBE_SIDES].reshape(-1, 3).astype("<f4")
    for number in range(vehicles):
        body = []
        for box in range(boxes):
            mesh = maker.mesh(maker.primitive(corners, np.arange(36).reshape(-1, 3), 0))
            size = [0.8, 0.4 + 0.1 * box, 0.5]
            body.append(maker.node(root=False, mesh=mesh, translation=[0, 0.3, 0.5 * box], scale=size))
        for side in (-0.1, 0.9):
            place = {"translation": [side, 0.2, 1.0], "scale": [-0.1, 0.3, 0.3]}
            body.append(maker.node(root=False, mesh=wheel, name="wheel", **place))
            animation["channels"].append({"sampler": 1, "target": {"node": body[-1], "path": "rotation"}})
        place = {"translation": [4.0 * (number % 8), 0, 4.0 * (number // 8)], "rotation": [0, 0.6, 0, 0.8]}
        vehicle = maker.node(name=f"Vehicle {number}", children=body, **place)
        animation["channels"].append({"sampler": 0, "target": {"node": vehicle, "path": "rotation"}})
    maker.json["animations"] = [animation]
    return maker
