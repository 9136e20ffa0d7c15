"""Finishes that several models share: aged brass on a trim sheet, oiled walnut, overlapping scales."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from . import noise, picture
from .mesh import Corners, arc_length, lathe
from .noise import Floats

TRIM_M = 0.16  # metres after which the brass picture repeats along u
# Rows (v from, v to) of the brass picture with gutters between them: engraved, engraved, cast, turned, sooted.
SCALES, FRIEZE, SATIN, BRIGHT, SOOT = (0.01, 0.44), (0.465, 0.565), (0.59, 0.71), (0.735, 0.885), (0.91, 0.99)


def trim(corners: Corners, row: tuple[float, float], low: float, high: float) -> Corners:
    """Map UVs in metres, with v from `low` to `high`, into one row of the brass picture."""
    u = corners.uvs[..., 0] / TRIM_M
    up = np.clip((corners.uvs[..., 1] - low) / (high - low), 0, 1)
    return Corners(corners.positions, np.stack([u, row[1] - (row[1] - row[0]) * up], axis=-1))


def turned(profile: Floats, sides: int, row: tuple[float, float]) -> Corners:
    """A lathe part in one row of the brass picture; u is in metres at its widest place."""
    length = arc_length(profile)
    part = lathe(profile, length, sides, turns_u=2 * np.pi * profile[:, 0].max())
    return trim(part, row, 0.0, length[-1])


def scales(across: Floats, along: Floats) -> tuple[Floats, Floats]:
    """Overlapping scales, as on a roof or a fish: one unit wide, each row shifted by half a scale.

    Round edges point towards smaller `along`. Returns the height, 0…about 1, and the distance from the edge of
    the topmost scale.
    """
    line = np.floor(along)
    height, edge = np.zeros(along.shape), np.zeros(along.shape)
    for below in (1, 0):
        dx = (across + 0.5 * ((line - below) % 2)) % 1 - 0.5
        dy = along - line + below
        inside = dy - 0.78 * (1 - np.sqrt(1 - (2 * dx).clip(-1, 1) ** 2))  # 0 on the round edge
        rib = 0.10 * np.exp(-((dx / 0.05) ** 2)) * noise.step(0.08, 0.2, inside)
        height = np.where(inside > 0, 1 - 0.46 * dy - 0.9 * dx**2 + rib, height)
        edge = np.where(inside > 0, inside, edge)
    return height, edge


def brass_pictures(size: int) -> dict[str, picture.Picture]:
    """The trim sheet of engraved and plain rows: raised parts are worn bright, hollows are brown."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    relief = np.zeros((size, size))  # metres
    worn = np.full((size, size), 0.55)  # 0 is brown and dull, 1 is bright

    def row(place: tuple[float, float]) -> tuple[slice, Floats, Floats]:
        rows = slice(round((place[0] - 0.01) * size), round((place[1] + 0.01) * size))
        return rows, u[rows], (place[1] - v[rows]) / (place[1] - place[0])

    rows, x, y = row(SCALES)  # overlapping scales
    height, edge = scales(x * 14, y * 10)
    relief[rows] = 0.0010 * ndimage.gaussian_filter(height, size / 1024 * 1.2)
    worn[rows] = 0.35 + 0.5 * np.exp(-edge / 0.16)

    rows, x, y = row(FRIEZE)  # a guilloche: two bands that cross over and under, with a boss in each opening
    p = 2 * y - 1
    turn = x * 10 * np.pi
    band = 0.0 * x
    for sign in (-1, 1):
        middle = 0.50 * sign * np.sin(turn)
        distance = np.abs(p - middle) / np.sqrt(1 + (0.5 * 10 * np.pi / 7.7 * np.cos(turn)) ** 2) / 0.19
        over = 0.75 + 0.25 * sign * np.cos(turn)
        profile = np.sqrt((1 - distance**2).clip(0)) * over
        band = np.maximum(band, profile)
    boss = np.sqrt((1 - ((((turn / np.pi) % 1 - 0.5) / 0.17) ** 2 + (p / 0.24) ** 2)).clip(0)) * 0.9
    border = noise.step(0.80, 0.86, np.abs(p))
    shape = np.maximum(np.maximum(band, boss), border)
    relief[rows] = 0.0008 * ndimage.gaussian_filter(shape, size / 1024 * 1.0)
    worn[rows] = noise.step(0.1, 0.8, shape) * 0.85 + 0.05

    worn[row(SATIN)[0]] = 0.62
    worn[row(BRIGHT)[0]] = 0.92
    worn[row(SOOT)[0]] = 0.12

    # On the model, plain rows are stretched 4 times in height, so their noise is 4 times finer along v.
    stretched_rows = np.arange(size)
    amplitude = np.ones((size, 1))
    for place, factor in ((SATIN, 0.6), (BRIGHT, 0.35), (SOOT, 0.3)):
        rows = row(place)[0]
        stretched_rows[rows] = stretched_rows[rows.start] + 4 * np.arange(rows.stop - rows.start)
        amplitude[rows] = factor
    stretched_rows %= size
    mottle = amplitude * noise.tile(size, size, 31, (7, 7), 1.2)[stretched_rows]
    speck = amplitude * noise.tile(size, size, 32, (60, 60), 0.8)[stretched_rows]
    brushed = amplitude * noise.tile(size, size, 33, (50, 12), 0.9)[stretched_rows]
    scratches = np.clip(noise.tile(size, size, 34, (150, 5), 0.3) - 2.1, 0, 1)
    hollow = 1 - np.exp(
        -np.maximum(ndimage.gaussian_filter(relief, size / 1024 * 5, mode="wrap") - relief, 0) / 0.00016
    )
    worn = np.clip(worn + 0.07 * mottle + 0.03 * speck - 0.75 * hollow, 0, 1)

    colour = picture.blend(np.array([0.13, 0.075, 0.032]), np.array([0.62, 0.40, 0.155]), noise.step(0.0, 0.55, worn))
    colour = picture.blend(colour, np.array([0.86, 0.64, 0.30]), noise.step(0.5, 1.0, worn))
    colour = picture.blend(
        colour, np.array([0.20, 0.24, 0.17]), 0.4 * noise.step(1.3, 2.6, -mottle + 0.5 * speck) * (worn < 0.8)
    )
    rough = 0.54 - 0.33 * worn + 0.012 * brushed + 0.025 * mottle
    fine = relief + 0.0000022 * brushed + 0.000014 * mottle - 0.00003 * scratches
    texel = TRIM_M / size
    return {
        "base": picture.colour("brass_base", picture.srgb(colour)),
        "normal": picture.channels("brass_normal", picture.normals(fine, (texel, texel))),
        "orm": picture.orm("brass_orm", 1 - 0.75 * hollow, np.clip(rough, 0.14, 0.9), 1.0),
    }


