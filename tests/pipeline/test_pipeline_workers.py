"""Processes of a build: no more of them work than allowed, and one that dies fails one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from multiprocessing import get_context
from pathlib import Path

import gltf_maker as make
import pytest
from command import STREAMXR, alive, worker_processes
from streamxr.pipeline import workers
from streamxr.pipeline.asset_report import AssetReport
from streamxr.pipeline.events import Failure, Job
from streamxr.pipeline.jobs.limits import ModelLimits, group_memory, machine_memory, tree_memory
from streamxr.pipeline.jobs.pool import JobTokens, Pool
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.workers import RunningModel, build_in_processes


def tokens_of(count: int) -> tuple[JobTokens, Callable[[], int]]:
    """Tokens of which one is taken, and a function that returns how many are free."""
    context = get_context("spawn")
    free = context.BoundedSemaphore(count)
    tokens = JobTokens(free, context.RawValue(c_int, 0))
    tokens.take(wait=True)
    return tokens, free.get_value


def square(value: int) -> int:
    return value * value


def count_at_work(task: tuple[Path, int]) -> int:
    """The number of tasks that run at the same time as this one."""
    folder, number = task
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


def test_results_have_the_order_of_their_tasks() -> None:
    tokens, free = tokens_of(3)
    pool = Pool(tokens, 3)
    reported: list[int] = []
    try:
        started = pool.start(square, range(40), on_done=reported.append)
        assert started.results() == [i * i for i in range(40)]
    finally:
        pool.close()
    assert reported == sorted(set(reported))
    assert reported[-1] == 40
    assert (tokens.held, free()) == (1, 2)


@pytest.mark.parametrize("allowed", [1, 2])
def test_no_more_tasks_run_than_tokens_allow(tmp_path: Path, allowed: int) -> None:
    tokens, _ = tokens_of(allowed)
    pool = Pool(tokens, 4)
    try:
        counts = pool.start(count_at_work, [(tmp_path, i) for i in range(12)]).results()
    finally:
        pool.close()
    assert max(counts) <= allowed


def add(task: tuple[Path, int], needed: Sequence[int]) -> int:
    """The sum of the task's number and the results that it depends on; a file records how many tasks ran with it."""
    folder, number = task
    found = count_at_work((folder / "now", number))
    (folder / "seen" / str(number)).write_text(str(found))
    return number + sum(needed)


def test_tasks_get_the_results_they_depend_on_and_run_only_with_free_tokens(tmp_path: Path) -> None:
    """After the caller has its first result and works again, tasks that it does not wait for never use its token."""
    for name in ("now", "seen"):
        (tmp_path / name).mkdir()
    tokens, free = tokens_of(2)
    pool = Pool(tokens, 4)
    dependencies = [(), (), (0, 1), (), (), (2, 4)]
    try:
        started = pool.start(add, [(tmp_path, i) for i in range(6)], dependencies)
        assert started.results(range(2, 3)) == [3]
        (tmp_path / "now" / "caller").touch()
        time.sleep(0.1)
        (tmp_path / "now" / "caller").unlink()
        assert started.results() == [0, 1, 3, 3, 4, 12]
    finally:
        pool.close()
    assert max(int(seen.read_text()) for seen in (tmp_path / "seen").iterdir()) <= 2
    assert (tokens.held, free()) == (1, 1)


def test_of_several_failures_that_of_the_first_task_is_raised() -> None:
    tokens, free = tokens_of(2)
    pool = Pool(tokens, 2)
    try:
        with pytest.raises(ValueError, match="task 1"):
            pool.start(fail, range(6)).results()
    finally:
        pool.close()
    assert (tokens.held, free()) == (1, 1)


def test_a_pool_that_crashes_gives_its_tokens_back() -> None:
    tokens, free = tokens_of(3)
    pool = Pool(tokens, 3)
    try:
        with pytest.raises(BrokenProcessPool):
            pool.start(die, range(8)).results()
    finally:
        pool.close()
    assert (tokens.held, free()) == (1, 2)


HALF_A_MESSAGE = """
import os, signal, struct
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from test_pipeline_workers import tokens_of
from streamxr.pipeline.jobs.pool import Pool

def die(number):
    def send_half(connection, content):
        os.write(connection.fileno(), struct.pack("!i", len(content)) + bytes(content[:1]))
        os.kill(os.getpid(), signal.SIGKILL)
    Connection._send_bytes = send_half
    return number

if __name__ == "__main__":
    os.setpgrp()
    tokens, free = tokens_of(2)
    pool = Pool(tokens, 2)
    try:
        pool.start(die, range(4)).results()
    except BrokenProcessPool:
        print("broken", flush=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # as a build ends a pool
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_a_process_killed_in_the_middle_of_its_result_breaks_the_pool(tmp_path: Path) -> None:
    script = tmp_path / "half.py"
    script.write_text(HALF_A_MESSAGE)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["broken"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("victim", ["pool", "asset"])
def test_a_native_crash_fails_one_model_and_the_others_are_built(tmp_path: Path, victim: str) -> None:
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
    # Only the first model is large enough to start a pool.
    pools: dict[int, list[int]] = {}
    while not pools and process.poll() is None:
        pools = {asset: pool for asset in worker_processes(process.pid) if (pool := worker_processes(asset))}
        time.sleep(0.01)
    ((asset, pool),) = pools.items()
    os.kill(pool[0] if victim == "pool" else asset, signal.SIGSEGV)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    reason = "a mesh operation crashed" if victim == "pool" else "the build of this model was killed by SIGSEGV"
    assert f"a large one.glb: {reason}" in messages
    assert "resource_tracker" not in messages
    assert list(json.loads((tmp_path / "build/bundle.json").read_text())["assets"]) == ["ball", "cone", "dome"]
    deadline = time.monotonic() + 10
    while any(map(alive, pool)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pool if alive(pid)] == []


def jobs_of(folder: Path, *names: str) -> list[Job]:
    for name in names:
        make.save(make.textured_sphere(60, 80, picture=16, seed=len(name)), folder, name)
    return [Job(folder / f"{name}.glb", f"{name}.glb", name) for name in names]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_geometry_that_fails_while_pictures_are_encoded_ends_all_processes(tmp_path: Path) -> None:
    maker = make.textured_sphere(20, 30, picture=2048)
    maker.json["materials"][0]["normalTexture"] = {"index": maker.picture(make.noise(2048), "bumps")}
    maker.json["nodes"][0]["scale"] = [1, 2]
    make.save(maker, tmp_path, "broken")
    jobs = [Job(tmp_path / "broken.glb", "broken.glb", "broken"), *jobs_of(tmp_path, "well")]
    processes: set[int] = set()
    last: dict[str, str] = {}
    for event in build_in_processes(jobs, tmp_path / "build", Settings(), 2):
        processes |= {pid for asset in worker_processes(os.getpid()) for pid in (asset, *worker_processes(asset))}
        if isinstance(event, Failure | AssetReport):
            last[event.asset] = event.text if isinstance(event, Failure) else "built"
    assert last["well"] == "built"
    assert "3 finite numbers" in last["broken"]
    assert processes
    assert not any(map(alive, processes))


@pytest.fixture
def memory_holder() -> Iterator[int]:
    """A process that holds 60 MB, with a child that holds 80 MB."""
    child = "x = bytearray(b'x' * 80_000_000); print(flush=True); input()"
    parent = f"import subprocess, sys\nx = b'x' * 60_000_000\nsubprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_the_memory_of_a_model_is_the_sum_of_its_processes(memory_holder: int) -> None:
    total = machine_memory()
    assert total is not None
    assert 140_000_000 < tree_memory(memory_holder) < min(total, 240_000_000)
    assert group_memory(memory_holder) >= tree_memory(memory_holder) * 0.9 or not Path("/bin/ps").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched through /proc")
def test_a_model_over_its_memory_limit_is_ended(tmp_path: Path) -> None:
    context = get_context("spawn")
    tokens, _ = tokens_of(1)
    process = context.Process(target=time.sleep, args=(60,))
    process.start()
    model = RunningModel(Job(tmp_path, "a.glb", "a"), process, tokens)
    workers.enforce_limits([model], ModelLimits(memory=1 << 40))
    assert not model.end_reason
    workers.enforce_limits([model], ModelLimits(memory=1))
    process.join()
    assert model.end_reason.startswith("needs more than 0.0 GB of memory (allow more with --memory")
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not enforce a limit")
def test_an_allocation_over_the_memory_limit_fails_at_once(tmp_path: Path) -> None:
    # Five million empty arrays take 400 MB once parsed.
    (tmp_path / "bomb.gltf").write_text('{"asset":{"version":"2.0"},"extras":[' + "[]," * 5_000_000 + "0]}")
    job = Job(tmp_path / "bomb.gltf", "bomb.gltf", "bomb")
    *_, last = build_in_processes([job], tmp_path / "build", Settings(), 1, ModelLimits(memory=450_000_000))
    assert isinstance(last, Failure)
    assert last.text.startswith("needs more than 0.5 GB of memory (allow more with --memory")


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process by a signal")
def test_a_model_that_hangs_is_ended_and_the_others_are_built(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "hung", "well")
    built = []
    failed = []
    pids = []
    for event in build_in_processes(jobs, tmp_path / "build", Settings(), 1, ModelLimits(seconds=6)):
        if isinstance(event, Failure):
            failed.append((event.asset, event.text))
        elif isinstance(event, AssetReport):
            built.append(event.asset)
        elif event.asset == "hung" and not pids:
            pids = worker_processes(os.getpid())
            os.kill(pids[0], signal.SIGSTOP)
    assert failed == [("hung", "took longer than 6 s (allow more with --timeout, or export it with less detail)")]
    assert built == ["well"]
    assert not any(map(alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched through /proc")
def test_models_too_large_together_are_built_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponed: set[str] = set()
    enforce_limits = workers.enforce_limits

    def spy(running: list[RunningModel], limits: ModelLimits) -> None:
        enforce_limits(running, limits)
        postponed.update(model.job.asset for model in running if model.postponed)

    monkeypatch.setattr(workers, "enforce_limits", spy)
    jobs = jobs_of(tmp_path, "one", "other")
    limits = ModelLimits(memory=1 << 40, total=1)
    events = [*build_in_processes(jobs, tmp_path / "build", Settings(), 2, limits)]
    assert [e for e in events if isinstance(e, Failure)] == []
    assert sorted(e.asset for e in events if isinstance(e, AssetReport)) == ["one", "other"]
    assert len(postponed) == 1
