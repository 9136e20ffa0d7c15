"""The one error an artist can act on: which file, where in it, what is wrong, what to do."""

from __future__ import annotations


class ModelError(Exception):
    """A model (or a bundle) that cannot be used as it is.

    The file itself is named by whoever knows it; `place` is inside the file, such as `mesh 3 "seat"`.
    """

    def __init__(self, problem: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(problem, place, remedy)
        self.problem = problem
        self.place = place
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive pickling between processes by themselves.
        return (_rebuild, (self.problem, self.place, self.remedy))

    def __str__(self) -> str:
        text = f"{self.place}: {self.problem}" if self.place else self.problem
        return f"{text} ({self.remedy})" if self.remedy else text


def _rebuild(problem: str, place: str, remedy: str) -> ModelError:
    return ModelError(problem, place=place, remedy=remedy)
