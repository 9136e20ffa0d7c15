"""The tasks of a stage: typed values, a function over them, and the results. A `StartTasks` decides how they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, overload

Task = TypeVar("Task", contravariant=True)
Result = TypeVar("Result")
Dependencies = Sequence[Sequence[int]]


class StartedTasks(Protocol[Result]):
    """Tasks that may be running already."""

    def results(self, numbers: Sequence[int] | None = None) -> list[Result]:
        """The results of the tasks with these numbers, or of all, in order. Tasks after the last of them may run
        later."""


class StartTasks(Protocol):
    """Starts a module-level function over tasks, perhaps in other processes.

    dependencies: none, or for each task the numbers of earlier tasks; `function` gets their results after the task.
    """

    @overload
    def __call__(
        self, stage: str, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> StartedTasks[Result]: ...
    @overload
    def __call__(
        self,
        stage: str,
        function: Callable[[Task, Sequence[Result]], Result],
        tasks: Sequence[Task],
        dependencies: Dependencies,
    ) -> StartedTasks[Result]: ...


def run_task(function: Callable[..., Result], task: object, inputs: Sequence[Result] | None) -> Result:
    """Call a stage's function on one task.

    inputs: the results of the tasks that it depends on; None if the stage states no dependencies.
    """
    return function(task) if inputs is None else function(task, inputs)


class LocalTasks(Generic[Result]):
    """Tasks that run in this process, when their results are requested."""

    def __init__(
        self,
        function: Callable[..., Result],
        tasks: Sequence[object],
        dependencies: Dependencies = (),
        on_done: Callable[[int], object] = lambda _: None,
    ) -> None:
        """on_done: called before each task with the number of finished ones."""
        self._function = function
        self._tasks = tasks
        self._dependencies = dependencies
        self._on_done = on_done
        self._results: list[Result] = []

    def results(self, numbers: Sequence[int] | None = None) -> list[Result]:
        requested = range(len(self._tasks)) if numbers is None else numbers
        for number in range(len(self._results), max(requested, default=-1) + 1):
            self._on_done(number)
            inputs = [self._results[n] for n in self._dependencies[number]] if self._dependencies else None
            self._results.append(run_task(self._function, self._tasks[number], inputs))
        return [self._results[number] for number in requested]


def start_locally(
    stage: str,  # noqa: ARG001
    function: Callable[..., Result],
    tasks: Sequence[object],
    dependencies: Dependencies = (),
) -> StartedTasks[Result]:
    """A `StartTasks` that uses no other process and reports no progress."""
    return LocalTasks(function, tasks, dependencies)


T = TypeVar("T")


class LazySequence(Sequence[T]):
    """Items made on access by `make(index)`, and not kept: all items of a tier are together as large as the source."""

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
