"""A crate of panels in many colours, filled with small parts that nobody sees from outside."""

from __future__ import annotations

import gltf_maker as make
import numpy as np

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
CUBE_SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
COLORS, PANELS, PARTS = 12, 12, 600
TRIANGLES = 12 * (6 * PANELS**2 + PARTS)


def crate() -> make.Maker:
    rng = np.random.default_rng(3)
    maker = make.Maker()
    for number, color in enumerate(rng.random((COLORS, 3)).tolist()):
        pbr = {"baseColorFactor": [*color, 1.0], "metallicFactor": 0.0}
        maker.material(name=f"paint {number}", pbrMetallicRoughness=pbr)
    for side in range(6):
        axis = side // 2
        for row in range(PANELS):
            for column in range(PANELS):
                corner, size = np.zeros(3), np.full(3, 1 / PANELS)
                corner[axis], size[axis] = (side % 2) * 0.98, 0.02
                corner[(axis + 1) % 3], corner[(axis + 2) % 3] = row / PANELS, column / PANELS
                add_box(maker, corner, size, int(rng.integers(COLORS)))
    for place in rng.random((PARTS, 3)) * 0.8 + 0.08:
        add_box(maker, place, np.full(3, 0.03), 0)
    return maker


def add_box(maker: make.Maker, corner: np.ndarray, size: np.ndarray, material: int) -> None:
    positions = (CUBE[CUBE_SIDES.reshape(-1)] * size + corner).astype(np.float32)
    maker.node(mesh=maker.mesh(maker.primitive(positions, np.arange(36).reshape(-1, 3), material)))
