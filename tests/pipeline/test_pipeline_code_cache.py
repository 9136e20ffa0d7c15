"""Machine code of the mesh loops: compiled once, and told; that of older versions goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gltf_maker as make
import pytest
from streamxr.pipeline import build as stage
from streamxr.pipeline.events import Event, Notice
from streamxr.pipeline.mesh import code_cache
from streamxr.pipeline.settings import Settings

DAY_S = 86_400.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds nothing."""
    folder = tmp_path / "streamxr" / "compiled-0123"
    monkeypatch.setattr(code_cache, "folder", lambda: folder)
    return folder


def test_what_nobody_used_for_long_is_removed(cache: Path) -> None:
    now = 1_000 * DAY_S
    for name, days in (("compiled-old", 40), ("compiled-new", 20)):
        other = cache.parent / name
        other.mkdir(parents=True)
        (other / code_cache.READY).touch()
        os.utime(other / code_cache.READY, (now - days * DAY_S,) * 2)
    unfinished = cache.parent / "compiled-unfinished"
    unfinished.mkdir()
    os.utime(unfinished, (now - 40 * DAY_S,) * 2)
    assert not code_cache.is_ready()
    code_cache.note_use(now)
    assert code_cache.is_ready()
    assert sorted(path.name for path in cache.parent.iterdir()) == ["compiled-0123", "compiled-new"]


@pytest.mark.parametrize("there", [False, True])
def test_the_first_build_says_what_it_waits_for(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        code_cache.note_use()
    source = tmp_path / "src"
    source.mkdir()
    make.save(make.textured_sphere(6, 8), source, "ball")
    ran: list[list[str]] = []
    monkeypatch.setattr("streamxr.pipeline.build.subprocess.run", lambda command, **_: ran.append(command))
    heard: list[Event] = []
    stage.build(source, tmp_path / "build", Settings(), jobs=1, on_progress=heard.append)
    assert [isinstance(event, Notice) for event in heard].count(True) == len(ran) == (0 if there else 1)
    assert cache.is_dir()


def test_after_the_warm_up_a_build_compiles_nothing(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "streamxr.pipeline.warm_up"], check=True, timeout=300)
    before = sorted(code_cache.folder().rglob("*.nbc"))
    assert code_cache.is_ready()
    make.save(make.textured_sphere(40, 60), tmp_path, "ball")
    streamxr = Path(sys.executable).parent / "streamxr"
    subprocess.run([streamxr, "build", tmp_path, "-o", tmp_path / "build", "--leaf-triangles", "500"], check=True)
    assert sorted(code_cache.folder().rglob("*.nbc")) == before
