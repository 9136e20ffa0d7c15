"""The processes of one asset: how many may be at work, and tasks mapped over them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from multiprocessing import get_context
from multiprocessing.synchronize import Semaphore
from threading import Lock
from typing import Any

import numpy as np


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


class Early:
    """Tasks that are started ahead of the time when their results are asked for, as far as there are free tokens."""

    def __init__(
        self, executor: ProcessPoolExecutor, tokens: Tokens, function: Callable[..., Any], tasks: Sequence[Any]
    ) -> None:
        self._executor = executor
        self._tokens = tokens
        self._function = function
        self._tasks = tasks
        self._futures: list[Future[Any]] = []
        self._changing = Lock()
        while len(self._futures) < len(tasks) and tokens.take(wait=False):
            self._next(holds_token=True)

    def results(self, on_done: Callable[[int], None]) -> list[Any]:
        """All results, in order; see `Pool.map`. The caller, who only waits from now on, lends its own token."""
        self._next(holds_token=False)
        count, done = len(self._tasks), 0
        while done < count:
            with self._changing:
                futures, wanted = list(self._futures), len(self._tasks)
            wait_for(futures[done:], return_when=FIRST_COMPLETED)
            while done < len(futures) and futures[done].done():
                error = futures[done].exception()
                if error is not None:
                    self._stop()
                    raise error
                done += 1
                on_done(done)
            if done == wanted < count:
                raise BrokenProcessPool("the pool ended before its tasks")
        return [future.result() for future in self._futures]

    def _stop(self) -> None:
        with self._changing:
            self._tasks = self._tasks[: len(self._futures)]

    def _next(self, *, holds_token: bool) -> None:
        """Start the next task, if there is one; the task after it follows on the same token."""
        started: Future[Any] | None = None
        with self._changing:
            if len(self._futures) < len(self._tasks):
                try:
                    started = self._executor.submit(self._function, *self._tasks[len(self._futures)])
                    self._futures.append(started)
                except RuntimeError:  # the pool is closed or broken; whoever asks for results hears of it
                    self._tasks = self._tasks[: len(self._futures)]
        if started:
            started.add_done_callback(lambda _: self._next(holds_token=holds_token))
        elif holds_token:
            self._tokens.give_back(1)


class Pool:
    """A few processes that start as tasks come, never more of them at work than `tokens` allow."""

    def __init__(self, tokens: Tokens, limit: int) -> None:
        self._tokens = tokens
        self._executor = ProcessPoolExecutor(limit, get_context("spawn"), prepare_process)

    def map(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], on_done: Callable[[int], None]
    ) -> list[Any]:
        """The results of `function` for each task, in order. `on_done` hears how many there are so far.

        The caller holds a token already: it serves the first task, since the caller only waits meanwhile. Of
        several tasks that fail, the first one's exception is raised, so that errors do not depend on timing.
        """
        tokens = self._tokens
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
                    at_work[self._executor.submit(function, *tasks[submitted])] = submitted
                    submitted += 1
                for future in wait_for(at_work, return_when=FIRST_COMPLETED).done:
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
        return [results[number] for number in range(len(tasks))]

    def begin(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Early:
        """Start what free tokens allow of tasks whose results are needed later."""
        return Early(self._executor, self._tokens, function, tasks)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


def prepare_process() -> None:
    """What every process of a build does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the build decides what Ctrl-C ends
    # Numbers that are none are refused where they matter; NumPy's warnings of them would only litter the terminal.
    np.seterr(all="ignore")
