"""Parse untrusted JSON: with limits on bytes, depth and values, without repeated keys, with finite numbers only."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Any

import numpy as np

from ..errors import EXPORT_AGAIN, ModelError, shown

MAX_JSON_BYTES = 256 << 20  # the largest JSON chunk seen in a real model is a hundredth of this
MAX_JSON_DEPTH = 200  # more than any exporter nests, less than Python's recursion limit
MAX_JSON_VALUES = 1 << 24  # each takes 30 to 100 bytes in memory
MAX_DIGITS = 300  # of an integer: viewers read numbers as doubles, which overflow at 309


def parse_json(text: bytes) -> Any:
    """The value of a JSON text. Raises ModelError if the text is not JSON, or larger than any model needs."""
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
            parse_float=_finite_float,
            parse_int=_bounded_integer,
        )
        if b"\\ud" in text.lower():  # half a surrogate pair is not a character, and cannot be written to a file
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ModelError(f"the JSON is not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise ModelError("the JSON holds half a surrogate pair, which is not a character") from None
    except json.JSONDecodeError as error:
        raise ModelError(f"the JSON is broken at line {error.lineno}, column {error.colno}: {error.msg}") from None
    return parsed


def _depth(text: bytes) -> int:
    """The nesting depth of brackets, those in strings included: an upper bound that one pass in C computes."""
    deepest = depth = 0
    for start in range(0, len(text), 1 << 20):  # in blocks: the sums take eight times the memory of the text
        codes = np.frombuffer(text, np.uint8, min(1 << 20, len(text) - start), start)
        steps = np.zeros(len(codes), np.int64)
        steps[(codes == ord("[")) | (codes == ord("{"))] = 1
        steps[(codes == ord("]")) | (codes == ord("}"))] = -1
        depths = depth + np.cumsum(steps)
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ModelError for a repeated key, which glTF forbids: readers choose different values."""
    result = dict(pairs)
    if len(result) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ModelError(f"the JSON holds {shown(repeated)} twice in one object", remedy=EXPORT_AGAIN)
    return result


def _bounded_integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ModelError(f"the JSON holds a number of {len(text):,} digits", remedy=EXPORT_AGAIN)
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse_constant(text)


def _refuse_constant(name: str) -> float:
    raise ModelError(f"the JSON holds {name[:40]}, which is not a finite number")
