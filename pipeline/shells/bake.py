"""Pictures of a shell: what the source shows behind each texel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray
from ..mesh.closest import ClosestPoints, weights_within
from ..mesh.rays import first_hits
from ..mesh.surface import Surface
from ..pictures.color import CODE_OF_LIGHT, LIGHT_STEPS, Codes
from ..views.drawable import Drawable
from ..views.materials import Appearance
from ..views.normal_maps import tangent_frames, turned_normals
from .atlas import Texels

FLAT = 1.5 / 255  # a property that varies by less is a factor and needs no picture


@dataclass(frozen=True)
class Baked:
    """The pictures of a shell: codes (h, w, 3), or None where a factor says it all.

    surface: occlusion, roughness and metalness. emission_scale: the light of code 255. roughness, metalness: factors.
    """

    color: Codes
    normal: Codes
    surface: Codes | None
    emission: Codes | None
    emission_scale: float
    roughness: float
    metalness: float


def bake(
    shell: Surface, normals: FloatArray, texels: Texels, source: Drawable, on_source: ClosestPoints, reach: float
) -> Baked:
    """Bake the properties of the source's triangles that lie behind a shell's texels.

    normals: (m, 3, 3) of the shell's corners. reach: how far the source may be from the shell, on both sides; a texel
    without a triangle there takes the nearest one.
    """
    corners = shell.positions[shell.triangles[texels.triangle]]
    weights = texels.weights[:, :, None]
    points, outward = (corners * weights).sum(axis=1), (normals[texels.triangle] * weights).sum(axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-30)
    hit, where = _behind(points, outward, reach, on_source)
    inside = weights_within(where, source.positions, source.triangles, hit)
    seen = _appearance(source, hit, inside)
    tangent, bitangent = tangent_frames(outward, corners, shell.uv[texels.triangle])
    turned = _normals(source, hit, inside, seen)
    turned *= np.where((turned * outward).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)  # a back is lit like a front
    mapped = np.stack([(turned * axis).sum(axis=1) for axis in (tangent, bitangent, outward)], axis=1)
    mapped[:, 2] = np.maximum(mapped[:, 2], 0.05)
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    bright = float(seen.emission.max(initial=0.0))
    flat = np.ptp(seen.surface, axis=0).max(initial=0.0) <= FLAT
    return Baked(
        _picture(_srgb(seen.color[:, :3]), texels),
        _picture(np.rint((mapped + 1) * 127.5), texels),
        None if flat else _picture(np.rint(seen.surface * 255), texels),
        _picture(_srgb(seen.emission / bright), texels) if bright > FLAT else None,
        bright,
        float(seen.surface[:, 1].mean()) if flat else 1.0,
        float(seen.surface[:, 2].mean()) if flat else 1.0,
    )


def _behind(
    points: FloatArray, outward: FloatArray, reach: float, on_source: ClosestPoints
) -> tuple[IntArray, FloatArray]:
    """The source's triangle (p,) that is seen at each point from outside, and the point (p, 3) on it."""
    hit, way = first_hits(points + outward * reach, -outward, 2 * reach, on_source.tree)
    where = points + outward * (reach - np.where(hit >= 0, way, 0.0))[:, None]
    missed = np.flatnonzero(hit < 0)
    closest = on_source.query(points[missed])
    hit[missed], where[missed] = closest.triangles, closest.points
    return hit, where


def _appearance(source: Drawable, hit: IntArray, inside: FloatArray) -> Appearance:
    uv = (source.uv[hit] * inside[:, :, None]).sum(axis=1)
    color = (source.colors[hit] * inside[:, :, None]).sum(axis=1)
    emission, surface, normal = (
        np.zeros((len(hit), 3)),
        np.zeros((len(hit), 3)),
        np.tile([0.0, 0.0, 1.0], (len(hit), 1)),
    )
    kinds = source.material[hit]
    for kind in np.unique(kinds):
        of = kinds == kind
        seen = source.materials[kind].at(uv[of])
        color[of] *= seen.color
        emission[of], surface[of] = seen.emission, seen.surface
        if seen.normal is not None:
            normal[of] = seen.normal
    return Appearance(color, emission, surface, normal)


def _normals(source: Drawable, hit: IntArray, inside: FloatArray, seen: Appearance) -> FloatArray:
    """Unit normals (p, 3) of the source with its normal maps."""
    normals = (source.normals[hit] * inside[:, :, None]).sum(axis=1)
    if seen.normal is not None:
        normals = turned_normals(normals, source.positions[source.triangles[hit]], source.uv[hit], seen.normal)
    result: FloatArray = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return result


def _srgb(light: FloatArray) -> Codes:
    return CODE_OF_LIGHT[np.rint(np.clip(light, 0, 1) * LIGHT_STEPS).astype(np.int64)]


def _picture(values: FloatArray | Codes, texels: Texels) -> Codes:
    return values.astype(np.uint8)[texels.nearest]
