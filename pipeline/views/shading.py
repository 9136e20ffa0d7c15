"""Pictures of a drawable: colour and coverage by pixel, under one light beside the viewer and an even sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from .cameras import Camera
from .drawable import Drawable
from .materials import BLEND, MASK, OPAQUE
from .normal_maps import turned_normals
from .rasterizer import Fragments, rasterize

LIGHT = np.array([0.36, 0.60, 0.71])  # towards the light: right, up, to the viewer
SKY, GROUND, SUN = 0.55, 0.25, 0.6  # irradiance from above, from below, and from the light


@dataclass(frozen=True)
class Picture:
    """color: (h, w, 3) linear, premultiplied by alpha. alpha: (h, w)."""

    color: FloatArray
    alpha: FloatArray


def draw(drawable: Drawable, camera: Camera, pixels: int) -> Picture:
    """Draw opaque and cut-out triangles, and the nearest blended ones before them, with `pixels` on each side."""
    points = camera.project(drawable.positions, pixels)
    back = np.full((pixels, pixels), -np.inf)
    solid = np.flatnonzero(drawable.mode_mask(OPAQUE, MASK))
    color, alpha = np.zeros((pixels, pixels, 3)), np.zeros((pixels, pixels))
    fragments = rasterized(drawable, points, solid, back)
    rows, shaded = _shade(drawable, camera, fragments, solid)
    color[rows], alpha[rows] = shaded[:, :3], 1.0
    blended = np.flatnonzero(drawable.mode_mask(BLEND))
    if len(blended):
        rows, shaded = _shade(drawable, camera, rasterized(drawable, points, blended, fragments.nearness), blended)
        share = shaded[:, 3:]
        color[rows] = shaded[:, :3] * share + color[rows] * (1 - share)
        alpha[rows] = share[:, 0] + alpha[rows] * (1 - share[:, 0])
    return Picture(color, alpha)


def rasterized(drawable: Drawable, points: FloatArray, chosen: IntArray, behind: FloatArray) -> Fragments:
    """The nearest of the chosen triangles at each pixel; its numbers count within `chosen`.

    points: the projected positions (n, 3). behind: nearness (h, w) at and below which nothing is drawn.
    """
    every, cut_outs = len(chosen) == len(drawable.triangles), drawable.cut_outs()
    materials = drawable.material if every else drawable.material[chosen]
    triangles = drawable.triangles if every else drawable.triangles[chosen]
    two_sided = np.array([m.two_sided for m in drawable.materials])[materials]
    uv = drawable.cut_out_uv(chosen, cut_outs)
    return rasterize(points, triangles, uv, materials, two_sided, cut_outs, behind)


def _shade(
    drawable: Drawable, camera: Camera, fragments: Fragments, chosen: IntArray
) -> tuple[tuple[IntArray, ...], FloatArray]:
    """The pixels with a fragment, and their linear colour and alpha (p, 4)."""
    where = np.nonzero(fragments.triangle >= 0)
    triangle = chosen[fragments.triangle[where]]
    weights = fragments.weights[where].astype(np.float64)[:, :, None]
    normal = (drawable.normals[triangle] * weights).sum(axis=1)
    uv = (drawable.uv[triangle] * weights).sum(axis=1)
    color = (drawable.colors[triangle] * weights).sum(axis=1)
    emission = np.zeros((len(triangle), 3))
    material = drawable.material[triangle]
    for index in np.unique(material):
        of = material == index
        seen = drawable.materials[index].at(uv[of])
        color[of] *= seen.color
        emission[of] = seen.emission
        if seen.normal is not None:
            normal[of] = turned_normals(
                normal[of], drawable.positions[drawable.triangles[triangle[of]]], drawable.uv[triangle[of]], seen.normal
            )
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    axes = np.stack([(normal * camera.axes[k]).sum(axis=1) for k in range(3)], axis=1)
    axes[axes[:, 2] < 0] *= -1  # the back of a triangle is lit like its front
    up = normal[:, 1] * 0.5 + 0.5
    light = GROUND + (SKY - GROUND) * up + SUN * np.clip((axes * LIGHT).sum(axis=1), 0, None)
    color[:, :3] = color[:, :3] * light[:, None] + emission
    return where, color
