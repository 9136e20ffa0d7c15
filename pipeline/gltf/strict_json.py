"""JSON from strangers: bounded in bytes, depth and values, each key once, every number finite."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Any

import numpy as np

from ..errors import ModelError, shown

MAX_JSON_BYTES = 256 << 20  # the largest JSON chunk of a real model seen is two orders below
MAX_JSON_DEPTH = 200  # deeper than any exporter nests, shallower than Python's recursion limit
MAX_JSON_VALUES = 1 << 24  # each takes 30 to 100 bytes in memory
MAX_DIGITS = 300  # longer integers overflow what a viewer makes of them, a double
EXPORT_AGAIN = "export it again"


def parse_json(text: bytes) -> Any:
    """What a JSON text holds. Raises ModelError for what is no JSON, and for more of it than a model can need."""
    if len(text) > MAX_JSON_BYTES:
        raise ModelError(f"the JSON is {len(text):,} bytes long, over the limit of {MAX_JSON_BYTES:,}")
    if sum(map(text.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise ModelError(f"the JSON holds more than {MAX_JSON_VALUES:,} values")
    if _depth(text) > MAX_JSON_DEPTH:
        raise ModelError(f"the JSON is nested more than {MAX_JSON_DEPTH} levels deep", remedy=EXPORT_AGAIN)
    try:
        parsed = json.loads(
            text.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        if b"\\ud" in text.lower():  # half a surrogate pair is no character, and no file could hold it
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ModelError(f"the JSON is not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise ModelError("the JSON holds half a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        raise ModelError(f"the JSON is broken at line {error.lineno}, column {error.colno}: {error.msg}") from None
    return parsed


def _depth(text: bytes) -> int:
    """Nesting depth of brackets, strings included: an upper bound that costs one pass in C."""
    deepest = depth = 0
    for start in range(0, len(text), 1 << 20):  # a piece at a time: sums take eight times the text's memory
        codes = np.frombuffer(text, np.uint8, min(1 << 20, len(text) - start), start)
        steps = np.zeros(len(codes), np.int64)
        steps[(codes == ord("[")) | (codes == ord("{"))] = 1
        steps[(codes == ord("]")) | (codes == ord("}"))] = -1
        depths = depth + np.cumsum(steps)
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with each of its keys once, as glTF asks: of two values, readers would take this one or that."""
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ModelError(f"the JSON holds {shown(twice)} twice in one object", remedy=EXPORT_AGAIN)
    return result


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ModelError(f"the JSON holds a number of {len(text):,} digits", remedy=EXPORT_AGAIN)
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse_constant(text)


def _refuse_constant(name: str) -> float:
    raise ModelError(f"the JSON holds {name[:40]}, which is no finite number")
