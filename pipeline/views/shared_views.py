"""The views of one drawable, shared out over processes if it is large."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..jobs.tasks import Result, StartTasks
from .cameras import Camera
from .drawable import Drawable

LARGE = 100_000  # triangles from which a view takes longer than to hand it to another process
SHARES = 8  # views of a task are so many that there are about this many tasks


@dataclass(frozen=True)
class Views:
    """Some of the views of a drawable."""

    drawable: Drawable
    cameras: Sequence[Camera]


def of_views(
    function: Callable[[Views], Result], drawable: Drawable, cameras: Sequence[Camera], start_tasks: StartTasks
) -> list[Result]:
    """The results of a module-level function, for one share of the views after the other."""
    if len(drawable.triangles) < LARGE:
        return [function(Views(drawable, cameras))]
    share = -(-len(cameras) // SHARES)
    tasks = [Views(drawable, cameras[first : first + share]) for first in range(0, len(cameras), share)]
    return start_tasks("views", function, tasks).results()
