"""Joints and weights of a skin in the form that files hold: sets of four, weights as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray


def skin_sets(attributes: Mapping[str, AnyArray]) -> list[str]:
    """The set numbers for which both JOINTS and WEIGHTS exist."""
    numbers = sorted(n.removeprefix("JOINTS_") for n in attributes if n.startswith("JOINTS_"))
    return [n for n in numbers if f"WEIGHTS_{n}" in attributes]


def quantise_skin(attributes: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """The artist's own attributes (n, k) as they are encoded."""
    sets = skin_sets(attributes)
    result = {name: values.astype(np.float64) for name, values in attributes.items()}
    if sets:
        joints, weights = (
            np.concatenate([attributes[f"{n}_{s}"] for s in sets], axis=1) for n in ("JOINTS", "WEIGHTS")
        )
        result |= skin_attributes(sets, joints, weights)
    return result


def skin_attributes(sets: Sequence[str], joints: AnyArray, weights: AnyArray) -> dict[str, FloatArray]:
    """JOINTS and WEIGHTS of each set from joints and weights (n, 4 per set).

    A joint without weight becomes joint 0, as glTF 2.0, section 3.7.3.3, requires.
    """
    quantised = quantise_weights(weights)
    weighted = np.where(quantised > 0, joints, 0)
    return {
        f"{name}_{number}": values[:, 4 * k : 4 * k + 4].astype(np.float64)
        for k, number in enumerate(sets)
        for name, values in (("JOINTS", weighted), ("WEIGHTS", quantised))
    }


def quantise_weights(weights: AnyArray) -> AnyArray:
    """Weights (n, k) as bytes whose rows sum to 255: rounded down, and the rest to the largest remainders.

    A vertex without weight follows its first joint.
    """
    positive = np.maximum(weights.astype(np.float64), 0.0)
    total = positive.sum(axis=1, keepdims=True)
    first = np.zeros_like(positive)
    first[:, 0] = 1.0
    share = np.where(total > 0, positive / np.where(total > 0, total, 1.0), first) * 255
    floor = np.floor(share + 1e-9)
    missing = np.rint(255 - floor.sum(axis=1)).astype(np.int64)
    rank = np.argsort(np.argsort(-(share - floor), axis=1, kind="stable"), axis=1, kind="stable")
    result: AnyArray = (floor + (rank < missing[:, None])).astype(np.uint8)
    return result


def blend_skin(sets: Sequence[str], joints: IntArray, weights: FloatArray, shares: FloatArray) -> dict[str, FloatArray]:
    """JOINTS and WEIGHTS of each set at points between three vertices each: the heaviest joints of all three.

    joints, weights: (n, 3, s) of the vertices around each point. shares: their barycentric weights (n, 3).
    """
    joints = joints.reshape(len(joints), -1)
    weights = (weights * shares[:, :, None]).reshape(len(weights), -1)
    order = np.argsort(joints, axis=1, kind="stable")
    joints, weights = np.take_along_axis(joints, order, 1), np.take_along_axis(weights, order, 1)
    for k in range(joints.shape[1] - 1, 0, -1):  # equal joints are adjacent: the first gets their sum
        same = joints[:, k] == joints[:, k - 1]
        weights[:, k - 1] += np.where(same, weights[:, k], 0.0)
        weights[:, k] = np.where(same, 0.0, weights[:, k])
    width = 4 * len(sets)
    heaviest = np.argsort(-weights, axis=1, kind="stable")[:, :width]
    joints, weights = np.take_along_axis(joints, heaviest, 1), np.take_along_axis(weights, heaviest, 1)
    padding = ((0, 0), (0, max(0, width - joints.shape[1])))
    return skin_attributes(sets, np.pad(joints, padding), np.pad(weights, padding))
