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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

from .asset import AssetReport, build_asset
from .bundle import Bundle
from .errors import ModelError
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


def build_in_processes(jobs: Sequence[Job], root: Path, settings: Settings, workers: int) -> Iterator[Event]:
    """Build every job, at most `workers` busy processes at a time, and yield what happens as it happens.

    Closing the generator, or an exception in its consumer, ends all processes.
    """
    context = get_context("spawn")
    tokens = context.BoundedSemaphore(workers)
    waiting = list(reversed(jobs))
    running: dict[Connection, tuple[Job, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_asset_process, args=(job, root, settings, workers, tokens, sender))
                process.start()
                sender.close()
                running[receiver] = (job, process)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                job, process = running[ready]
                try:
                    event: Event = ready.recv()
                except EOFError:
                    process.join()
                    event = Failure(job.asset, job.name, _death(process.exitcode))
                    # What the dead process held is given back, or the others would wait for ever.
                    with contextlib.suppress(ValueError):
                        tokens.release()
                yield event
                if not isinstance(event, Progress):
                    process.join()
                    del running[ready]
                    ready.close()
    finally:
        for _, process in running.values():
            _end(process)
        for _, process in running.values():
            process.join()


def _asset_process(
    job: Job, root: Path, settings: Settings, workers: int, tokens: Semaphore, events: Connection
) -> None:
    """Build one asset and send progress and then its report or failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # so that the parent ends this process together with its pool
    pool: ProcessPoolExecutor | None = None

    def run(stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
        nonlocal pool
        results: list[Any] = []
        if workers == 1 or len(tasks) < WORTH_A_POOL:
            for task in tasks:
                events.send(Progress(job.asset, stage, len(results), len(tasks)))
                results.append(function(*task))
            return results
        if pool is None:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), _ready_worker, (tokens,))
        # Its own token is free for the pool while this process only waits.
        tokens.release()
        try:
            for result in pool.map(_with_token, [function] * len(tasks), tasks):
                results.append(result)
                events.send(Progress(job.asset, stage, len(results), len(tasks)))
        finally:
            tokens.acquire()
        return results

    with tokens:
        try:
            event: Event = build_asset(job.path, job.name, job.asset, Bundle(root), settings, run)
        except ModelError as error:
            event = Failure(job.asset, job.name, str(error))
        except MemoryError:
            event = Failure(job.asset, job.name, "there is not enough memory (build with fewer --jobs)")
        except OSError as error:
            event = Failure(job.asset, job.name, f"cannot write the bundle: {error}")
        except BrokenProcessPool:
            event = Failure(
                job.asset, job.name, "a mesh operation crashed (its geometry is damaged: clean and export it)"
            )
        except Exception as error:
            text = f"unexpected {type(error).__name__}: {error} (this is a bug: please report it with --verbose)"
            event = Failure(job.asset, job.name, text, traceback.format_exc())
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)
    events.send(event)
    events.close()


_tokens: Semaphore | None = None


def _ready_worker(tokens: Semaphore) -> None:
    global _tokens
    _tokens = tokens
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _with_token(function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    assert _tokens is not None
    with _tokens:
        return function(*task)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "out of memory? build with fewer --jobs" if name == "SIGKILL" else "its geometry is damaged"
        return f"the build of this model was killed by {name} ({hint})"
    return f"the build of this model ended with code {code}"


def _end(process: SpawnProcess) -> None:
    if process.pid is None or not process.is_alive():
        return
    if hasattr(os, "killpg") and sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
