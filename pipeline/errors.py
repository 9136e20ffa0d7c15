"""The one error an artist can act on: which file, where in it, what is wrong, what to do."""

from __future__ import annotations

import reprlib

MAX_TEXT = 600  # characters of a message: names and values in it are the file's and may be of any length
MAX_SHOWN = 40  # characters of a value that a message quotes
# Remedies that several readers suggest.
EXPORT_AGAIN = "export it again"
DAMAGED = "the file is damaged: export it again"
TRUNCATED = "the file is truncated: export or copy it again"


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
        text = printable(f"{self.place}: {self.problem}" if self.place else self.problem)
        return f"{text} ({self.remedy})" if self.remedy else text


def os_reason(error: OSError) -> str:
    """Why the operating system refused an operation, such as "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def printable(text: str) -> str:
    """One line of at most MAX_TEXT characters that no terminal takes for anything but text."""
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 1]}…"
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def shown(value: object) -> str:
    """A value of a file as a message quotes it: its repr, cut short however large or deep it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2


def _rebuild(problem: str, place: str, remedy: str) -> ModelError:
    return ModelError(problem, place=place, remedy=remedy)
