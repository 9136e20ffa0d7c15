"""The shared vectors and the schema, as Python sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "relay/protocol.schema.json").read_text("utf-8"))
CONTROL: dict[str, Any] = json.loads((ROOT / "tests/vectors/protocol/control.json").read_text("utf-8"))
MOVES: dict[str, Any] = json.loads((ROOT / "tests/vectors/protocol/moves.json").read_text("utf-8"))
POSES: dict[str, Any] = json.loads((ROOT / "tests/vectors/protocol/poses.json").read_text("utf-8"))


def message_schema(name: str) -> dict[str, Any]:
    """The schema of one of `$defs`, self-contained."""
    return {"$schema": SCHEMA["$schema"], "$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}


def named(vectors: list[dict[str, Any]]) -> dict[str, Any]:
    """Arguments of `pytest.mark.parametrize` that name each case."""
    return {"argvalues": vectors, "ids": [vector["name"] for vector in vectors]}
