"""Parent side of a build: one process for each model, at most `jobs` of them busy, and the limits of each.

Native code may crash, and a crash must cost one model, not the build. So each model is built in a process of its own
(asset_process.py), which may start a pool for its regions. Tokens, as in make's job server, limit how many of all
these processes are busy. A model that exceeds its limits is ended with all its processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

from .asset_process import run_asset_process
from .events import Event, Failure, Job, StageProgress
from .jobs.interrupts import interrupts_held
from .jobs.limits import ONE_THREAD, ModelLimits, ProcessStartError, tree_memory
from .jobs.pool import JobTokens, start_errors
from .settings import Settings

WATCH_SECONDS = 0.2  # between two checks of time and memory; a process can fill a few hundred megabytes in it
NO_LIMITS = ModelLimits()


def build_in_processes(
    jobs: Iterable[Job],
    root: Path,
    settings: Settings,
    workers: int,
    limits: ModelLimits = NO_LIMITS,
    on_start: Callable[[], object] = lambda: None,
) -> Generator[Event, None, None]:
    """Build every job into the bundle at `root`, at most `workers` busy processes at a time, and yield the events.

    A model that exceeds `limits` fails. One that is ended only because all models together exceed them is built
    once more at the end, alone. Closing the generator ends all processes.

    jobs: iterated while the first process starts, since to find out what must be built may take as long.
    on_start: called when the first models are at work.

    Raises ProcessStartError if the first process cannot be started.
    """
    processes = _AssetProcesses(root, settings, workers, limits)
    try:
        processes.launch()
        processes.waiting.extend(jobs)
        processes.start_next()
        on_start()
        while processes.have_work:
            processes.start_next()
            yield from processes.receive()
            enforce_limits(processes.running, limits)
    finally:
        processes.end()


@dataclass
class RunningModel:
    """A model at work.

    started_at: monotonic seconds of its first event.
    end_reason: why it was ended, as the artist reads it; "" while it may go on.
    postponed: whether it is built again, alone, after it was ended.
    """

    job: Job
    process: SpawnProcess
    tokens: JobTokens
    started_at: float | None = None
    end_reason: str = ""
    postponed: bool = False


class _AssetProcesses:
    """The jobs of a build and its asset processes: those that wait for a job, and those at work.

    waiting: jobs that have not been started. Methods raise ProcessStartError if the operating system gives no process.
    """

    def __init__(self, root: Path, settings: Settings, workers: int, limits: ModelLimits) -> None:
        self._context = get_context("spawn")
        with start_errors():
            _start_quiet_tracker()
            self._free_tokens = self._context.BoundedSemaphore(workers)
        self._arguments = (root, settings, workers, limits)
        self._max_running = workers
        self._idle: dict[Connection, tuple[SpawnProcess, JobTokens]] = {}
        self._running: dict[Connection, RunningModel] = {}
        self._postponed: list[Job] = []
        self._unstarted: list[Failure] = []
        self.waiting: deque[Job] = deque()

    @property
    def running(self) -> list[RunningModel]:
        return list(self._running.values())

    @property
    def have_work(self) -> bool:
        return bool(self.waiting or self._running or self._postponed or self._unstarted)

    def launch(self) -> None:
        """Start a process that loads its libraries and waits for a job. Raises ProcessStartError if it cannot."""
        with start_errors():
            own_end, child_end = self._context.Pipe()
            tokens = JobTokens(self._free_tokens, self._context.RawValue(c_int, 0))
            process = self._context.Process(target=run_asset_process, args=(*self._arguments, tokens, child_end))
            with interrupts_held(), _environment(ONE_THREAD):
                process.start()
                self._idle[own_end] = process, tokens
            child_end.close()

    def start_next(self) -> None:
        """Start waiting jobs until enough models run; if there are none left, start a postponed one, alone.

        If no further process can be started, fewer models run at a time.
        """
        if self._postponed and not self.waiting and not self._running:
            self.waiting.append(self._postponed.pop())
        while self.waiting and len(self._running) < self._max_running:
            try:
                self._start(self.waiting[0])
            except ProcessStartError as error:
                if self._running:
                    self._max_running = len(self._running)
                    return
                job = self.waiting[0]
                self._unstarted.append(Failure(job.asset, job.name, str(error)))
            self.waiting.popleft()

    def _start(self, job: Job) -> None:
        """Give a job to an idle process, or to a new one."""
        if not self._idle:
            self.launch()
        with interrupts_held():
            connection, (process, tokens) = self._idle.popitem()
            self._running[connection] = RunningModel(job, process, tokens)
            with contextlib.suppress(OSError):  # if the process has died, `receive` reports it
                connection.send(job)

    def receive(self) -> list[Event]:
        """Wait up to WATCH_SECONDS for events. A model whose last event has come no longer runs, nor does its pool."""
        events: list[Event] = [*self._unstarted]
        self._unstarted.clear()
        ready = wait(list(self._running), WATCH_SECONDS) if self._running else []
        for connection in cast("list[Connection]", ready):
            model = self._running[connection]
            event = _next_event(connection, model)
            if isinstance(event, StageProgress):
                model.started_at = model.started_at or time.monotonic()
            else:
                del self._running[connection]
                connection.close()
                _kill(model.process)
                model.process.join()
                model.tokens.give_back(model.tokens.held)
            if model.postponed and isinstance(event, Failure):
                self._postponed.append(model.job)
            else:
                events.append(event)
        return events

    def end(self) -> None:
        """Kill all processes and wait until they are gone."""
        with interrupts_held():
            processes = [*(process for process, _ in self._idle.values()), *(m.process for m in self.running)]
            for process in processes:
                _kill(process)
            for process in processes:
                process.join()


def enforce_limits(running: Sequence[RunningModel], limits: ModelLimits) -> None:
    """End each model that exceeds its limits. If all together hold too much memory, end and postpone the largest."""
    models = [model for model in running if not model.end_reason]
    sizes = _memory_sizes(models, limits)
    now = time.monotonic()
    for model, size in zip(models, sizes, strict=True):
        if limits.seconds is not None and model.started_at is not None and now - model.started_at > limits.seconds:
            model.end_reason = limits.timeout_message()
        elif limits.memory is not None and size > limits.memory:
            model.end_reason = limits.memory_message()
    if limits.total is not None and len(models) > 1 and sum(sizes) > limits.total:
        largest = models[sizes.index(max(sizes))]
        if not largest.end_reason:
            largest.end_reason, largest.postponed = limits.memory_message(), True
    for model in models:
        if model.end_reason:
            _kill(model.process)


def _memory_sizes(models: Sequence[RunningModel], limits: ModelLimits) -> list[int]:
    """Bytes that each model's processes hold; exact only if the quick figure, never smaller, exceeds the limits."""
    if not limits.memory:
        return [0] * len(models)
    quick = [tree_memory(model.process.pid or 0, exact=False) for model in models]
    if max(quick, default=0) <= limits.memory and (limits.total is None or sum(quick) <= limits.total):
        return quick
    return [tree_memory(model.process.pid or 0, exact=True) for model in models]


def _next_event(connection: Connection, model: RunningModel) -> Event:
    try:
        event: Event = connection.recv()
    except (EOFError, OSError):  # the process has died, perhaps in the middle of a message
        model.process.join()
        event = Failure(model.job.asset, model.job.name, model.end_reason or _death(model.process.exitcode))
    return event


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "out of memory? build with fewer --jobs" if name == "SIGKILL" else "its geometry is damaged: clean it"
        return f"the build of this model was killed by {name} ({hint})"
    return f"the build of this model ended with code {code}"


def _kill(process: SpawnProcess) -> None:
    """Kill an asset process and its pool, which is in its process group."""
    if process.pid is None:
        return
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _start_quiet_tracker() -> None:
    """Start Python's resource tracker without its warnings to the artist about semaphores that killed processes leave.

    The tracker removes them when the build ends.
    """
    with _environment({"PYTHONWARNINGS": "ignore"}):
        resource_tracker.ensure_running()


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started in this context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
