"""Processes: as many at work as allowed, and whatever dies costs one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from multiprocessing import get_context
from pathlib import Path

import gltf_maker as make
import pytest
from streamxr.pipeline.pool import Pool, Tokens

STREAMXR = str(Path(sys.executable).with_name("streamxr"))


def tokens_of(count: int) -> tuple[Tokens, Callable[[], int]]:
    """Tokens with one taken already, and how many are free."""
    context = get_context("spawn")
    free = context.BoundedSemaphore(count)
    tokens = Tokens(free, context.RawValue(c_int, 0))
    tokens.take(wait=True)
    return tokens, free.get_value


def square(value: int) -> int:
    return value * value


def count_at_work(folder: Path, number: int) -> int:
    """How many tasks are at work while this one is."""
    mark = folder / str(number)
    mark.touch()
    time.sleep(0.05)
    found = len(list(folder.iterdir()))
    mark.unlink()
    return found


def fail(number: int) -> int:
    time.sleep(0.3 if number == 1 else 0.0)
    if number >= 1:
        raise ValueError(f"task {number}")
    return number


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def test_results_come_in_order() -> None:
    tokens, free = tokens_of(3)
    pool = Pool(tokens, 3)
    heard: list[int] = []
    try:
        assert pool.map(square, [(i,) for i in range(40)], heard.append) == [i * i for i in range(40)]
    finally:
        pool.close()
    assert heard == list(range(1, 41))
    assert (tokens.held, free()) == (1, 2)


@pytest.mark.parametrize("allowed", [1, 2])
def test_no_more_tasks_are_at_work_than_tokens_allow(tmp_path: Path, allowed: int) -> None:
    tokens, _ = tokens_of(allowed)
    pool = Pool(tokens, 4)
    try:
        counts = pool.map(count_at_work, [(tmp_path, i) for i in range(12)], lambda _: None)
    finally:
        pool.close()
    assert max(counts) <= allowed


def test_of_several_failures_the_first_tasks_is_raised() -> None:
    tokens, free = tokens_of(2)
    pool = Pool(tokens, 2)
    try:
        with pytest.raises(ValueError, match="task 1"):
            pool.map(fail, [(i,) for i in range(6)], lambda _: None)
    finally:
        pool.close()
    assert (tokens.held, free()) == (1, 1)


def test_a_pool_that_crashes_gives_its_tokens_back() -> None:
    tokens, free = tokens_of(3)
    pool = Pool(tokens, 3)
    try:
        with pytest.raises(BrokenProcessPool):
            pool.map(die, [(i,) for i in range(8)], lambda _: None)
    finally:
        pool.close()
    assert (tokens.held, free()) == (1, 2)


def workers_of(pid: int) -> list[int]:
    """The worker processes that a process has started."""
    children = [int(child) for thread in Path(f"/proc/{pid}/task").glob("*/children") for child in read(thread).split()]
    return [child for child in children if "spawn_main" in read(Path(f"/proc/{child}/cmdline"))]


def read(path: Path) -> str:
    """A file of /proc; empty when its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(fields) and fields[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("victim", ["pool", "asset"])
def test_a_process_killed_at_work_costs_one_model_and_hangs_none(tmp_path: Path, victim: str) -> None:
    source = tmp_path / "src"
    source.mkdir()
    make.save(make.textured_sphere(250, 300), source, "a large one")
    for name in ("ball", "cone", "dome"):
        make.save(make.textured_sphere(20, 30, seed=len(name)), source, name)
    process = subprocess.Popen(
        [STREAMXR, "build", str(source), "-o", str(tmp_path / "build"), "--jobs", "2", "--leaf-triangles", "1000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    # The first model's process is the one with a pool of its own.
    pools: dict[int, list[int]] = {}
    while not pools and process.poll() is None:
        pools = {asset: pool for asset in workers_of(process.pid) if (pool := workers_of(asset))}
        time.sleep(0.01)
    ((asset, pool),) = pools.items()
    os.kill(pool[0] if victim == "pool" else asset, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    reason = "a mesh operation crashed" if victim == "pool" else "the build of this model was killed by SIGKILL"
    assert f"a large one.glb: {reason}" in said
    assert "resource_tracker" not in said
    assert list(json.loads((tmp_path / "build/bundle.json").read_text())["assets"]) == ["ball", "cone", "dome"]
    deadline = time.monotonic() + 10
    while any(map(alive, pool)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pool if alive(pid)] == []
