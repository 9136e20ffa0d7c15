"""Skins and morph targets: the vertices of a deformable mesh in each pose of its node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from .accessors import read_accessor
from .animation_sampling import MAX_POSES, Motion
from .document import Document, item, label

MAX_POSED_VERTICES = 20_000_000  # in one pass over a mesh, all its poses together
MIN_POSES = 12  # however many vertices the mesh has


@dataclass(frozen=True)
class MeshPoses:
    """The poses in which a node draws its mesh.

    matrices: (t, j, 4, 4) of the skin's joints, or of the node itself (j = 1) if it has no skin; t is 1 without motion.
    weights: (t, k) of the morph targets.
    """

    matrices: FloatArray
    weights: FloatArray

    def sampled(self, vertices: int) -> list[int]:
        """Pose numbers spread evenly, the rest pose first; fewer if the mesh has many vertices."""
        most = int(np.clip(MAX_POSED_VERTICES // max(1, vertices), MIN_POSES, MAX_POSES))
        poses = max(len(self.matrices), len(self.weights))
        return [int(p) for p in np.unique(np.linspace(0, poses - 1, min(most, poses)).round())]


@dataclass(frozen=True)
class DeformableVertices:
    """Vertices with the data that skins and morph targets need.

    positions: (n, 3) in the mesh's space; deltas: (k, n, 3) of the morph targets.
    joints, weights: (n, s), each row of weights summing to one; all on joint 0 without a skin.
    """

    positions: FloatArray
    joints: IntArray
    weights: FloatArray
    deltas: FloatArray

    def posed(self, poses: MeshPoses, pose: int) -> FloatArray:
        """(n, 3) positions in one pose: morphed, then skinned by linear blending."""
        positions = self.positions
        if len(self.deltas):
            share = poses.weights[min(pose, len(poses.weights) - 1), : len(self.deltas)]
            positions = positions + np.einsum("k,knj->nj", share, self.deltas)
        matrices = poses.matrices[min(pose, len(poses.matrices) - 1), :, :3]
        if len(matrices) == 1:
            rigid: FloatArray = positions @ matrices[0, :, :3].T + matrices[0, :, 3]
            return rigid
        blend = np.zeros((len(positions), 3, 4))
        for k in range(self.joints.shape[1]):
            blend += self.weights[:, k, None, None] * matrices[self.joints[:, k]]
        skinned: FloatArray = np.einsum("nij,nj->ni", blend[:, :, :3], positions) + blend[:, :, 3]
        return skinned


def read_mesh_poses(document: Document, node: int, motion: Motion, place: str) -> MeshPoses:
    """The poses in which a node draws its mesh into the asset's space. Raises ModelError if its skin is broken."""
    weights = motion.weights.get(node, np.zeros((1, 0)))
    skin = item(document.json, "nodes", node, f"node {node}").get("skin")
    if skin is None:
        return MeshPoses(motion.world[node][:, None], weights)
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
    unmoved = np.eye(4)[None]
    matrices = np.empty((count, len(joints), 4, 4))
    for index, joint in enumerate(joints):
        matrices[:, index] = motion.world.get(joint, unmoved) @ inverse[index]
    return MeshPoses(matrices, weights)


def read_deformable(
    attributes: dict[str, AnyArray], deltas: Sequence[AnyArray], joints: int, place: str
) -> DeformableVertices:
    """The vertices of a primitive that has a skin or morph targets.

    deltas: (n, 3) of each morph target. joints: the number of joints of the skin.
    Raises ModelError if a vertex refers to another joint.
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
    weights[:, 0] = np.where(total > 0, weights[:, 0], 1.0)  # a vertex without weight follows its first joint
    weights /= np.where(total > 0, total, 1.0)[:, None]
    moves = np.stack([d.astype(np.float64) for d in deltas]) if deltas else np.zeros((0, count, 3))
    return DeformableVertices(attributes["POSITION"].astype(np.float64), index, weights, moves)
