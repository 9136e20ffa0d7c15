"""The machine code of the mesh loops: compiled once, kept for one state of the source, and never in a build's way."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gltf_maker as make
import pytest
from streamxr.pipeline import build as stage
from streamxr.pipeline.events import Event, Notice
from streamxr.pipeline.mesh import code_cache
from streamxr.pipeline.settings import Settings

DAY_S = 86_400.0
STREAMXR = Path(sys.executable).parent / "streamxr"
# Compiles and calls two small loops. Prints the folder of the cache and the number of loops compiled.
CALL_LOOPS = """
import numpy as np
from {package}.mesh import code_cache, compiled
double = compiled.compiled_inner(lambda x: x * 2.0)
@compiled.compiled
def total(values):
    sum = 0.0
    for value in values:
        sum += double(value)
    return sum
assert total(np.arange(5.0)) == 20.0
print(code_cache.folder(), sum(total._cache_misses.values()) + sum(double._cache_misses.values()))
"""


def call_loops(cache: Path, package: str = "streamxr.pipeline", limit: int | None = None, **paths: str) -> list[str]:
    """Run CALL_LOOPS in a process of its own: its words on standard output, then its lines on standard error.

    limit: the largest file that the process may write, bytes.
    """
    script = CALL_LOOPS.format(package=package)
    if limit is not None:
        script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{script}"
    # A file, since the loops' source must have a name.
    path = cache.parent / "call_loops.py"
    path.write_text(script)
    environment = {**os.environ, code_cache.VARIABLE: str(cache), **paths}
    done = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [*done.stdout.split(), *done.stderr.splitlines()]


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without anything, for this process and those that it starts."""
    cache = tmp_path / "cache"
    monkeypatch.setenv(code_cache.VARIABLE, str(cache))
    return cache


def test_folders_that_were_not_used_for_long_are_removed(empty: Path) -> None:
    now = 1_000 * DAY_S
    for name, days in (("compiled-old", 40), ("compiled-new", 20)):
        other = empty / name
        other.mkdir(parents=True)
        (other / code_cache.READY).touch()
        os.utime(other / code_cache.READY, (now - days * DAY_S,) * 2)
    unfinished = empty / "compiled-unfinished"
    unfinished.mkdir()
    os.utime(unfinished, (now - 40 * DAY_S,) * 2)
    assert not code_cache.is_ready()
    code_cache.note_use(now)
    assert code_cache.is_ready()
    assert sorted(path.name for path in empty.iterdir()) == sorted([code_cache.folder().name, "compiled-new"])


class NoProcess:
    """Stands for a warm-up process that ends at once."""

    def wait(self) -> int:
        return 0

    def terminate(self) -> None:
        return None


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_build_announces_that_it_compiles(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready: bool, jobs: int
) -> None:
    if ready:
        code_cache.note_use()
    source = tmp_path / "src"
    source.mkdir()
    started: list[list[str]] = []

    def start(command: list[str], **_: object) -> NoProcess:
        started.append(command)
        return NoProcess()

    monkeypatch.setattr("streamxr.pipeline.build.subprocess.Popen", start)
    events: list[Event] = []
    (source / "broken.glb").write_bytes(b"no model, so that nothing needs a loop")
    stage.build(source, tmp_path / "build", Settings(), jobs=jobs, on_progress=events.append)
    assert [isinstance(event, Notice) for event in events].count(True) == (0 if ready else 1)
    assert len(started) == (0 if ready else jobs)
    assert empty.is_dir()


@pytest.fixture(scope="module")
def all_loops() -> list[Path]:
    """The files of all compiled loops, in the cache that the tests share."""
    subprocess.run([sys.executable, "-m", "streamxr.pipeline.warm_up"], check=True, timeout=300)
    assert code_cache.is_ready()
    return kept(code_cache.folder())


@pytest.fixture
def ready(all_loops: list[Path], empty: Path) -> Path:
    """The folder of a cache with all loops that no other test uses."""
    folder = empty / all_loops[0].parent.name
    folder.mkdir(parents=True)
    for path in all_loops:
        if path.suffix != ".damaged":
            shutil.copyfile(path, folder / path.name)
    return folder


