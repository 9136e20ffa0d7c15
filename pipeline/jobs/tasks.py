"""Work as functions over argument tuples, which is all that a stage knows of the processes that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

Dependencies = Sequence[Sequence[int]]


class StartedTasks(Protocol):
    """Tasks that may be at work already."""

    def results(self, numbers: Sequence[int] | None = None) -> list[Any]:
        """The results of these tasks, or of all, in order. Those that come after the last of them may be done later."""


class StartTasks(Protocol):
    """Begins a module-level function over argument tuples, perhaps in other processes.

    dependencies: for each task the numbers of earlier ones, whose results follow the arguments of its own.
    """

    def __call__(
        self,
        stage: str,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        dependencies: Dependencies = (),
    ) -> StartedTasks: ...


class LocalTasks:
    """Tasks that are done in this process when somebody asks for their results."""

    def __init__(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        dependencies: Dependencies = (),
        on_done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`on_done` hears how many are done before each."""
        self._function = function
        self._tasks = tasks
        self._needs = dependencies
        self._on_done = on_done
        self._results: list[Any] = []

    def results(self, numbers: Sequence[int] | None = None) -> list[Any]:
        wanted = range(len(self._tasks)) if numbers is None else numbers
        for number in range(len(self._results), max(wanted, default=-1) + 1):
            self._on_done(number)
            needed = [self._results[n] for n in self._needs[number]] if self._needs else []
            self._results.append(self._function(*self._tasks[number], *needed))
        return [self._results[number] for number in wanted]


def start_locally(
    stage: str,  # noqa: ARG001
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    dependencies: Dependencies = (),
) -> StartedTasks:
    """A `StartTasks` without other processes, and without anybody who hears of progress."""
    return LocalTasks(function, tasks, dependencies)


T = TypeVar("T")


class LazySequence(Sequence[T]):
    """Items that are made when they are asked for: those of a tier are together as large as the source."""

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        places = range(self._count)[index]
        return self._make(places) if isinstance(places, int) else [self._make(i) for i in places]
