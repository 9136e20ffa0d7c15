"""Child side of a build: the process that builds one model, its pool, and the failures that it reports."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from .bundle.files import Bundle
from .errors import ModelError, os_reason
from .events import Event, Failure, Job, StageProgress
from .jobs.interrupts import STOP_SIGNALS
from .jobs.limits import ModelLimits, ProcessStartError, confine
from .jobs.pool import JobTokens, Pool, prepare_process
from .jobs.tasks import Dependencies, LocalTasks, Result, StartedTasks
from .settings import Settings

# A stage with fewer tasks than this runs in the asset's own process: to start another one takes half a second.
WORTH_A_POOL = 3
REPORT = "report it with the output of --verbose"


def run_asset_process(
    root: Path, settings: Settings, workers: int, limits: ModelLimits, tokens: JobTokens, connection: Connection
) -> None:
    """Receive a job, build it into the bundle at `root`, and send progress and then its report or failure.

    Ends the process. The parent then kills the rest of the pool, which may still be encoding pictures, and gives the
    tokens back.
    """
    _set_up(limits)
    from .asset import build_asset  # while the parent lists the models, since it takes long to load

    try:
        job: Job = connection.recv()
    except (EOFError, OSError):  # the parent has no model for this process, or is gone
        os._exit(0)
    stages = _Stages(job.asset, workers, tokens, connection)
    tokens.take(wait=True)
    closes_pool = sys.platform == "win32"  # elsewhere the parent kills the process group
    try:
        connection.send(StageProgress(job.asset, stages.current, 0, 1))
        event: Event = build_asset(job.path, job.name, job.asset, Bundle(root), settings, stages.start_tasks)
        closes_pool = True
    except Exception as error:
        event = failure_of(error, job, limits, stages.current)
        # Before Python 3.11.5, closing a broken pool waits for ever (python/cpython#94777).
        closes_pool = closes_pool and not isinstance(error, BrokenProcessPool)
    if closes_pool:
        stages.close()
    tokens.freeze()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        connection.send(event)
    os._exit(0)  # without Python's clean-up: to free the compiled loops alone would take 0.2 s


def failure_of(error: Exception, job: Job, limits: ModelLimits, stage: str) -> Failure:
    """The failure that the artist reads for an exception in the build of a model.

    stage: the last stage that was started. The message of an unexpected error of the operating system names it.
    """
    trace = ""
    match error:
        case ModelError() | ProcessStartError():
            text = str(error)
        case MemoryError():
            text = limits.memory_message()
        case BrokenProcessPool():
            text = "a mesh operation crashed (its geometry is damaged: clean and export it; or memory ran out)"
        case OSError():
            reason = f"{error.filename}: {os_reason(error)}" if error.filename else os_reason(error)
            text = f'a file or system operation failed after the start of stage "{stage}": {reason} ({REPORT})'
            trace = "".join(traceback.format_exception(error))
        case _:
            text = f"unexpected {type(error).__name__}: {error} (this is a bug: {REPORT})"
            trace = "".join(traceback.format_exception(error))
    return Failure(job.asset, job.name, text, trace)


class _Stages:
    """Runs the stages of an asset: in this process, or in a pool that the first large stage starts.

    current: the name of the stage that was started last.
    """

    def __init__(self, asset: str, workers: int, tokens: JobTokens, connection: Connection) -> None:
        self._asset = asset
        self._workers = workers
        self._tokens = tokens
        self._connection = connection
        self._pool: Pool | None = None
        self.current = "reading"

    def start_tasks(
        self,
        stage: str,
        function: Callable[..., Result],
        tasks: Sequence[object],
        dependencies: Dependencies = (),
    ) -> StartedTasks[Result]:
        """Start a stage and report its progress to the parent; see `StartTasks`."""

        self.current = stage

        def on_done(done: int) -> None:
            self._connection.send(StageProgress(self._asset, stage, done, len(tasks)))

        if self._workers == 1 or len(tasks) < WORTH_A_POOL:
            return LocalTasks(function, tasks, dependencies, on_done)
        if self._pool is None:
            self._pool = Pool(self._tokens, self._workers, [self._connection])
        return self._pool.start(function, tasks, dependencies, on_done)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


def _set_up(limits: ModelLimits) -> None:
    prepare_process()
    if sys.platform != "win32":
        os.setpgrp()  # the parent ends this process and its pool as one group
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confine(limits)


def _end_with_parent() -> None:
    """End this process and its pool when the build has ended, even by kill -9."""
    parent = parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    if sys.platform != "win32":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
