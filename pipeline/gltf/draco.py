"""Encode primitives with Draco on a tree's grid, and return the decoded values that errors are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import DracoPy
import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..settings import Settings
from .accessors import COMPONENTS, FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT

POSITION, NORMAL, COLOR, TEX_COORD = 0, 1, 2, 3  # Draco's GeometryAttribute::Type
# Attributes with a type of their own in a stream: (name, Draco type, component type). DracoPy quantises floats of these
# types only, so that tangents, where a material needs them, have that of texture coordinates.
TYPED = (
    ("POSITION", POSITION, FLOAT),
    ("NORMAL", NORMAL, FLOAT),
    ("COLOR_0", COLOR, UNSIGNED_BYTE),
    ("TANGENT", TEX_COORD, FLOAT),
    ("TEXCOORD_0", TEX_COORD, FLOAT),
)
TANGENT_BITS = 10  # a step of a tenth of a degree
MIN_POSITION_BITS, MAX_POSITION_BITS = 10, 20
MIN_UV_BITS = 8
# Enough for a picture of 4,096 texels repeated 64 times. More bits would overflow the 64-bit integers of Draco's
# texture coordinate predictor on fine position grids.
MAX_UV_BITS = 20


@dataclass(frozen=True)
class Grid:
    """Draco's explicit quantisation of positions: origin + range · q / (2^bits − 1) on every axis, in metres."""

    origin: tuple[float, float, float]
    range: float
    bits: int

    @property
    def step(self) -> float:
        return self.range / ((1 << self.bits) - 1)

    def cells(self, positions: FloatArray) -> IntArray:
        """The quantised positions (n, 3): Draco's arithmetic, which is that of float32."""
        inverse_step = np.float32((1 << self.bits) - 1) / np.float32(self.range)
        offsets = positions.astype(np.float32) - np.array(self.origin, np.float32)
        cells: IntArray = np.floor(offsets * inverse_step + np.float32(0.5)).astype(np.int64)
        return cells


@dataclass(frozen=True)
class EncodedAttribute:
    """One attribute of a Draco stream, as its glTF accessor must declare it. values: (n, k), decoded."""

    unique_id: int
    component: int
    normalized: bool
    values: AnyArray


@dataclass(frozen=True)
class EncodedPrimitive:
    """A Draco stream and its decoded form, for accessors and for error measurement.

    targets: float32 deltas (n, 3) of morph targets, in the vertex order of the stream. They are stored outside of it.
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
        """Bytes in GPU memory as three.js uploads them: decoded attributes, morph targets and indices."""
        vertex = sum(a.values.itemsize * a.values.shape[1] for a in self.attributes.values())
        morphs = sum(values.nbytes for target in self.targets for values in target.values())
        return int(self.vertices * vertex) + morphs + self.triangles.size * (2 if self.vertices <= 65535 else 4)

    @property
    def bytes(self) -> int:
        """Approximate bytes in a file."""
        return len(self.stream) + sum(values.nbytes for target in self.targets for values in target.values())


def choose_grid(low: FloatArray, high: FloatArray, edge: float, least_bits: int, finest: float = 0.0) -> Grid:
    """A grid around a box with a margin of 2 %, whose step is at most a sixteenth of the median edge length `edge`.

    low, high: corners of the box. least_bits: the minimum number of bits.
    finest: the error of the finest tier that the settings allow. The step may be larger than a sixteenth of an edge, as
        long as rounding moves a vertex by an eighth of this error at most.
    """
    extent = float((high - low).max())
    extent = extent if extent > 0 else 1.0
    span = float(np.float32(extent * 1.04))
    origin = (low + high) * 0.5 - span * 0.5
    bits_for_edges = np.log2(span / edge * 16.0) if edge > 0 else 0.0
    bits = int(np.clip(np.ceil(bits_for_edges), least_bits, MAX_POSITION_BITS))
    if finest > 0:
        # Rounding moves a vertex by at most half a step on each axis.
        bits_for_error = np.log2(span * 0.5 * 3**0.5 * 8.0 / finest)
        bits = min(bits, max(MIN_POSITION_BITS, int(np.ceil(bits_for_error))))
    x, y, z = (float(np.float32(v)) for v in origin)
    return Grid((x, y, z), span, bits)


def uv_bits(values: FloatArray, texels: float) -> int:
    """Bits that make Draco's step over the range of texture coordinates (n, 2) at most a quarter of a texel.

    texels: of the finest picture along one unit. Sets after the first do not need it: within 0…1 they are stored as
    16-bit integers, whose step is a quarter of a texel of 16,384, and otherwise as float32.
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
    """Encode vertex attributes (n, k) and triangles (m, 3) for KHR_draco_mesh_compression.

    targets: deltas (n, 3) of morph targets, which Draco does not store.
    texels: of the finest picture along one unit of TEXCOORD_0; 0 without pictures.
    deep_colors: whether COLOR_0 is stored with 12 bits, in 16-bit integers.
    """
    keep_order = len(targets) > 0
    attributes = {name: values.astype(np.float64) for name, values in attributes.items()}
    generic, declared, options = _draco_arguments(attributes, settings, texels, deep_colors)
    if keep_order:  # the decoder returns another order, so each vertex carries its number
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
    encoded = {
        name: EncodedAttribute(
            key, component, normalized, _values(decoded, key).astype(COMPONENTS[component], copy=False)
        )
        for name, (key, component, normalized) in declared.items()
    }
    for name, kind, component in TYPED:
        if name in attributes and name not in encoded:
            key = next(a["unique_id"] for a in decoded.attributes if a["attribute_type"] == kind)
            encoded[name] = EncodedAttribute(int(key), component, name == "COLOR_0", _values(decoded, key))
    reordered: tuple[dict[str, AnyArray], ...] = ()
    if keep_order:
        order = _values(decoded, len(generic) - 1).reshape(-1).astype(np.int64)
        reordered = tuple({name: values[order] for name, values in target.items()} for target in targets)
    faces = np.asarray(decoded.faces).reshape(-1, 3).astype(np.int64)
    return EncodedPrimitive(bytes(stream), dict(sorted(encoded.items())), faces, reordered)


