"""Tangent space as glTF defines it for meshes without tangents: along the texture coordinates of each triangle."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray


def tangent_frames(normals: FloatArray, corners: FloatArray, uv: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit tangents and bitangents (p, 3), at right angles to unit normals (p, 3): the directions in which the texture
    coordinates uv (p, 3, 2) of triangles with these corners (p, 3, 3) grow. Zero where they do not.

    The v axis of glTF goes down in a picture, and the bitangent of a normal map goes up.
    """
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    s, t = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    turn = np.sign(s[:, :1] * t[:, 1:] - s[:, 1:] * t[:, :1])
    tangent = (a * t[:, 1:] - b * s[:, 1:]) * turn
    bitangent = (b * s[:, :1] - a * t[:, :1]) * turn
    return _unit_across(tangent, normals), _unit_across(-bitangent, normals)


def turned_normals(normals: FloatArray, corners: FloatArray, uv: FloatArray, mapped: FloatArray) -> FloatArray:
    """Normals (p, 3) turned by those of a normal map (p, 3), in the tangent frames of their triangles."""
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    tangent, bitangent = tangent_frames(unit, corners, uv)
    result: FloatArray = tangent * mapped[:, :1] + bitangent * mapped[:, 1:2] + unit * mapped[:, 2:]
    return result


def _unit_across(directions: FloatArray, normals: FloatArray) -> FloatArray:
    across = directions - normals * (directions * normals).sum(axis=1, keepdims=True)
    result: FloatArray = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    return result
