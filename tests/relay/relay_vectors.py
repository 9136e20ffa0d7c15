"""The shared test vectors and the schema of the control messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "relay/protocol.schema.json").read_text("utf-8"))
CONTROL: dict[str, Any] = json.loads((ROOT / "tests/vectors/v1/protocol/control.json").read_text("utf-8"))
MOVES: dict[str, Any] = json.loads((ROOT / "tests/vectors/v1/protocol/moves.json").read_text("utf-8"))
POSES: dict[str, Any] = json.loads((ROOT / "tests/vectors/v1/protocol/poses.json").read_text("utf-8"))


def message_schema(name: str) -> dict[str, Any]:
    """A self-contained schema of one of `$defs`."""
    return {"$schema": SCHEMA["$schema"], "$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}


def named(vectors: list[dict[str, Any]]) -> dict[str, Any]:
    """Arguments for `pytest.mark.parametrize` that use the name of each vector as its id."""
    return {"argvalues": vectors, "ids": [vector["name"] for vector in vectors]}
