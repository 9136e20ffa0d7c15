"""Draco: encode a primitive on the tree's grid and describe what a decoder will see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import DracoPy
import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..settings import Settings
from .accessors import FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT

POSITION, NORMAL, COLOR, TEX_COORD = 0, 1, 2, 3  # Draco's GeometryAttribute::Type
MIN_POSITION_BITS, MAX_POSITION_BITS = 10, 20
MIN_UV_BITS = 8
# A picture of 4,096 texels repeated 64 times. With more, Draco's predictor of texture coordinates would leave its
# 64-bit integers on fine position grids.
MAX_UV_BITS = 20


@dataclass(frozen=True)
class Grid:
    """Draco's explicit position quantisation: origin + range · q / (2^bits − 1) on every axis."""

    origin: tuple[float, float, float]
    range: float
    bits: int

    @property
    def step(self) -> float:
        return self.range / ((1 << self.bits) - 1)


@dataclass(frozen=True)
class EncodedAttribute:
    """One attribute of a Draco stream as glTF must declare it. `values` are the decoded ones."""

    unique_id: int
    component: int
    normalized: bool
    values: AnyArray


@dataclass(frozen=True)
class EncodedPrimitive:
    """A Draco stream and its decoded form: what the accessors say and what errors are measured on.

    targets: float32 deltas (n, 3) of morph targets, which stay outside the stream, in its vertex order.
    """

    stream: bytes
    attributes: dict[str, EncodedAttribute]
    triangles: IntArray
    targets: tuple[dict[str, AnyArray], ...] = ()

    @property
    def vertices(self) -> int:
        return len(self.attributes["POSITION"].values)

    @property
    def gpu_bytes(self) -> int:
        """Bytes in GPU memory as three.js uploads it: decoded attributes, morph targets and an index."""
        vertex = sum(a.values.itemsize * a.values.shape[1] for a in self.attributes.values())
        morphs = sum(values.nbytes for target in self.targets for values in target.values())
        return int(self.vertices * vertex) + morphs + self.triangles.size * (2 if self.vertices <= 65535 else 4)

    @property
    def bytes(self) -> int:
        """About what a file needs for it."""
        return len(self.stream) + sum(values.nbytes for target in self.targets for values in target.values())


def choose_grid(low: FloatArray, high: FloatArray, edge: float, least_bits: int, finest: float = 0.0) -> Grid:
    """A grid around a box with 2 % margin whose step is at most a sixteenth of the median edge `edge`.

    finest: an error below which nobody asks for a finer tier; the step may be so large that rounding takes an eighth of
    it.
    """
    extent = float((high - low).max())
    extent = extent if extent > 0 else 1.0
    span = float(np.float32(extent * 1.04))
    origin = (low + high) * 0.5 - span * 0.5
    wanted = np.log2(span / edge * 16.0) if edge > 0 else 0.0
    bits = int(np.clip(np.ceil(wanted), least_bits, MAX_POSITION_BITS))
    if finest > 0:
        # Rounding moves a vertex by half a step on each axis at most.
        enough = np.log2(span * 0.5 * 3**0.5 * 8.0 / finest)
        bits = min(bits, max(MIN_POSITION_BITS, int(np.ceil(enough))))
    x, y, z = (float(np.float32(v)) for v in origin)
    return Grid((x, y, z), span, bits)


def uv_bits(values: FloatArray, texels: float) -> int:
    """Bits that make Draco's step over the range of texture coordinates (n, 2) at most a quarter of a texel.

    Further sets need none of this: inside 0…1 they are stored as 16-bit integers, a quarter of a texel of 16,384,
    and outside as they are.
    """
    span = float(np.ptp(values, axis=0).max()) if len(values) else 0.0
    return int(np.clip(np.ceil(np.log2(4.0 * texels * span + 1.0)), MIN_UV_BITS, MAX_UV_BITS))


