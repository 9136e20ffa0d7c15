"""A model as CAD programs export it: each part is a node with extras."""

from __future__ import annotations

from typing import Any

import gltf_maker as make
import numpy as np

PER_ROW = 20
SIDES = 6


def bolt(seed: int) -> tuple[Any, Any]:
    """Positions and triangles of a hexagonal bolt, a little different for each seed."""
    angle = np.arange(SIDES) * 2 * np.pi / SIDES
    ring = np.stack([np.cos(angle), np.zeros(SIDES), np.sin(angle)], axis=1)
    height = 1 + 0.001 * seed
    positions = np.concatenate([ring, ring + np.array([0, height, 0]), [[0, 0, 0], [0, height, 0]]])
    i, j = np.arange(SIDES), (np.arange(SIDES) + 1) % SIDES
    bottom, top = np.full(SIDES, 2 * SIDES), np.full(SIDES, 2 * SIDES + 1)
    sides = [(i, i + SIDES, j), (j, i + SIDES, j + SIDES), (i, j, bottom), (j + SIDES, i + SIDES, top)]
    return positions.astype("<f4"), np.concatenate([np.stack(side, axis=1) for side in sides])


def guid(number: int) -> str:
    return f"{number * 7919:08x}-части"


def bolts(count: int, *, extras: bool = True, shared: bool = False) -> make.Maker:
    """Bolts in rows, each row below an assembly that is turned; the first `PER_ROW` bolts are in the first row.

    shared: whether all nodes draw one mesh.
    """
    maker = make.Maker()
    maker.material(name="steel")
    for row in range(0, count, PER_ROW):
        children = []
        for number in range(row, min(row + PER_ROW, count)):
            mesh = 0 if shared and number else maker.mesh(maker.primitive(*bolt(number), 0))
            described = {"extras": {"guid": guid(number), "torque": number / 4}} if extras else {}
            place = [3.0 * (number - row), 0, 0]
            children.append(maker.node(root=False, mesh=mesh, name=f"Bolt {number}", translation=place, **described))
        turned = {"translation": [0, 0, 3.0 * row / PER_ROW], "rotation": [0, 0.6, 0, 0.8]}
        maker.node(name=f"Row {row // PER_ROW}", children=children, **turned)
    return maker