def walnut_pictures(size: int) -> dict[str, picture.Picture]:
    """Oiled walnut, the grain along u."""
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    drift = noise.tile(size, size, 41, (5, 2), 1.6)
    ring = 14 * v + 0.8 * drift + 0.3 * np.sin(2 * np.pi * u)
    late = (ring % 1) ** 3
    fibre = noise.tile(size, size, 42, (260, 10), 0.4)
    pores = np.clip(noise.tile(size, size, 43, (190, 14), 0.3) - 1.5, 0, 1.5)
    colour = picture.blend(
        np.array([0.150, 0.072, 0.034]),
        np.array([0.058, 0.026, 0.013]),
        np.clip(0.75 * late + 0.12 * drift + 0.1, 0, 1),
    )
    colour *= (1 + 0.10 * fibre - 0.35 * pores)[..., None]
    height = -0.00005 * pores - 0.000012 * late + 0.000004 * fibre
    rough = 0.42 + 0.08 * late + 0.2 * pores + 0.02 * fibre
    texel = 0.12 / size
    return {
        "base": picture.colour("walnut_base", picture.srgb(np.clip(colour, 0, 1))),
        "normal": picture.channels("walnut_normal", picture.normals(height, (texel, texel))),
        "orm": picture.orm("walnut_orm", 1 - 0.4 * np.clip(pores, 0, 1), np.clip(rough, 0.2, 0.9), 0.0),
    }
