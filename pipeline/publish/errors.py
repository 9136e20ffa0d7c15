"""Errors of publishing: place, what is wrong, what to do."""

from __future__ import annotations

from ..errors import ModelError


class PublishError(ModelError):
    """A target that cannot be used, or a bundle that must not be published. Readers see what they saw before."""


class ConflictError(PublishError):
    """Another publisher replaced the catalogue meanwhile. The content of this one is stored and stays usable."""

    def __init__(self, place: str) -> None:
        problem = "another publisher has replaced it since this command started, so it was left as it is"
        remedy = "look at it with --list or --diff, then publish again: the files that were sent stay and are used"
        super().__init__(problem, place=place, remedy=remedy)


class OtherBytesError(PublishError):
    """A file that never changes under its name is in the target with other bytes."""

    def __init__(self, place: str) -> None:
        problem = "is in the target with other bytes, though files of this name never change"
        remedy = "find out who wrote it; delete it there, then publish again"
        super().__init__(problem, place=place, remedy=remedy)