def build_ball(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a model with all kinds of tasks in one process."""
    make.save(make.textured_sphere(40, 60), folder, "ball")
    command = [STREAMXR, "build", folder / "ball.glb", "-o", folder / "build", "--leaf-triangles", "500", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done


def test_after_the_warm_up_a_build_compiles_nothing(ready: Path, tmp_path: Path) -> None:
    before = kept(ready)
    build_ball(tmp_path)
    assert kept(ready) == before


def test_a_second_process_compiles_nothing(empty: Path) -> None:
    assert call_loops(empty)[1] == "2"
    assert call_loops(empty)[1:] == ["0"]


@pytest.mark.parametrize("damage", ["emptied", "truncated", "altered", "renamed"])
def test_a_damaged_file_is_set_aside_and_its_loop_compiled_again(empty: Path, damage: str) -> None:
    call_loops(empty)
    files = kept(empty)
    assert len(files) == 2
    contents = [path.read_bytes() for path in files]
    for path, other, content in zip(files, files[::-1], contents, strict=True):
        if damage == "emptied":
            path.write_bytes(b"")
        elif damage == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "altered":
            path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        else:
            path.rename(f"{other}.swap")
    for path in files if damage == "renamed" else ():
        Path(f"{path}.swap").rename(path)
    folder, compiled, *said = call_loops(empty)
    assert compiled == "2"
    assert len(said) == 1
    assert folder in said[0]
    assert sorted(path.name for path in kept(empty) if path.suffix == ".damaged") == [
        f"{path.name}.damaged" for path in files
    ]
    assert call_loops(empty)[1:] == ["0"]


def test_a_build_with_a_damaged_cache_builds(ready: Path, tmp_path: Path) -> None:
    sources = "".join(path.read_text("utf-8") for path in code_cache.PACKAGE.rglob("*.py"))
    called = re.findall(r"@compiled\ndef (\w+)", sources)  # the others are inlined, and seldom loaded
    loops = [path for path in kept(ready) if any(f".{name}-" in path.name for name in called)]
    loops.sort(key=lambda path: path.stat().st_size)
    # The three that compile fastest: one empty, one truncated, one that ends in other bytes.
    for path, damage in zip(loops, (lambda _: b"", lambda c: c[:1000], lambda c: c[:-1] + b"!"), strict=False):
        path.write_bytes(damage(path.read_bytes()))
    done = build_ball(tmp_path)
    assert done.stderr.count("compiling it again") == 1
    assert 1 <= len(list(ready.glob("*.damaged"))) <= 3


def test_the_same_source_under_another_package_name_has_a_cache_of_its_own(empty: Path, tmp_path: Path) -> None:
    first = call_loops(empty)
    other = tmp_path / "elsewhere" / "copycat"
    other.mkdir(parents=True)
    (other / "pipeline").symlink_to(code_cache.PACKAGE, target_is_directory=True)
    second = call_loops(empty, "copycat.pipeline", PYTHONPATH=str(other.parent))
    assert second[0] != first[0]
    assert second[1:] == ["2"]
    assert call_loops(empty)[1:] == ["0"]


def test_flags_of_the_compiler_have_a_cache_of_their_own(empty: Path) -> None:
    first = call_loops(empty)
    second = call_loops(empty, NUMBA_BOUNDSCHECK="1")
    assert (first[0] != second[0], second[1]) == (True, "2")


def test_processes_that_compile_the_same_loops_at_once_leave_a_sound_cache(empty: Path) -> None:
    path = empty.parent / "loops.py"
    path.write_text(CALL_LOOPS.format(package="streamxr.pipeline"))
    running = [
        subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert len(kept(empty)) == 2


def test_a_full_disk_keeps_nothing_and_stops_nothing(empty: Path) -> None:
    assert call_loops(empty, limit=500)[1:] == ["2"]
    assert kept(empty) == []
    assert call_loops(empty)[1:] == ["2"]


def test_a_home_that_cannot_be_written_has_a_temporary_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_bytes(b"a file, in which there can be no folder")
    monkeypatch.delenv(code_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert not code_cache.is_writable()
    with code_cache.writable():
        temporary = code_cache.root()
        assert code_cache.is_writable()
    assert not temporary.exists()
    assert code_cache.root() == tmp_path / "home" / "streamxr"


@pytest.fixture
def warm_up() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Warm-ups that are ended with the test."""
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()


def test_a_killed_compilation_goes_on_where_it_stopped(empty: Path, warm_up: list[subprocess.Popen[bytes]]) -> None:
    def compile_until(files: int) -> dict[Path, int]:
        process = subprocess.Popen([sys.executable, "-m", "streamxr.pipeline.warm_up"])
        warm_up.append(process)
        limit = time.monotonic() + 200
        while len(kept(empty)) < files:
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return {path: path.stat().st_mtime_ns for path in kept(empty)}

    before = compile_until(3)
    after = compile_until(len(before) + 2)
    assert not code_cache.is_ready()
    whole = {path: time_ns for path, time_ns in before.items() if time_ns == after.get(path)}
    assert len(whole) >= len(before) - 1  # the last one may have been half written


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_builds_at_once_from_nothing_both_build(empty: Path, tmp_path: Path) -> None:
    make.save(make.textured_sphere(40, 60), tmp_path, "ball")
    command = [STREAMXR, "build", tmp_path / "ball.glb", "--leaf-triangles", "500"]
    running = [subprocess.Popen([*command, "-o", tmp_path / f"build-{i}"], stderr=subprocess.PIPE) for i in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
    first, second = (
        {path.relative_to(root).as_posix(): path.read_bytes() for path in kept(root)}
        for root in (tmp_path / "build-0", tmp_path / "build-1")
    )
    assert first == second
    assert code_cache.is_ready()
    assert not list(empty.rglob("*.damaged"))
