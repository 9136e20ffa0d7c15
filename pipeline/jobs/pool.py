"""The processes of one asset: how many may be at work, and tasks mapped over them."""

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

LOOK_SECONDS = 1.0  # between two looks whether all processes are alive
FORKS = sys.platform == "linux"  # macOS has libraries that break in a forked process, Windows has no fork


class JobTokens:
    """The right to be at work: one for each job, shared by all assets that are being built.

    Each asset process has an object of its own from birth, and takes tokens on behalf of its pool. `held` lies in
    memory that its parent shares: whatever dies, the parent can give back what it held, so nobody waits for ever.
    """

    def __init__(self, free: Semaphore, held: c_int) -> None:
        self._free = free
        self._held = held
        self._counting = Lock()

    def __reduce__(self) -> tuple[type[JobTokens], tuple[Semaphore, c_int]]:
        return JobTokens, (self._free, self._held)  # a lock stays in its process

    @property
    def held(self) -> int:
        return self._held.value

    def take(self, *, wait: bool) -> bool:
        """Take one, or say that none is free."""
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
        """Let the other threads of a process that is about to end give nothing back any more, lest it ends in the
        middle of that."""
        self._counting.acquire()


class PoolStage(Generic[Result]):
    """Processes that map one function over one sequence of tasks; `start` one of these by its number.

    On Linux they are forked: they come with the libraries that their parent has loaded, share the tasks with it, and
    make themselves what a task makes when it is asked for. Elsewhere forking is not safe, and tasks are sent to
    processes that start from nothing: those of `spawned`.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        tasks: Sequence[object],
        limit: int,
        private: Sequence[Connection],
        spawned: ProcessPoolExecutor | None,
    ) -> None:
        """`private`: what forked processes must not hold open."""
        self.count = len(tasks)
        self._function = function
        self._tasks = tasks
        self._forked = (
            ProcessPoolExecutor(limit, get_context("fork"), _inherit, (function, tasks, private))
            if spawned is None
            else None
        )
        self._spawned = spawned

    def start(self, number: int, needed: Sequence[Result] | None) -> Future[Result]:
        """needed: see `run_task`. Raises ProcessStartError if a process cannot be started."""
        with start_errors():
            if self._spawned:
                return self._spawned.submit(run_task, self._function, self._tasks[number], needed)
            if self._forked:
                return cast("Future[Result]", self._forked.submit(_run_inherited, number, needed))
        raise RuntimeError("the stage is closed")

    def has_lost(self) -> bool:
        """Whether a process has died. The executor itself may never see that: it waits for the end of a message whose
        sender was killed in the middle of it."""
        executor = self._forked or self._spawned
        processes = executor and executor._processes
        return bool(processes and wait_for_end([process.sentinel for process in processes.values()], 0))

    def close(self) -> None:
        if self._forked:
            self._forked.shutdown(cancel_futures=True)
        self._forked, self._tasks = None, ()  # they may be as large as the source


_inherited: tuple[Callable[..., object], Sequence[object]] | None = None


def _inherit(function: Callable[..., object], tasks: Sequence[object], private: Sequence[Connection]) -> None:
    """What a forked process does first."""
    global _inherited
    _inherited = function, tasks
    for connection in private:
        connection.close()
    prepare_process()


def _run_inherited(number: int, needed: Sequence[object] | None) -> object:
    assert _inherited
    function, tasks = _inherited
    return run_task(function, tasks[number], needed)


class PoolTasks(Generic[Result]):
    """The tasks of a stage, as many of them at work as there are free tokens.

    A task starts once the results are there that it needs, the first such one first. Of several tasks that fail, the
    first one's exception is raised, so that errors do not depend on timing.
    """

    def __init__(
        self, stage: PoolStage[Result], tokens: JobTokens, dependencies: Dependencies, on_done: Callable[[int], object]
    ) -> None:
        """`on_done` hears how many are done, whenever that has changed while somebody waits."""
        self._stage = stage
        self._tokens = tokens
        self._dependencies = dependencies
        self._on_done = on_done
        self._changed = Condition()
        self._waiting = list(range(stage.count))
        self._at_work: dict[Future[Result], int] = {}
        self._results: dict[int, Result] = {}
        self._failures: dict[int, BaseException] = {}
        self._held = 0
        self._asked = -1  # the last task that the caller waits for
        with self._changed:
            self._start_ready()

    def results(self, numbers: Sequence[int] | None = None) -> list[Result]:
        """See `StartedTasks`. The caller, who holds a token and only waits meanwhile, lends it to what it waits for."""
        wanted = range(self._stage.count) if numbers is None else numbers
        with self._changed:
            self._asked = max(wanted, default=-1)
            try:
                self._start_ready()
                self._await(wanted)
            finally:
                self._asked = -1
        if len(self._results) == self._stage.count:
            self._stage.close()
        return [self._results[number] for number in wanted]

    def _await(self, wanted: Sequence[int]) -> None:
        heard = 0
        while self._failures or not all(number in self._results for number in wanted):
            if not self._at_work:
                raise self._failures[min(self._failures)] if self._failures else BrokenProcessPool("it has ended")
            if not self._changed.wait(LOOK_SECONDS) and self._stage.has_lost():
                self._waiting.clear()
                raise BrokenProcessPool("a process has died")
            if len(self._results) > heard:
                heard = len(self._results)
                self._on_done(heard)

    def _start_ready(self) -> None:
        """Start what can be started, and give back the tokens that nothing is left for."""
        while (number := self._next()) is not None and self._has_token_for(number):
            needed = [self._results[n] for n in self._dependencies[number]] if self._dependencies else None
            try:
                started = self._stage.start(number, needed)
            except RuntimeError:  # the pool is closed or broken; whoever waits for results hears of it
                self._waiting.clear()
                break
            except ProcessStartError as error:
                self._waiting.clear()
                self._failures[number] = error
                break
            self._waiting.remove(number)
            self._at_work[started] = number
            started.add_done_callback(self._finish)
        ahead, lent = self._ahead(), self._asked >= 0
        spare = self._held - max(ahead, len(self._at_work) - lent)
        self._held -= spare
        self._tokens.give_back(spare)

    def _next(self) -> int | None:
        if not self._dependencies:
            return self._waiting[0] if self._waiting else None
        return next((n for n in self._waiting if all(m in self._results for m in self._dependencies[n])), None)

    def _has_token_for(self, number: int) -> bool:
        """What nobody waits for yet must not use the token that is lent: who lends it goes on with it."""
        lent = self._asked >= 0
        if len(self._at_work) < self._held + lent and (number <= self._asked or self._ahead() < self._held):
            return True
        if self._tokens.take(wait=False):
            self._held += 1
            return True
        return False

    def _ahead(self) -> int:
        """How many are at work that nobody waits for yet."""
        return sum(number > self._asked for number in self._at_work.values())

    def _finish(self, future: Future[Result]) -> None:
        with self._changed:
            number = self._at_work.pop(future)
            error = future.exception()
            if error is None:
                self._results[number] = future.result()
            else:
                self._failures[number] = error
                self._waiting.clear()
            self._start_ready()
            self._changed.notify_all()


class Pool:
    """A few processes that start as tasks come, never more of them at work than `tokens` allow."""

    def __init__(self, tokens: JobTokens, limit: int, private: Sequence[Connection] = ()) -> None:
        """`private`: pipes of this process whose other end waits for them to be closed."""
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
        """Start what free tokens allow. Whoever asks for results holds a token already."""
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
    """What every process of a build does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build decides what Ctrl-C ends
    # A process lives for one model: what only cycles of references hold is little, and to look for it took a tenth of
    # the time in which libraries load.
    gc.disable()
    import numpy as np  # here, since the parent of all needs none of it

    # Numbers that are none are refused where they matter; NumPy's warnings of them would only litter the terminal.
    np.seterr(all="ignore")
