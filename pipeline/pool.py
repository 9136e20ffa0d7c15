"""The processes of one asset: how many may be at work, and tasks mapped over them."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.synchronize import Semaphore
from threading import Lock
from typing import Any

LOOK_SECONDS = 1.0  # between two looks whether all processes are alive
FORKS = sys.platform == "linux"  # macOS has libraries that break in a forked process, Windows has no fork


class Tokens:
    """The right to be at work: one for each job, shared by all assets that are being built.

    Each asset process has an object of its own from birth, and takes tokens on behalf of its pool. `held` lies in
    memory that its parent shares: whatever dies, the parent can give back what it held, so nobody waits for ever.
    """

    def __init__(self, free: Semaphore, held: c_int) -> None:
        self._free = free
        self._held = held
        self._counting = Lock()

    def __reduce__(self) -> tuple[type[Tokens], tuple[Semaphore, c_int]]:
        return Tokens, (self._free, self._held)  # a lock stays in its process

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


class Stage:
    """Processes that map one function over one sequence of tasks; `start` one of these by its number.

    On Linux they are forked: they come with the libraries that their parent has loaded, share the tasks with it, and
    make themselves what a task makes when it is asked for. Elsewhere forking is not safe, and tasks are sent to
    processes that start from nothing: those of `spawned`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        tasks: Sequence[Any],
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

    def start(self, number: int) -> Future[Any]:
        if self._spawned:
            return self._spawned.submit(self._function, *self._tasks[number])
        if self._forked:
            return self._forked.submit(_run_inherited, number)
        raise RuntimeError("the stage is closed")

    def await_any(self, futures: Collection[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, as soon as one is.

        Raises:
            BrokenProcessPool: none is, and a process has died. The executor itself may never see that: it waits for the
                end of a message whose sender was killed in the middle of it.
        """
        while futures and not (done := wait_for(futures, LOOK_SECONDS, FIRST_COMPLETED).done):
            executor = self._forked or self._spawned
            processes = executor and executor._processes
            if processes and wait_for_end([process.sentinel for process in processes.values()], 0):
                if done := wait_for(futures, 0, FIRST_COMPLETED).done:
                    break
                raise BrokenProcessPool("a process has died")
        return done if futures else set()

    def close(self) -> None:
        if self._forked:
            self._forked.shutdown(cancel_futures=True)
        self._forked, self._tasks = None, ()  # they may be as large as the source


_inherited: tuple[Callable[..., Any], Sequence[Any]] | None = None


def _inherit(function: Callable[..., Any], tasks: Sequence[Any], private: Sequence[Connection]) -> None:
    """What a forked process does first."""
    global _inherited
    _inherited = function, tasks
    for connection in private:
        connection.close()
    prepare_process()


def _run_inherited(number: int) -> Any:
    assert _inherited
    function, tasks = _inherited
    return function(*tasks[number])


class Early:
    """Tasks that are started ahead of the time when their results are asked for, as far as there are free tokens."""

    def __init__(self, stage: Stage, tokens: Tokens) -> None:
        self._stage = stage
        self._tokens = tokens
        self._count = stage.count
        self._futures: list[Future[Any]] = []
        self._changing = Lock()
        while len(self._futures) < self._count and tokens.take(wait=False):
            self._next(holds_token=True)

    def results(self, on_done: Callable[[int], None]) -> list[Any]:
        """All results, in order; see `Pool.map`. The caller, who only waits from now on, lends its own token."""
        self._next(holds_token=False)
        count, done = self._stage.count, 0
        while done < count:
            with self._changing:
                futures, wanted = list(self._futures), self._count
            self._stage.await_any(futures[done:])
            while done < len(futures) and futures[done].done():
                error = futures[done].exception()
                if error is not None:
                    self._stop()
                    raise error
                done += 1
                on_done(done)
            if done == wanted < count:
                raise BrokenProcessPool("the pool ended before its tasks")
        self._stage.close()
        return [future.result() for future in self._futures]

    def _stop(self) -> None:
        with self._changing:
            self._count = len(self._futures)

    def _next(self, *, holds_token: bool) -> None:
        """Start the next task, if there is one; the task after it follows on the same token."""
        started: Future[Any] | None = None
        with self._changing:
            if len(self._futures) < self._count:
                try:
                    started = self._stage.start(len(self._futures))
                    self._futures.append(started)
                except RuntimeError:  # the pool is closed or broken; whoever asks for results hears of it
                    self._count = len(self._futures)
        if started:
            started.add_done_callback(lambda _: self._next(holds_token=holds_token))
        elif holds_token:
            self._tokens.give_back(1)


class Pool:
    """A few processes that start as tasks come, never more of them at work than `tokens` allow."""

    def __init__(self, tokens: Tokens, limit: int, private: Sequence[Connection] = ()) -> None:
        """`private`: pipes of this process whose other end waits for them to be closed."""
        self._tokens = tokens
        self._limit = limit
        self._private = private
        self._spawned = None if FORKS else ProcessPoolExecutor(limit, get_context("spawn"), prepare_process)
        self._stages: list[Stage] = []

    def map(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], on_done: Callable[[int], None]
    ) -> list[Any]:
        """The results of `function` for each task, in order. `on_done` hears how many there are so far.

        The caller holds a token already: it serves the first task, since the caller only waits meanwhile. Of
        several tasks that fail, the first one's exception is raised, so that errors do not depend on timing.
        """
        tokens = self._tokens
        stage = self._open(function, tasks)
        results: dict[int, Any] = {}
        failures: dict[int, BaseException] = {}
        at_work: dict[Future[Any], int] = {}
        submitted = 0
        taken = 0
        try:
            while at_work or (submitted < len(tasks) and not failures):
                while submitted < len(tasks) and not failures:
                    if len(at_work) > taken:
                        if not tokens.take(wait=False):
                            break
                        taken += 1
                    at_work[stage.start(submitted)] = submitted
                    submitted += 1
                for future in stage.await_any(at_work):
                    number = at_work.pop(future)
                    error = future.exception()
                    if error is not None:
                        failures[number] = error
                        continue
                    results[number] = future.result()
                    on_done(len(results))
        finally:
            tokens.give_back(taken)
        if failures:
            raise failures[min(failures)]
        stage.close()
        return [results[number] for number in range(len(tasks))]

    def begin(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Early:
        """Start what free tokens allow of tasks whose results are needed later."""
        return Early(self._open(function, tasks), self._tokens)

    def close(self) -> None:
        for stage in self._stages:
            stage.close()
        if self._spawned:
            self._spawned.shutdown(cancel_futures=True)

    def _open(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Stage:
        stage = Stage(function, tasks, self._limit, self._private, self._spawned)
        self._stages.append(stage)
        return stage


def prepare_process() -> None:
    """What every process of a build does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build decides what Ctrl-C ends
    # A process lives for one model: what only cycles of references hold is little, and to look for it took a tenth of
    # the time in which libraries load.
    gc.disable()
    import numpy as np  # here, since the parent of all needs none of it

    # Numbers that are none are refused where they matter; NumPy's warnings of them would only litter the terminal.
    np.seterr(all="ignore")
