"""Processes: each asset in one of its own, its regions in a few more, never more than `jobs` at work.

pymeshlab is not safe in threads, and a native crash must cost one model and not the build, so everything
native runs in processes. A pool of tokens (as make's job server has) keeps the number of busy ones down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from .asset import AssetReport, build_asset
from .bundle import Bundle
from .errors import ModelError
from .pool import Pool, Tokens
from .settings import Settings

# Fewer tasks than this in a stage are done at once where they are: a process takes half a second to start.
WORTH_A_POOL = 3


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


Event = Progress | AssetReport | Failure


@dataclass(frozen=True)
class _Running:
    job: Job
    process: SpawnProcess
    tokens: Tokens


def build_in_processes(
    jobs: Sequence[Job], root: Path, settings: Settings, workers: int
) -> Generator[Event, None, None]:
    """Build every job, at most `workers` busy processes at a time, and yield what happens as it happens.

    Closing the generator ends all processes.
    """
    context = get_context("spawn")
    _start_quiet_tracker()
    free = context.BoundedSemaphore(workers)
    waiting = list(reversed(jobs))
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                tokens = Tokens(free, context.RawValue(c_int, 0))
                process = context.Process(target=_asset_process, args=(job, root, settings, workers, tokens, sender))
                with _interrupts_held():
                    process.start()
                    running[receiver] = _Running(job, process, tokens)
                sender.close()
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                one = running[ready]
                try:
                    event: Event = ready.recv()
                except EOFError:
                    one.process.join()
                    one.tokens.give_back(one.tokens.held)
                    event = Failure(one.job.asset, one.job.name, _death(one.process.exitcode))
                yield event
                if not isinstance(event, Progress):
                    one.process.join()
                    if isinstance(event, Failure):
                        _end(one.process)  # what is left of its pool
                    del running[ready]
                    ready.close()
    finally:
        for one in running.values():
            _end(one.process)
        for one in running.values():
            one.process.join()


def _asset_process(job: Job, root: Path, settings: Settings, workers: int, tokens: Tokens, events: Connection) -> None:
    """Build one asset and send progress and then its report or failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # so that the parent ends this process together with its pool
    pool: Pool | None = None
    broken = False

    def run(stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        def on_done(done: int) -> None:
            events.send(Progress(job.asset, stage, done, len(tasks)))

        nonlocal pool
        if workers > 1 and len(tasks) >= WORTH_A_POOL:
            pool = pool or Pool(tokens, workers)
            return pool.map(function, tasks, on_done)
        results: list[Any] = []
        for task in tasks:
            on_done(len(results))
            results.append(function(*task))
        return results

    tokens.take(wait=True)
    try:
        event: Event = build_asset(job.path, job.name, job.asset, Bundle(root), settings, run)
    except ModelError as error:
        event = Failure(job.asset, job.name, str(error))
    except MemoryError:
        event = Failure(job.asset, job.name, "there is not enough memory (build with fewer --jobs)")
    except OSError as error:
        event = Failure(job.asset, job.name, f"cannot write the bundle: {error}")
    except BrokenProcessPool:
        broken = True
        event = Failure(
            job.asset,
            job.name,
            "a mesh operation crashed (its geometry is damaged: clean and export it)",
        )
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error} (this is a bug: please report it with --verbose)"
        event = Failure(job.asset, job.name, text, traceback.format_exc())
    finally:
        if pool is not None and not broken:
            pool.close()
        tokens.give_back(tokens.held)
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it whoever would hear
        events.send(event)
    events.close()
    if broken:
        # Python before 3.11.5 waits for ever on the queue of a crashed pool (python/cpython#94777); there is
        # nothing left here to tidy up, and the parent ends what remains of the pool.
        os._exit(1)


def _start_quiet_tracker() -> None:
    """Processes that are killed leave semaphores behind. Python's tracker removes them when the build ends, and
    need not warn the artist of it."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back: a child is born deaf to it until it has decided for itself, and is not lost to us."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "out of memory? build with fewer --jobs" if name == "SIGKILL" else "its geometry is damaged"
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
