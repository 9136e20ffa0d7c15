"""The worker processes of one asset: how many may run at once, and tasks mapped over them."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from ctypes import c_int
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.synchronize import Semaphore
from threading import Condition, Lock
from typing import Generic, cast

from .limits import ProcessStartError
from .tasks import Dependencies, Result, run_task

CHECK_SECONDS = 1.0  # between two checks that all processes are alive
FORKS = sys.platform == "linux"  # macOS has libraries that break in a forked process, Windows has no fork


class JobTokens:
    """Tokens that permit work, one for each job, shared by all assets in progress.

    Each asset process gets an object of its own at its start, and takes tokens on behalf of its pool. `held` is in
    memory shared with its parent: if the process dies, the parent returns the tokens it held, so that nothing waits for
    them forever.
    """

    def __init__(self, free: Semaphore, held: c_int) -> None:
        self._free = free
        self._held = held
        self._counting = Lock()

    def __reduce__(self) -> tuple[type[JobTokens], tuple[Semaphore, c_int]]:
        return JobTokens, (self._free, self._held)  # a lock cannot be sent to another process

    @property
    def held(self) -> int:
        return self._held.value

    def take(self, *, wait: bool) -> bool:
        """Take a token; False if none is free. With `wait`, block until one is."""
        taken = self._free.acquire(block=wait)
        with self._counting:
            self._held.value += taken
        return taken

    def give_back(self, count: int) -> None:
        for _ in range(count):
            with self._counting:
                self._held.value -= 1
                self._free.release()

    def freeze(self) -> None:
        """Stop other threads from taking or returning tokens, so that the process does not end during a change."""
        self._counting.acquire()


class PoolStage(Generic[Result]):
    """Processes that map one function over one sequence of tasks; `start` starts a task by its number.

    On Linux the processes are forked: they share the loaded libraries and the tasks with their parent, and a lazy
    sequence makes its items in them. On other systems forking is not safe, and tasks are sent to the processes of
    `spawned`, which start without libraries.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        tasks: Sequence[object],
        limit: int,
        private: Sequence[Connection],
        spawned: ProcessPoolExecutor | None,
    ) -> None:
        """private: connections that forked processes must close."""
        self.count = len(tasks)
        self._function = function
        self._tasks = tasks
        self._forked = (
            ProcessPoolExecutor(limit, get_context("fork"), _inherit, (function, tasks, private))
            if spawned is None
            else None
        )
        self._spawned = spawned

    def start(self, number: int, inputs: Sequence[Result] | None) -> Future[Result]:
        """Start a task. inputs: see `run_task`. Raises ProcessStartError if a process cannot be started."""
        with start_errors():
            if self._spawned:
                return self._spawned.submit(run_task, self._function, self._tasks[number], inputs)
            if self._forked:
                return cast("Future[Result]", self._forked.submit(_run_inherited, number, inputs))
        raise RuntimeError("the stage is closed")

    def has_dead_process(self) -> bool:
        """Whether a process has died.

        The executor may never notice: it waits for the end of a message whose sender was killed while sending it.
        """
        executor = self._forked or self._spawned
        processes = executor and executor._processes
        return bool(processes and wait_for_end([process.sentinel for process in processes.values()], 0))

    def close(self) -> None:
        if self._forked:
            self._forked.shutdown(cancel_futures=True)
        self._forked, self._tasks = None, ()  # tasks may be as large as the source


_inherited: tuple[Callable[..., object], Sequence[object]] | None = None


def _inherit(function: Callable[..., object], tasks: Sequence[object], private: Sequence[Connection]) -> None:
    """Initialise a forked process."""
    global _inherited
    _inherited = function, tasks
    for connection in private:
        connection.close()
    prepare_process()


def _run_inherited(number: int, inputs: Sequence[object] | None) -> object:
    assert _inherited
    function, tasks = _inherited
    return run_task(function, tasks[number], inputs)


