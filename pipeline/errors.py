"""ModelError, the one error that an artist can act on: which file, where in it, what is wrong, what to do."""

from __future__ import annotations

import reprlib

MAX_TEXT = 600  # characters of a message; it contains names and values from files, which may have any length
MAX_SHOWN = 40  # characters of a quoted value
# Remedies that several readers suggest.
EXPORT_AGAIN = "export it again"
DAMAGED = "the file is damaged: export it again"
TRUNCATED = "the file is truncated: export or copy it again"


class ModelError(Exception):
    """A model (or a bundle) that cannot be used as it is.

    problem: a phrase that continues a sentence about the place.
    place: the place in the file, such as `mesh 3 "seat"`. Callers that know the file add its name.
    remedy: a way for the artist to solve the problem, or "".
    """

    def __init__(self, problem: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(problem, place, remedy)
        self.problem = problem
        self.place = place
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive pickling between processes by default.
        return (_rebuild, (self.problem, self.place, self.remedy))

    def __str__(self) -> str:
        text = printable(f"{self.place}: {self.problem}" if self.place else self.problem)
        return f"{text} ({self.remedy})" if self.remedy else text


def os_reason(error: OSError) -> str:
    """The reason why the operating system refused an operation, such as "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def printable(text: str) -> str:
    """One line of at most MAX_TEXT characters, without control characters that a terminal would act on."""
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 1]}…"
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def shown(value: object) -> str:
    """A value from a file in the form in which a message quotes it: its repr, of at most MAX_SHOWN characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2


def _rebuild(problem: str, place: str, remedy: str) -> ModelError:
    return ModelError(problem, place=place, remedy=remedy)
