"""Sample the animations of a document: the world matrices and the morph weights of its nodes, pose by pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray
from ..errors import ModelError
from .accessors import read_accessor
from .document import Document, Json, item, items, label
from .node_transforms import PROPERTY_WIDTHS, compose_matrices, local_transform, node_matrix, rest_value

POSES_PER_ANIMATION = 48  # keyframes and the middles between them; thinned if there are more
MAX_POSES = 240  # of one asset

# The values (poses, k) of an animation's channels by (node, path).
Channels = dict[tuple[int, str], FloatArray]


@dataclass(frozen=True)
class Motion:
    """An asset in t poses: the rest pose, then the poses of each animation in turn.

    world: node of the default scene → (t, 4, 4) matrices to the asset's space, for column vectors; (1, 4, 4) if the
        node never moves.
    weights: node whose mesh has k morph targets → (t, k).
    starts: the first pose of each animation. If there are thousands of animations, only the first ones are sampled.
    """

    poses: int
    world: dict[int, FloatArray]
    weights: dict[int, FloatArray]
    starts: tuple[int, ...]

    def scale(self, nodes: Sequence[int]) -> float:
        """The largest factor by which these nodes stretch any direction, in any pose."""
        most = max(float(np.linalg.svd(self.world[n][:, :3, :3], compute_uv=False).max()) for n in nodes)
        return max(most, 1e-12)


def sample_motion(document: Document, world: dict[int, FloatArray]) -> Motion:
    """Sample every animation of the document.

    world: the rest matrices (4, 4) of the default scene's nodes. Raises ModelError for broken animations.
    """
    nodes = items(document.json, "nodes")
    blocks = []
    animations = items(document.json, "animations")
    most = max(2, min(POSES_PER_ANIMATION, MAX_POSES // max(1, len(animations))))
    for index, animation in enumerate(animations):
        blocks.append(_sample_animation(document, animation, most, label("animation", index, animation)))
    blocks = blocks[: MAX_POSES // 2]
    starts = np.cumsum([1, *(count for count, _ in blocks)])
    total = int(starts[-1])

    tracks: dict[int, dict[str, FloatArray]] = {}
    for start, (count, channels) in zip(starts, blocks, strict=False):
        for (node, path), values in channels.items():
            rest = rest_value(document, node, path)
            if path == "weights" and values.shape[1] != len(rest):
                raise ModelError(
                    f"moves {values.shape[1]} morph targets of {len(rest)}", place=label("node", node, nodes[node])
                )
            track = tracks.setdefault(node, {}).setdefault(path, np.tile(rest, (total, 1)))
            track[start : start + count] = values

    weights = {}
    for node in world:
        targets = rest_value(document, node, "weights")
        if len(targets):
            weights[node] = tracks.get(node, {}).get("weights", np.tile(targets, (total, 1)))
    return Motion(total, _posed_world(nodes, world, tracks), weights, tuple(int(s) for s in starts[:-1]))


def _sample_animation(document: Document, animation: Json, most: int, place: str) -> tuple[int, Channels]:
    """The number of poses taken, at most `most`, and the values of each channel in them."""
    inputs = _read_times(document, animation, place)
    keys = np.unique(np.concatenate(inputs)) if inputs else np.zeros(1)
    at = np.unique(np.concatenate([keys, (keys[1:] + keys[:-1]) * 0.5]))
    if len(at) > most:
        at = at[np.unique(np.linspace(0, len(at) - 1, most).round().astype(np.int64))]
    channels: Channels = {}
    for number, channel in enumerate(items(animation, "channels", place)):
        target = channel.get("target", {})
        node, path = target.get("node"), target.get("path")
        if node is None or path not in (*PROPERTY_WIDTHS, "weights"):
            continue  # the target of an extension, which is not geometry
        where = f"{place}, channel {number}"
        sampler = item(animation, "samplers", channel.get("sampler"), where)
        times = inputs[channel["sampler"]]
        values = _read_values(document, sampler, times, path, where)
        channels[node, path] = _interpolate(times, values, sampler.get("interpolation", "LINEAR"), at, path)
    return len(at), channels


def _read_times(document: Document, animation: Json, place: str) -> list[FloatArray]:
    """The times (n,) of each sampler, in seconds."""
    inputs = []
    for number, sampler in enumerate(items(animation, "samplers", place)):
        times = read_accessor(document, sampler.get("input"), f"{place}, sampler {number}")
        if times.shape[1] != 1 or len(times) == 0:
            raise ModelError("its times must be scalars, one at least", place=f"{place}, sampler {number}")
        inputs.append(times.reshape(-1).astype(np.float64))
    return inputs


def _read_values(document: Document, sampler: Json, times: FloatArray, path: str, place: str) -> FloatArray:
    """The output (n, k) of a sampler; (3 n, k) of a cubic spline."""
    values = read_accessor(document, sampler.get("output"), place).astype(np.float64)
    rows = len(times) * (3 if sampler.get("interpolation") == "CUBICSPLINE" else 1)
    if path == "weights":
        if values.shape[1] != 1 or len(values) % rows:
            raise ModelError(f"has {len(values):,} values for {len(times):,} times", place=place)
        values = values.reshape(rows, -1)
    elif values.shape != (rows, PROPERTY_WIDTHS[path]):
        raise ModelError(f"has {len(values):,} values for {len(times):,} times", place=place)
    return values


def _interpolate(times: FloatArray, values: FloatArray, interpolation: str, at: FloatArray, path: str) -> FloatArray:
    """Values (len(at), k) of a sampler at the times `at`: glTF 2.0, appendix C."""
    before = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    span = times[after] - times[before]
    share = np.clip((at - times[before]) / np.where(span > 0, span, 1.0), 0.0, 1.0)[:, None]
    if interpolation == "STEP":
        return values[before]
    if interpolation == "CUBICSPLINE":
        in_tangent, value, out_tangent = values.reshape(len(times), 3, -1).transpose(1, 0, 2)
        length, s2, s3 = span[:, None], share**2, share**3
        result = (
            (2 * s3 - 3 * s2 + 1) * value[before]
            + length * (s3 - 2 * s2 + share) * out_tangent[before]
            + (3 * s2 - 2 * s3) * value[after]
            + length * (s3 - s2) * in_tangent[after]
        )
        return _unit(result) if path == "rotation" else result
    if path == "rotation":
        return _slerp(_unit(values[before]), _unit(values[after]), share)
    linear: FloatArray = values[before] * (1 - share) + values[after] * share
    return linear


def _slerp(start: FloatArray, end: FloatArray, share: FloatArray) -> FloatArray:
    """Spherical interpolation of unit quaternions (n, 4), along the shorter arc."""
    cosine = np.einsum("ij,ij->i", start, end)[:, None]
    end = np.where(cosine < 0, -end, end)
    angle = np.arccos(np.clip(np.abs(cosine), 0.0, 1.0))
    sine = np.sin(angle)
    close = sine < 1e-6
    sine = np.where(close, 1.0, sine)
    first = np.where(close, 1 - share, np.sin((1 - share) * angle) / sine)
    second = np.where(close, share, np.sin(share * angle) / sine)
    return _unit(first * start + second * end)


def _unit(quaternions: FloatArray) -> FloatArray:
    """Quaternions (n, 4) of unit length; the identity for those of length 0."""
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    return np.where(length > 0, quaternions / np.where(length > 0, length, 1.0), np.array([0.0, 0.0, 0.0, 1.0]))


def _posed_world(
    nodes: Sequence[Json], world: dict[int, FloatArray], tracks: dict[int, dict[str, FloatArray]]
) -> dict[int, FloatArray]:
    """The world matrices (t, 4, 4) of each node, from the tracks (t, k) of animated properties by node and path."""
    parent = {child: n for n in world for child in nodes[n].get("children", [])}
    result: dict[int, FloatArray] = {}
    stack = [n for n in world if n not in parent]
    while stack:
        node = stack.pop()
        stack.extend(nodes[node].get("children", []))
        above = result[parent[node]] if node in parent else np.eye(4)[None]
        moved = {path: v for path, v in tracks.get(node, {}).items() if path != "weights"}
        if len(above) == 1 and not moved:
            result[node] = world[node][None]
            continue
        place = label("node", node, nodes[node])
        if moved:
            rest = dict(zip(PROPERTY_WIDTHS, local_transform(nodes[node], place), strict=True))
            count = len(next(iter(moved.values())))
            local = compose_matrices(*(moved.get(p, np.tile(rest[p], (count, 1))) for p in PROPERTY_WIDTHS))
            local[0] = node_matrix(nodes[node], place)
        else:
            local = node_matrix(nodes[node], place)[None]
        with np.errstate(over="ignore", invalid="ignore"):
            result[node] = above @ local
    return dict(sorted(result.items()))
