"""Silhouettes of triangles, for comparisons of bases with their sources."""

from __future__ import annotations

import numpy as np
from streamxr.pipeline.mesh.surface import Surface

DIRECTIONS = np.array([[1.0, 0.2, 0.3], [-0.3, 0.1, 1.0], [0.2, 1.0, 0.1], [-1.0, -0.4, 0.2]])


def overlap(one: Surface, other: Surface, pixels: int = 128) -> float:
    """Pixels of both silhouettes divided by those of either, the mean of four views around the box of `one`."""
    low, high = one.positions.min(axis=0), one.positions.max(axis=0)
    shares = []
    for toward in DIRECTIONS:
        masks = [
            _silhouette(s, toward, (low + high) / 2, float(np.linalg.norm(high - low)), pixels) for s in (one, other)
        ]
        shares.append((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    return float(np.mean(shares))


def _silhouette(surface: Surface, toward: np.ndarray, center: np.ndarray, width: float, pixels: int) -> np.ndarray:
    """The pixels (h, w) that samples of the triangles fall on, at most half a pixel apart."""
    right = np.cross([0.0, 1.0, 0.01], toward)
    right /= np.linalg.norm(right)
    up = np.cross(toward, right) / np.linalg.norm(toward)
    flat = ((surface.positions - center) @ np.stack([right, up], axis=1)) * (pixels / (1.5 * width)) + pixels / 2
    mask = np.zeros((pixels, pixels), bool)
    a, b, c = (flat[surface.triangles[:, k]] for k in range(3))
    longest = np.maximum(np.linalg.norm(b - a, axis=1), np.linalg.norm(c - a, axis=1))
    steps = np.maximum(1, np.ceil(2 * longest).astype(int))
    for count in np.unique(steps):
        of = steps == count
        i, j = np.meshgrid(np.arange(count + 1) / count, np.arange(count + 1) / count)
        i, j = i[i + j <= 1 + 1e-9], j[i + j <= 1 + 1e-9]
        points = (a[of, None] + i[:, None] * (b - a)[of, None] + j[:, None] * (c - a)[of, None]).reshape(-1, 2)
        x, y = np.clip(points.astype(int), 0, pixels - 1).T
        mask[y, x] = True
    return mask
