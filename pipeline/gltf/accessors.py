"""Read accessors, bufferViews and images of a document, and write arrays as accessors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..errors import DAMAGED, ModelError, shown
from .document import Document, Json, integer, item, label

BYTE, UNSIGNED_BYTE, SHORT, UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5120, 5121, 5122, 5123, 5125, 5126
COMPONENTS: dict[int, np.dtype[Any]] = {
    BYTE: np.dtype("<i1"),
    UNSIGNED_BYTE: np.dtype("<u1"),
    SHORT: np.dtype("<i2"),
    UNSIGNED_SHORT: np.dtype("<u2"),
    UNSIGNED_INT: np.dtype("<u4"),
    FLOAT: np.dtype("<f4"),
}
COMPONENT_OF = {dtype: component for component, dtype in COMPONENTS.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
MAX_ELEMENTS = 1 << 28  # with a stride of one byte a file can declare any count; 268 million exceed every GPU


def read_accessor(document: Document, index: Any, place: str, *, normalize: bool = True) -> AnyArray:
    """Read accessor `index` as an array of shape (count, width), with sparse values applied.

    Normalised integers become float32 in 0…1 or −1…1 unless `normalize` is false.
    Raises ModelError if the accessor is inconsistent, or a value is not finite.
    """
    accessor = item(document.json, "accessors", index, place)
    place = f"{place}, accessor {index}"
    dtype = _component(accessor)
    width = WIDTHS.get(str(accessor.get("type")))
    if dtype is None or width is None:
        raise ModelError("has an unknown componentType or type", place=place)
    count = integer(accessor, "count", place)
    if count * width > MAX_ELEMENTS:
        raise ModelError(f"declares {count:,} elements, more than any real model holds", place=place)
    if accessor.get("bufferView") is None:
        # Sparse values change vertices of another accessor, which takes at least one byte for each.
        if count > sum(map(len, document.buffers)):
            raise ModelError(f"declares {count:,} elements and has no data", place=place)
        values = np.zeros((count, width), dtype)
    else:
        view, stride = _view(document, accessor["bufferView"], place)
        values = _strided(view, integer(accessor, "byteOffset", place, 0), count, width, dtype, stride, place)
    sparse = accessor.get("sparse")
    if sparse is not None:
        values = values.copy()
        _apply_sparse(document, sparse, values, place)
    if dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ModelError(
            f"element {bad:,} is not a finite number",
            place=place,
            remedy="clean the model in the modelling program and export it again",
        )
    if accessor.get("normalized") and dtype.kind in "iu" and normalize:
        scaled: AnyArray = values.astype(np.float32) / np.float32(np.iinfo(dtype).max)
        return np.maximum(scaled, np.float32(-1.0))
    return values


def read_image(document: Document, index: int) -> bytes:
    """The encoded bytes of image `index`."""
    image = item(document.json, "images", index, "images")
    if index in document.image_files:
        return document.image_files[index]
    view, _ = _view(document, image["bufferView"], label("image", index, image))
    return bytes(view)


def view_bytes(document: Document, index: Any, place: str) -> bytes:
    """The bytes of bufferView `index`."""
    return bytes(_view(document, index, place)[0])


class AccessorWriter:
    """Packs arrays into one buffer, and appends a bufferView and an accessor for each to the given lists.

    buffer: the index of the buffer in its document.
    """

    def __init__(self, views: list[Json], accessors: list[Json], buffer: int = 0) -> None:
        self.views = views
        self.accessors = accessors
        self.chunk = bytearray()
        self._buffer = buffer

    def add_view(self, content: bytes, stride: int | None = None) -> int:
        """Append a bufferView that starts at a multiple of four bytes; its index."""
        self.chunk += b"\0" * (-len(self.chunk) % 4)
        view = {"buffer": self._buffer, "byteOffset": len(self.chunk), "byteLength": len(content)}
        self.views.append(view | ({} if stride is None else {"byteStride": stride}))
        self.chunk += content
        return len(self.views) - 1

    def add_accessor(
        self,
        values: AnyArray,
        component: int,
        *,
        view: bool = True,
        vertex: bool = False,
        bounds: bool = False,
        **extra: Any,
    ) -> int:
        """Append an accessor over values (n, k); its index.

        view: whether it has a bufferView of its own; without one it only describes data in a Draco stream.
        vertex: whether rows start at multiples of four bytes, as glTF requires of vertex attributes.
        bounds: whether it has min and max. extra: more properties, such as `normalized`.
        """
        accessor: Json = {
            "componentType": component,
            "count": len(values),
            "type": extra.pop("type", None) or TYPES[values.shape[1]],
            **extra,
        }
        if view:
            row = values.itemsize * values.shape[1]
            stride = row + -row % 4 if vertex and row % 4 else None
            if stride:
                padded = np.zeros((len(values), stride), np.uint8)
                padded[:, :row] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), row)
                accessor["bufferView"] = self.add_view(padded.tobytes(), stride)
            else:
                accessor["bufferView"] = self.add_view(values.tobytes())
        if bounds:
            # By column: NumPy takes twenty times as long to reduce rows of so few columns.
            accessor["min"] = [_shortest(column.min()) for column in values.T]
            accessor["max"] = [_shortest(column.max()) for column in values.T]
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _shortest(value: Any) -> float:
    """A component with the fewest digits that give the same float32."""
    return float(str(value)) if isinstance(value, np.float32) else float(value)


def _view(document: Document, index: Any, place: str) -> tuple[memoryview, int | None]:
    """The bytes of a bufferView, and its stride if it has one."""
    view = item(document.json, "bufferViews", index, place)
    place = f"{place}, bufferView {index}"
    buffer = view.get("buffer")
    if isinstance(buffer, bool) or not isinstance(buffer, int) or not 0 <= buffer < len(document.buffers):
        raise ModelError(f"points at buffers[{shown(buffer)}]", place=place)
    start = integer(view, "byteOffset", place, 0)
    length = integer(view, "byteLength", place)
    content = document.buffers[buffer]
    if start + length > len(content):
        raise ModelError(f"ends at byte {start + length:,} of a buffer of {len(content):,}", place=place)
    stride = None if view.get("byteStride") is None else integer(view, "byteStride", place)
    return memoryview(content)[start : start + length], stride


def _strided(
    view: memoryview, offset: int, count: int, width: int, dtype: np.dtype[Any], stride: int | None, place: str
) -> AnyArray:
    """Values (count, width) of a bufferView, without a copy."""
    size = dtype.itemsize * width
    step = stride or size
    end = offset + (count - 1) * step + size if count else offset
    if end > len(view):
        raise ModelError(
            f"needs {end:,} bytes but its bufferView has {len(view):,}",
            place=place,
            remedy=DAMAGED,
        )
    return np.ndarray((count, width), dtype, view, offset, (step, dtype.itemsize))


def _component(holder: Json) -> np.dtype[Any] | None:
    component = holder.get("componentType")
    return COMPONENTS.get(component) if isinstance(component, int) else None


def _apply_sparse(document: Document, sparse: Any, values: AnyArray, place: str) -> None:
    """Write the values of a `sparse` object into `values` (n, k)."""
    if not isinstance(sparse, dict) or not all(isinstance(sparse.get(k), dict) for k in ("indices", "values")):
        raise ModelError("has a broken sparse object", place=place)
    count = integer(sparse, "count", place)
    if count > len(values):
        raise ModelError(f"has {count:,} sparse values for {len(values):,} elements", place=place)
    dtype = _component(sparse["indices"])
    if dtype is None or dtype.kind != "u":
        raise ModelError("sparse indices must be unsigned integers", place=place)
    view, _ = _view(document, sparse["indices"].get("bufferView"), place)
    offset = integer(sparse["indices"], "byteOffset", place, 0)
    indices = _strided(view, offset, count, 1, dtype, None, place).reshape(-1)
    view, _ = _view(document, sparse["values"].get("bufferView"), place)
    offset = integer(sparse["values"], "byteOffset", place, 0)
    replacement = _strided(view, offset, count, values.shape[1], values.dtype, None, place)
    if count and int(indices.max()) >= len(values):
        raise ModelError(f"a sparse index is past the end of {len(values):,} elements", place=place)
    values[indices] = replacement