def _draco_arguments(
    attributes: Mapping[str, FloatArray], settings: Settings, texels: float, deep_colors: bool
) -> tuple[dict[int, AnyArray], dict[str, tuple[int, int, bool]], dict[str, Any]]:
    """Arguments for the encoder: generic attributes by id, (id, component type, normalised) by name, and options."""
    generic: dict[int, AnyArray] = {}
    declared: dict[str, tuple[int, int, bool]] = {}
    options: dict[str, Any] = {}
    for name, values in attributes.items():
        if name == "POSITION":
            continue
        if name == "NORMAL":
            options |= {"normals": values, "normal_quantization_bits": settings.normal_bits}
        elif name == "TANGENT":
            options |= {"tex_coord": values, "tex_coord_quantization_bits": TANGENT_BITS}
        elif name == "TEXCOORD_0" and "TANGENT" not in attributes:
            bits = uv_bits(values, texels) if texels else settings.uv_bits
            options |= {"tex_coord": values, "tex_coord_quantization_bits": bits}
        elif name == "COLOR_0" and not deep_colors:
            options["colors"] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
        else:
            stored, component, normalized = _generic(name, values)
            declared[name] = (len(generic), component, normalized)
            generic[len(generic)] = stored
    return generic, declared, options


def _generic(name: str, values: FloatArray) -> tuple[AnyArray, int, bool]:
    """The stored form of an attribute that has no Draco type of its own: array, component type, normalised."""
    if name.startswith("WEIGHTS_"):
        return values.astype(np.uint8), UNSIGNED_BYTE, True  # quantised before: they must sum to one
    if name.startswith("JOINTS_"):
        small = values.max(initial=0) < 256
        return values.astype(np.uint8 if small else np.uint16), UNSIGNED_BYTE if small else UNSIGNED_SHORT, False
    if name == "COLOR_0":
        # In the dark one step of 8-bit linear light covers 13 of 255 sRGB codes; one of 12 bits covers less than one.
        codes = np.rint(np.clip(values, 0, 1) * 4095).astype(np.uint16)
        return codes << 4 | codes >> 8, UNSIGNED_SHORT, True
    if name.startswith("TEXCOORD_") and values.min(initial=0) >= 0 and values.max(initial=0) <= 1:
        return np.rint(values * 65535).astype(np.uint16), UNSIGNED_SHORT, True
    return np.ascontiguousarray(values, np.float32), FLOAT, False


def _values(decoded: Any, unique_id: int) -> AnyArray:
    attribute = decoded.get_attribute_by_unique_id(unique_id)
    values = np.asarray(attribute["data"])
    return values.reshape(len(decoded.points), -1)
