"""Test vectors of version 1 are kept for good: later readers must still agree with bundles and relays out there."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "vectors" / "v1"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keep_vectors", ROOT / "scripts" / "keep_vectors.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


keep = _script()


def test_no_vector_of_version_1_has_changed_or_is_missing() -> None:
    assert keep.differences(keep.read_kept(FOLDER), keep.vectors_of(FOLDER)) == []


def test_every_vector_is_kept() -> None:
    missing = keep.vectors_of(FOLDER).keys() - keep.read_kept(FOLDER).keys()
    assert not missing, "run scripts/keep_vectors.py"


def edited(path: Path, edit: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), "utf-8")


@pytest.mark.parametrize(
    ("file", "edit", "line"),
    [
        (
            "protocol/control.json",
            lambda d: d["client"]["valid"][0].update(text="{}"),
            "protocol/control.json/client/valid/hello has changed",
        ),
        ("protocol/moves.json", lambda d: d["invalid"].pop(), "is missing"),
        ("protocol/poses.json", lambda d: d["quaternions"].insert(0, {}), "quaternions/0 has changed"),
        (
            "manifest/valid/catalogue.json",
            lambda d: d.update(generator="other"),
            "manifest/valid/catalogue.json has changed",
        ),
    ],
)
def test_a_changed_vector_is_noticed(tmp_path: Path, file: str, edit: Callable[[Any], object], line: str) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "v1"))
    edited(copy / file, edit)
    assert any(text.endswith(line) for text in keep.differences(keep.read_kept(FOLDER), keep.vectors_of(copy)))


def test_new_vectors_and_another_layout_change_nothing(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "v1"))
    edited(copy / "protocol/moves.json", lambda d: d["invalid"].append({"name": "one more", "hex": "00"}))
    assert keep.differences(keep.read_kept(FOLDER), keep.vectors_of(copy)) == []


def test_the_script_keeps_no_changed_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copytree(FOLDER, tmp_path / "v1"))
    edited(copy / "protocol/moves.json", lambda d: d["invalid"].pop())
    before = (copy / "kept.json").read_bytes()
    monkeypatch.setattr(keep, "FOLDER", copy)
    assert keep.main() == 1
    assert (copy / "kept.json").read_bytes() == before
