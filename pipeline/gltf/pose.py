"""Where nodes stand, in the file and while its animations play, and what that does to skinned vertices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from .document import Document, Json, item, items, label, numbers, read_accessor

# Poses taken of one animation: its keyframes and the middles between them, thinned where there are more.
POSES_PER_ANIMATION = 48
MOST_POSES = 240  # of one asset
WORK = 20_000_000  # vertices to pose in one pass over a mesh
FEWEST_POSES = 12
WIDTHS = {"translation": 3, "rotation": 4, "scale": 3}


@dataclass(frozen=True)
class Motion:
    """An asset in t poses: that of the file first, then those of every animation in turn.

    world: node of the default scene → (t, 4, 4) matrices to the asset's space, column vectors; (1, 4, 4) for
        nodes that never move.
    weights: node whose mesh has k morph targets → (t, k).
    starts: the first pose of each animation; of thousands of animations, of the first ones.
    """

    poses: int
    world: dict[int, FloatArray]
    weights: dict[int, FloatArray]
    starts: tuple[int, ...]

    def scale(self, nodes: Sequence[int]) -> float:
        """How much the nodes stretch the direction they stretch most, in any pose."""
        most = max(float(np.linalg.svd(self.world[n][:, :3, :3], compute_uv=False).max()) for n in nodes)
        return max(most, 1e-12)


@dataclass(frozen=True)
class Drawing:
    """What a node does to the vertices of its mesh, pose by pose.

    matrices: (t, j, 4, 4) of its joints, or of the node itself where it has no skin; t is 1 if nothing moves.
    weights: (t, k) of its morph targets.
    """

    matrices: FloatArray
    weights: FloatArray

    def chosen(self, vertices: int) -> list[int]:
        """Poses to look at, spread evenly, the file's own first; of meshes with many vertices fewer."""
        most = int(np.clip(WORK // max(1, vertices), FEWEST_POSES, MOST_POSES))
        poses = max(len(self.matrices), len(self.weights))
        return [int(p) for p in np.unique(np.linspace(0, poses - 1, min(most, poses)).round())]


@dataclass(frozen=True)
class Body:
    """Vertices that deform.

    positions: (n, 3) before anything moves them; deltas: (k, n, 3) of morph targets.
    joints, weights: (n, s), weights summing to one; all on joint 0 without a skin.
    """

    positions: FloatArray
    joints: IntArray
    weights: FloatArray
    deltas: FloatArray

    def posed(self, drawing: Drawing, pose: int) -> FloatArray:
        """(n, 3) positions as the node draws them: morphed, then blended linearly."""
        positions = self.positions
        if len(self.deltas):
            share = drawing.weights[min(pose, len(drawing.weights) - 1), : len(self.deltas)]
            positions = positions + np.einsum("k,knj->nj", share, self.deltas)
        matrices = drawing.matrices[min(pose, len(drawing.matrices) - 1), :, :3]
        if len(matrices) == 1:
            alone: FloatArray = positions @ matrices[0, :, :3].T + matrices[0, :, 3]
            return alone
        blend = np.zeros((len(positions), 3, 4))
        for k in range(self.joints.shape[1]):
            blend += self.weights[:, k, None, None] * matrices[self.joints[:, k]]
        posed: FloatArray = np.einsum("nij,nj->ni", blend[:, :, :3], positions) + blend[:, :, 3]
        return posed


def node_matrix(node: Json, place: str) -> FloatArray:
    """The local 4×4 matrix of a node, column vectors."""
    if "matrix" in node:
        return numbers(node["matrix"], 16, f"{place}, matrix").reshape(4, 4).T
    translation, rotation, scale = (a[None] for a in _local(node, place))
    matrix: FloatArray = _composed(translation, rotation, scale)[0]
    return matrix


def rest_of(document: Document, node: int, path: str) -> FloatArray:
    """What the file says of a node's translation, rotation, scale or morph weights."""
    holder = item(document.json, "nodes", node, f"node {node}")
    place = label("node", node, holder)
    if path != "weights":
        return _local(holder, place)[list(WIDTHS).index(path)]
    if holder.get("mesh") is None:
        return np.zeros(0)
    mesh = item(document.json, "meshes", holder["mesh"], place)
    listed = mesh.get("primitives")
    primitives = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) else []
    count = max((len(p["targets"]) for p in primitives if isinstance(p.get("targets"), list)), default=0)
    given = holder.get("weights", mesh.get("weights"))
    if given is None or count == 0:
        return np.zeros(count)
    return numbers(given, count, f"{place}, weights")


def sample_motion(document: Document, world: dict[int, FloatArray]) -> Motion:
    """Sample every animation of the document.

    world: matrices of the default scene's nodes as the file has them. Raises ModelError for broken animations.
    """
    nodes = items(document.json, "nodes")
    blocks = []
    animations = items(document.json, "animations")
    most = max(2, min(POSES_PER_ANIMATION, MOST_POSES // max(1, len(animations))))
    for index, animation in enumerate(animations):
        place = label("animation", index, animation)
        blocks.append(_sample_animation(document, animation, most, place))
    blocks = blocks[: MOST_POSES // 2]  # of thousands of animations the first ones must do
    starts = np.cumsum([1, *(count for count, _ in blocks)])
    total = int(starts[-1])

    moved: dict[int, dict[str, FloatArray]] = {}
    for start, (count, channels) in zip(starts, blocks, strict=False):
        for (node, path), values in channels.items():
            rest = rest_of(document, node, path)
            if path == "weights" and values.shape[1] != len(rest):
                raise ModelError(
                    f"moves {values.shape[1]} morph targets of {len(rest)}", place=label("node", node, nodes[node])
                )
            track = moved.setdefault(node, {}).setdefault(path, np.tile(rest, (total, 1)))
            track[start : start + count] = values

    weights = {}
    for node in world:
        targets = rest_of(document, node, "weights")
        if len(targets):
            weights[node] = moved.get(node, {}).get("weights", np.tile(targets, (total, 1)))
    return Motion(total, _moved_world(nodes, world, moved), weights, tuple(int(s) for s in starts[:-1]))


def read_drawing(document: Document, node: int, motion: Motion, place: str) -> Drawing:
    """How a node draws its mesh into the asset's space. Raises ModelError when its skin is broken."""
    weights = motion.weights.get(node, np.zeros((1, 0)))
    skin = item(document.json, "nodes", node, f"node {node}").get("skin")
    if skin is None:
        return Drawing(motion.world[node][:, None], weights)
    holder = item(document.json, "skins", skin, place)
    where = label("skin", skin, holder)
    joints = holder.get("joints")
    if not isinstance(joints, list) or not joints:
        raise ModelError("has no joints", place=where)
    inverse = np.tile(np.eye(4), (len(joints), 1, 1))
    if holder.get("inverseBindMatrices") is not None:
        values = read_accessor(document, holder["inverseBindMatrices"], where)
        if values.shape[1] != 16 or len(values) < len(joints):
            raise ModelError("has too few inverse bind matrices", place=where)
        inverse = values[: len(joints)].astype(np.float64).reshape(-1, 4, 4).transpose(0, 2, 1)
    count = max((len(motion.world[j]) for j in joints if j in motion.world), default=1)
    still = np.eye(4)[None]
    matrices = np.empty((count, len(joints), 4, 4))
    for index, joint in enumerate(joints):
        matrices[:, index] = motion.world.get(joint, still) @ inverse[index]
    return Drawing(matrices, weights)


def read_body(attributes: dict[str, AnyArray], deltas: Sequence[AnyArray], joints: int, place: str) -> Body:
    """The vertices of a primitive that deforms.

    deltas: (n, 3) of each morph target. joints: how many the skin has. Raises ModelError for others.
    """
    count = len(attributes["POSITION"])
    indices, shares = [], []
    for name in sorted(n for n in attributes if n.startswith("JOINTS_")):
        group = name.removeprefix("JOINTS_")
        if f"WEIGHTS_{group}" not in attributes:
            continue
        index = attributes[name].astype(np.int64)
        share = np.maximum(attributes[f"WEIGHTS_{group}"].astype(np.float64), 0.0)
        if index.shape != share.shape:
            raise ModelError(f"JOINTS_{group} and WEIGHTS_{group} differ in shape", place=place)
        if len(index) and int(np.where(share > 0, index, 0).max()) >= joints:
            raise ModelError(f"JOINTS_{group} names joint {int(index.max())} of a skin with {joints}", place=place)
        indices.append(np.minimum(index, joints - 1))
        shares.append(share)
    index = np.concatenate(indices, axis=1) if indices else np.zeros((count, 1), np.int64)
    weights = np.concatenate(shares, axis=1) if shares else np.ones((count, 1))
    total = weights.sum(axis=1)
    weights[:, 0] = np.where(total > 0, weights[:, 0], 1.0)  # glTF: a vertex without weight hangs on its first joint
    weights /= np.where(total > 0, total, 1.0)[:, None]
    moves = np.stack([d.astype(np.float64) for d in deltas]) if deltas else np.zeros((0, count, 3))
    return Body(attributes["POSITION"].astype(np.float64), index, weights, moves)


def _sample_animation(
    document: Document, animation: Json, most: int, place: str
) -> tuple[int, dict[tuple[int, str], FloatArray]]:
    """How many poses were taken, and each channel's (poses, k) values by (node, path)."""
    samplers = items(animation, "samplers", place)
    inputs = []
    for number, sampler in enumerate(samplers):
        times = read_accessor(document, sampler.get("input"), f"{place}, sampler {number}")
        if times.shape[1] != 1 or len(times) == 0:
            raise ModelError("its times must be scalars, one at least", place=f"{place}, sampler {number}")
        inputs.append(times.reshape(-1).astype(np.float64))
    keys = np.unique(np.concatenate(inputs)) if inputs else np.zeros(1)
    at = np.unique(np.concatenate([keys, (keys[1:] + keys[:-1]) * 0.5]))
    if len(at) > most:
        at = at[np.unique(np.linspace(0, len(at) - 1, most).round().astype(np.int64))]
    channels = {}
    for number, channel in enumerate(items(animation, "channels", place)):
        target = channel.get("target", {})
        node, path = target.get("node"), target.get("path")
        if node is None or path not in (*WIDTHS, "weights"):
            continue  # what an extension moves is no geometry of ours
        where = f"{place}, channel {number}"
        sampler = item(animation, "samplers", channel.get("sampler"), where)
        values = read_accessor(document, sampler.get("output"), where).astype(np.float64)
        times = inputs[channel["sampler"]]
        cubic = sampler.get("interpolation") == "CUBICSPLINE"
        rows = len(times) * (3 if cubic else 1)
        if path == "weights":
            if values.shape[1] != 1 or len(values) % rows:
                raise ModelError(f"has {len(values):,} values for {len(times):,} times", place=where)
            values = values.reshape(rows, -1)
        elif values.shape != (rows, WIDTHS[path]):
            raise ModelError(f"has {len(values):,} values for {len(times):,} times", place=where)
        channels[node, path] = _interpolate(times, values, sampler.get("interpolation", "LINEAR"), at, path)
    return len(at), channels


def _interpolate(times: FloatArray, values: FloatArray, how: str, at: FloatArray, path: str) -> FloatArray:
    """Values (len(at), k) of a sampler, as glTF 2.0, appendix C, defines it."""
    before = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    span = times[after] - times[before]
    share = np.clip((at - times[before]) / np.where(span > 0, span, 1.0), 0.0, 1.0)[:, None]
    if how == "STEP":
        return values[before]
    if how == "CUBICSPLINE":
        into, value, out = values.reshape(len(times), 3, -1).transpose(1, 0, 2)
        long, s2, s3 = span[:, None], share**2, share**3
        result = (
            (2 * s3 - 3 * s2 + 1) * value[before]
            + long * (s3 - 2 * s2 + share) * out[before]
            + (3 * s2 - 2 * s3) * value[after]
            + long * (s3 - s2) * into[after]
        )
        return _unit(result) if path == "rotation" else result
    if path == "rotation":
        return _slerp(_unit(values[before]), _unit(values[after]), share)
    linear: FloatArray = values[before] * (1 - share) + values[after] * share
    return linear


def _slerp(start: FloatArray, end: FloatArray, share: FloatArray) -> FloatArray:
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
    length = np.linalg.norm(quaternions, axis=1, keepdims=True)
    return np.where(length > 0, quaternions / np.where(length > 0, length, 1.0), np.array([0.0, 0.0, 0.0, 1.0]))


def _local(node: Json, place: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    return (
        numbers(node.get("translation", [0, 0, 0]), 3, f"{place}, translation"),
        numbers(node.get("rotation", [0, 0, 0, 1]), 4, f"{place}, rotation"),
        numbers(node.get("scale", [1, 1, 1]), 3, f"{place}, scale"),
    )


def _moved_world(
    nodes: Sequence[Json], world: dict[int, FloatArray], moved: dict[int, dict[str, FloatArray]]
) -> dict[int, FloatArray]:
    parent = {child: n for n in world for child in nodes[n].get("children", [])}
    result: dict[int, FloatArray] = {}
    stack = [n for n in world if n not in parent]
    while stack:
        node = stack.pop()
        stack.extend(nodes[node].get("children", []))
        above = result[parent[node]] if node in parent else np.eye(4)[None]
        tracks = {path: v for path, v in moved.get(node, {}).items() if path != "weights"}
        if len(above) == 1 and not tracks:
            result[node] = world[node][None]
            continue
        place = label("node", node, nodes[node])
        if tracks:
            rest = dict(zip(WIDTHS, _local(nodes[node], place), strict=True))
            count = len(next(iter(tracks.values())))
            local = _composed(*(tracks.get(p, np.tile(rest[p], (count, 1))) for p in WIDTHS))
            local[0] = node_matrix(nodes[node], place)
        else:
            local = node_matrix(nodes[node], place)[None]
        with np.errstate(over="ignore", invalid="ignore"):
            result[node] = above @ local
    return dict(sorted(result.items()))


def _composed(translation: FloatArray, rotation: FloatArray, scale: FloatArray) -> FloatArray:
    """Matrices (t, 4, 4) of (t, k) translations, quaternions and scales."""
    x, y, z, w = rotation.T
    matrices = np.tile(np.eye(4), (len(rotation), 1, 1))
    matrices[:, :3, :3] = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )
    matrices[:, :3, :3] *= scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices
