"""Processes: each asset in one of its own, its regions in a few more, never more than `jobs` at work.

A native crash must cost one model and not the build, so everything native runs in processes. A pool of tokens (as
make's job server has) keeps the number of busy ones down. A model that is past its limits is ended with all its
processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

from .asset_report import AssetReport
from .bundle.files import Bundle
from .errors import ModelError
from .jobs.interrupts import STOPS, interrupts_held
from .jobs.limits import ONE_THREAD, ModelLimits, confine, tree_memory
from .jobs.pool import JobTokens, Pool, prepare_process
from .jobs.tasks import Dependencies, LocalTasks, StartedTasks
from .settings import Settings

# Fewer tasks than this in a stage are done at once where they are: a process takes half a second to start.
WORTH_A_POOL = 3
WATCH_SECONDS = 0.2  # between two looks at time and memory: a process fills a few hundred megabytes in it
NO_LIMITS = ModelLimits()


@dataclass(frozen=True)
class Job:
    """One model to build: its file, its name below the source folder, and its asset id."""

    path: Path
    name: str
    asset: str


@dataclass(frozen=True)
class Progress:
    """An asset's stage and how much of it is done."""

    asset: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Failure:
    """Why an asset was not built. `text` is meant for the artist; `trace` only for a bug report."""

    asset: str
    source: str
    text: str
    trace: str = ""


@dataclass(frozen=True)
class Notice:
    """Something that all models wait for."""

    text: str


Event = Progress | AssetReport | Failure | Notice


@dataclass
class _Running:
    """A model at work. `began`: when its first event came; `verdict`: why it was ended; `again`: to be built anew."""

    job: Job
    process: SpawnProcess
    tokens: JobTokens
    began: float | None = None
    verdict: str = ""
    again: bool = False


def build_in_processes(
    jobs: Iterable[Job],
    root: Path,
    settings: Settings,
    workers: int,
    limits: ModelLimits = NO_LIMITS,
    on_start: Callable[[], object] = lambda: None,
) -> Generator[Event, None, None]:
    """Build every job, at most `workers` busy processes at a time, and yield what happens as it happens.

    A model past `limits` fails. One that only has no room beside others is built once more, alone, at the end.
    Closing the generator ends all processes.

    jobs: asked for while the first process starts, since it may take as long to find out what there is to build.
    on_start: called when the first models are at work.
    """
    context = get_context("spawn")
    _start_quiet_tracker()
    free = context.BoundedSemaphore(workers)
    alone: list[Job] = []
    idle: dict[Connection, tuple[SpawnProcess, JobTokens]] = {}
    running: dict[Connection, _Running] = {}

    def launch() -> None:
        here, there = context.Pipe()
        tokens = JobTokens(free, context.RawValue(c_int, 0))
        process = context.Process(target=_asset_process, args=(root, settings, workers, limits, tokens, there))
        with interrupts_held(), _environment(ONE_THREAD):
            process.start()
            idle[here] = process, tokens
        there.close()

    def start(job: Job) -> None:
        if not idle:
            launch()
        with interrupts_held():
            here, (process, tokens) = idle.popitem()
            running[here] = _Running(job, process, tokens)
            with contextlib.suppress(OSError):  # should it be dead, the loop hears of it
                here.send(job)

    try:
        launch()
        waiting = list(reversed([*jobs]))
        while waiting and len(running) < workers:
            start(waiting.pop())
        on_start()
        while waiting or alone or running:
            while waiting and len(running) < workers:
                start(waiting.pop())
            if not running:
                start(alone.pop())
            for ready in cast("list[Connection]", wait(list(running), WATCH_SECONDS)):
                one = running[ready]
                event = _next_event(ready, one)
                if isinstance(event, Progress):
                    one.began = one.began or time.monotonic()
                    yield event
                    continue
                del running[ready]
                ready.close()
                _end(one.process)  # which has said its last, and what is left of its pool
                one.process.join()
                one.tokens.give_back(one.tokens.held)
                if one.again and isinstance(event, Failure):
                    alone.append(one.job)
                else:
                    yield event
            _watch([one for one in running.values() if not one.verdict], limits)
    finally:
        with interrupts_held():
            processes = [*(process for process, _ in idle.values()), *(one.process for one in running.values())]
            for process in processes:
                _end(process)
            for process in processes:
                process.join()


def _next_event(receiver: Connection, one: _Running) -> Event:
    try:
        event: Event = receiver.recv()
    except (EOFError, OSError):  # it is dead, perhaps in the middle of a message
        one.process.join()
        event = Failure(one.job.asset, one.job.name, one.verdict or _death(one.process.exitcode))
    return event