def encode_primitive(
    attributes: Mapping[str, AnyArray],
    triangles: IntArray,
    grid: Grid,
    settings: Settings,
    targets: Sequence[dict[str, AnyArray]] = (),
    *,
    texels: float = 0.0,
    deep_colors: bool = False,
) -> EncodedPrimitive:
    """Encode vertices (n, k) and triangles (m, 3) as glTF's KHR_draco_mesh_compression stores them.

    targets: morph targets' deltas (n, 3), which Draco cannot hold.
    texels: of the finest picture along one unit of TEXCOORD_0; 0 without pictures.
    deep_colors: whether COLOR_0 has 12 bits of 16.
    """
    keep_order = len(targets) > 0
    attributes = {name: values.astype(np.float64) for name, values in attributes.items()}
    named: dict[str, tuple[int, int, bool]] = {}
    generic: dict[int, AnyArray] = {}
    options: dict[str, Any] = {}
    for name, values in attributes.items():
        if name == "POSITION":
            continue
        if name == "NORMAL":
            options |= {"normals": values.astype(np.float64), "normal_quantization_bits": settings.normal_bits}
        elif name == "TEXCOORD_0":
            options |= {
                "tex_coord": values.astype(np.float64),
                "tex_coord_quantization_bits": uv_bits(values, texels) if texels else settings.uv_bits,
            }
        elif name == "COLOR_0" and not deep_colors:
            options["colors"] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
        else:
            stored, component, normalized = _generic(name, values)
            named[name] = (len(generic), component, normalized)
            generic[len(generic)] = stored
    if keep_order:  # the decoded order is not the given one: each vertex carries its number
        generic[len(generic)] = np.arange(len(attributes["POSITION"]), dtype=np.uint32).reshape(-1, 1)
    stream = DracoPy.encode(
        np.ascontiguousarray(attributes["POSITION"], np.float32),
        faces=np.ascontiguousarray(triangles, np.uint32),
        quantization_bits=grid.bits,
        quantization_origin=np.array(grid.origin),
        quantization_range=grid.range,
        compression_level=settings.draco_level,
        generic_attributes=generic or None,
        preserve_order=keep_order,
        **options,
    )
    decoded = DracoPy.decode(stream)
    found = {
        name: EncodedAttribute(key, component, normalized, _values(decoded, key))
        for name, (key, component, normalized) in named.items()
    }
    for name, kind, component in (
        ("POSITION", POSITION, FLOAT),
        ("NORMAL", NORMAL, FLOAT),
        ("COLOR_0", COLOR, UNSIGNED_BYTE),
        ("TEXCOORD_0", TEX_COORD, FLOAT),
    ):
        if name in attributes and name not in found:
            key = next(a["unique_id"] for a in decoded.attributes if a["attribute_type"] == kind)
            found[name] = EncodedAttribute(int(key), component, name == "COLOR_0", _values(decoded, key))
    moved: tuple[dict[str, AnyArray], ...] = ()
    if keep_order:
        order = _values(decoded, len(generic) - 1).reshape(-1).astype(np.int64)
        moved = tuple({name: values[order] for name, values in target.items()} for target in targets)
    faces = np.asarray(decoded.faces).reshape(-1, 3).astype(np.int64)
    return EncodedPrimitive(bytes(stream), dict(sorted(found.items())), faces, moved)


def _generic(name: str, values: FloatArray) -> tuple[AnyArray, int, bool]:
    """How an attribute without a Draco type of its own is stored: array, component type, normalised."""
    if name.startswith("WEIGHTS_"):
        return values.astype(np.uint8), UNSIGNED_BYTE, True  # already quantised: they must sum to one
    if name.startswith("JOINTS_"):
        small = values.max(initial=0) < 256
        return values.astype(np.uint8 if small else np.uint16), UNSIGNED_BYTE if small else UNSIGNED_SHORT, False
    if name == "COLOR_0":
        # Linear light in bytes is coarse where it is dark: 13 of 255 sRGB codes in one step. Twelve bits are below one.
        codes = np.rint(np.clip(values, 0, 1) * 4095).astype(np.uint16)
        return codes << 4 | codes >> 8, UNSIGNED_SHORT, True
    if name.startswith("TEXCOORD_") and values.min(initial=0) >= 0 and values.max(initial=0) <= 1:
        return np.rint(values * 65535).astype(np.uint16), UNSIGNED_SHORT, True
    return np.ascontiguousarray(values, np.float32), FLOAT, False


def _values(decoded: Any, unique_id: int) -> AnyArray:
    attribute = decoded.get_attribute_by_unique_id(unique_id)
    values = np.asarray(attribute["data"])
    return values.reshape(len(decoded.points), -1)