class PoolTasks(Generic[Result]):
    """The tasks of a stage, as many of them running as tokens permit.

    A task starts once the tasks that it depends on have results; of several such tasks, the lowest number starts first.
    If several tasks fail, the exception of the lowest number is raised, so that errors do not depend on timing.
    """

    def __init__(
        self, stage: PoolStage[Result], tokens: JobTokens, dependencies: Dependencies, on_done: Callable[[int], object]
    ) -> None:
        """on_done: called with the number of finished tasks when it has changed during a wait for results."""
        self._stage = stage
        self._tokens = tokens
        self._dependencies = dependencies
        self._on_done = on_done
        self._changed = Condition()
        self._waiting = list(range(stage.count))
        self._running: dict[Future[Result], int] = {}
        self._results: dict[int, Result] = {}
        self._failures: dict[int, BaseException] = {}
        self._held = 0
        self._last_awaited = -1
        with self._changed:
            self._start_ready()

    def results(self, numbers: Sequence[int] | None = None) -> list[Result]:
        """See `StartedTasks`. The caller holds a token and only waits meanwhile, so it lends the token to the tasks up
        to the last awaited one."""
        awaited = range(self._stage.count) if numbers is None else numbers
        with self._changed:
            self._last_awaited = max(awaited, default=-1)
            try:
                self._start_ready()
                self._wait_for(awaited)
            finally:
                self._last_awaited = -1
        if len(self._results) == self._stage.count:
            self._stage.close()
        return [self._results[number] for number in awaited]

    def _wait_for(self, awaited: Sequence[int]) -> None:
        reported = 0
        while self._failures or not all(number in self._results for number in awaited):
            if not self._running:
                raise self._failures[min(self._failures)] if self._failures else BrokenProcessPool("it has ended")
            if not self._changed.wait(CHECK_SECONDS) and self._stage.has_dead_process():
                self._waiting.clear()
                raise BrokenProcessPool("a process has died")
            if len(self._results) > reported:
                reported = len(self._results)
                self._on_done(reported)

    def _start_ready(self) -> None:
        """Start the tasks that can start, and return tokens without a task."""
        while (number := self._next()) is not None and self._has_token_for(number):
            inputs = [self._results[n] for n in self._dependencies[number]] if self._dependencies else None
            try:
                future = self._stage.start(number, inputs)
            except RuntimeError:  # the pool is closed or broken; `_wait_for` raises that
                self._waiting.clear()
                break
            except ProcessStartError as error:
                self._waiting.clear()
                self._failures[number] = error
                break
            self._waiting.remove(number)
            self._running[future] = number
            future.add_done_callback(self._finish)
        ahead, lent = self._ahead(), self._last_awaited >= 0
        spare = self._held - max(ahead, len(self._running) - lent)
        self._held -= spare
        self._tokens.give_back(spare)

    def _next(self) -> int | None:
        """The first waiting task whose dependencies have results."""
        if not self._dependencies:
            return self._waiting[0] if self._waiting else None
        return next((n for n in self._waiting if all(m in self._results for m in self._dependencies[n])), None)

    def _has_token_for(self, number: int) -> bool:
        """Whether there is a token for a task; takes one if needed.

        Tasks past the last awaited one must not use the token that the caller lends, which it needs back after the
        wait.
        """
        lent = self._last_awaited >= 0
        if len(self._running) < self._held + lent and (number <= self._last_awaited or self._ahead() < self._held):
            return True
        if self._tokens.take(wait=False):
            self._held += 1
            return True
        return False

    def _ahead(self) -> int:
        """The number of running tasks past the last awaited one."""
        return sum(number > self._last_awaited for number in self._running.values())

    def _finish(self, future: Future[Result]) -> None:
        with self._changed:
            number = self._running.pop(future)
            error = future.exception()
            if error is None:
                self._results[number] = future.result()
            else:
                self._failures[number] = error
                self._waiting.clear()
            self._start_ready()
            self._changed.notify_all()


class Pool:
    """Processes that start as tasks come, and run at most as many tasks at once as `tokens` permit."""

    def __init__(self, tokens: JobTokens, limit: int, private: Sequence[Connection] = ()) -> None:
        """limit: processes of one stage. private: connections of this process that its children must not keep open,
        since the other end waits for them to close."""
        self._tokens = tokens
        self._limit = limit
        self._private = private
        with start_errors():
            self._spawned = None if FORKS else ProcessPoolExecutor(limit, get_context("spawn"), prepare_process)
        self._close_stages: list[Callable[[], None]] = []

    def start(
        self,
        function: Callable[..., Result],
        tasks: Sequence[object],
        dependencies: Dependencies = (),
        on_done: Callable[[int], object] = lambda _: None,
    ) -> PoolTasks[Result]:
        """Start as many tasks as free tokens permit. The caller must hold a token when it requests results."""
        with start_errors():
            stage = PoolStage(function, tasks, self._limit, self._private, self._spawned)
        self._close_stages.append(stage.close)
        return PoolTasks(stage, self._tokens, dependencies, on_done)

    def close(self) -> None:
        for close_stage in self._close_stages:
            close_stage()
        if self._spawned:
            self._spawned.shutdown(cancel_futures=True)


@contextmanager
def start_errors() -> Iterator[None]:
    """Raise ProcessStartError for an error of the operating system."""
    try:
        yield
    except OSError as error:
        remedy = "build with fewer --jobs, or allow more processes and open files: ulimit -u, ulimit -n"
        raise ProcessStartError(f"cannot start a process: {error.strerror or error} ({remedy})") from None


def prepare_process() -> None:
    """Initialise a process of a build."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides which processes Ctrl-C ends
    # A process builds one model. Reference cycles hold little memory there, and searching for them took a tenth of the
    # time in which libraries load.
    gc.disable()
    import numpy as np  # imported late, since the parent process does not need it

    # The build rejects infinities and NaN where they matter; NumPy's warnings would only clutter the terminal.
    np.seterr(all="ignore")