def _past(limits: ModelLimits, sizes: Sequence[int]) -> bool:
    most = limits.memory is not None and max(sizes, default=0) > limits.memory
    return most or (limits.total is not None and sum(sizes) > limits.total)


def _watch(running: Sequence[_Running], limits: ModelLimits) -> None:
    """End what is past its limits; if all together hold too much, the largest, which is to be built anew."""
    now = time.monotonic()
    sizes = [0] * len(running)
    for exact in (False, True):  # the exact figure takes long, and is never larger
        sizes = [tree_memory(one.process.pid or 0, exact=exact) if limits.memory else 0 for one in running]
        if not _past(limits, sizes):
            break
    for one, size in zip(running, sizes, strict=True):
        if limits.seconds is not None and one.began is not None and now - one.began > limits.seconds:
            one.verdict = limits.too_long()
        elif limits.memory is not None and size > limits.memory:
            one.verdict = limits.too_large()
    if limits.total is not None and len(running) > 1 and sum(sizes) > limits.total:
        largest = running[sizes.index(max(sizes))]
        if not largest.verdict:
            largest.verdict, largest.again = limits.too_large(), True
    for one in running:
        if one.verdict:
            _end(one.process)


def _asset_process(
    root: Path, settings: Settings, workers: int, limits: ModelLimits, tokens: JobTokens, events: Connection
) -> None:
    """Build the asset that the parent sends, and send progress and then its report or failure."""
    prepare_process()
    if sys.platform != "win32":
        os.setpgrp()  # so that the parent ends this process together with its pool
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confine(limits)
    from .asset import build_asset  # here, since the parent needs none of it and it takes long to load

    try:
        job: Job = events.recv()
    except (EOFError, OSError):  # there is nothing to build, or the parent is gone
        os._exit(0)
    pool: Pool | None = None
    tidy = sys.platform == "win32"  # whether to end the pool here: Windows has no process groups

    def start_tasks(
        stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], dependencies: Dependencies = ()
    ) -> StartedTasks:
        def on_done(done: int) -> None:
            events.send(Progress(job.asset, stage, done, len(tasks)))

        nonlocal pool
        if workers == 1 or len(tasks) < WORTH_A_POOL:
            return LocalTasks(function, tasks, dependencies, on_done)
        pool = pool or Pool(tokens, workers, [events])
        return pool.start(function, tasks, dependencies, on_done)

    tokens.take(wait=True)
    try:
        events.send(Progress(job.asset, "reading", 0, 1))
        event: Event = build_asset(job.path, job.name, job.asset, Bundle(root), settings, start_tasks)
    except ModelError as error:
        event = Failure(job.asset, job.name, str(error))
    except MemoryError:
        event = Failure(job.asset, job.name, limits.too_large())
    except OSError as error:
        event = Failure(job.asset, job.name, f"cannot write the bundle: {error.strerror or error}")
    except BrokenProcessPool:
        tidy = False  # Python before 3.11.5 would wait for it for ever (python/cpython#94777)
        event = Failure(
            job.asset,
            job.name,
            "a mesh operation crashed (its geometry is damaged: clean and export it; or memory ran out)",
        )
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error} (this is a bug: please report it with --verbose)"
        event = Failure(job.asset, job.name, text, traceback.format_exc())
    else:
        tidy = True
    if pool is not None and tidy:
        pool.close()
    tokens.freeze()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it whoever would hear
        events.send(event)
    # The parent ends what is left of the pool, which may be making pictures, and gives the tokens back. There is
    # nothing to tidy up here; to free the compiled loops alone would take 0.2 s.
    os._exit(0)


def _end_with_parent() -> None:
    """Whatever ends the build, kill -9 included, ends this process and its pool."""
    parent = parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    if sys.platform != "win32":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _start_quiet_tracker() -> None:
    """Processes that are killed leave semaphores behind. Python's tracker removes them when the build ends, and
    need not warn the artist of it."""
    with _environment({"PYTHONWARNINGS": "ignore"}):
        resource_tracker.ensure_running()


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "out of memory? build with fewer --jobs" if name == "SIGKILL" else "its geometry is damaged: clean it"
        return f"the build of this model was killed by {name} ({hint})"
    return f"the build of this model ended with code {code}"


def _end(process: SpawnProcess) -> None:
    """Kill a process and its pool, which has its process group."""
    if process.pid is None:
        return
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
