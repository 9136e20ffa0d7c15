"""Work as functions over argument tuples, which is all that a stage knows of the processes that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, overload


class Run(Protocol):
    """Maps a module-level function over argument tuples, perhaps in other processes; results in order."""

    def __call__(self, stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]: ...


class Begin(Protocol):
    """As `Run`, for results that are needed later: what it returns gives them."""

    def __call__(
        self, stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]
    ) -> Callable[[], list[Any]]: ...


def later(run: Run) -> Begin:
    """A `Begin` that begins when the results are asked for."""
    return lambda stage, function, tasks: partial(run, stage, function, tasks)


T = TypeVar("T")


class Made(Sequence[T]):
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
