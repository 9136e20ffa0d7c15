"""Compile all loops: `python -m streamxr.pipeline.warm_up`; or load them, where they were compiled before.

The first build of an installation would compile them in each of its processes at once, and say nothing meanwhile. To
load them takes 0.2 s, in a process and in each that it is forked into unless it was done before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

import numpy as np

from .jobs.tasks import Dependencies, StartedTasks, StartTasks, start_locally
from .mesh.code_cache import is_ready, note_use
from .mesh.surface import PrimitiveKind, Source, Surface
from .settings import Settings
from .trees.regions import build_tree
from .trees.scene import TreeSource

SIDE = 40  # vertices along the sides of the sheet


def sheet() -> TreeSource:
    """A wavy sheet of two textured materials, with normals and colours."""
    u, v = (axis.reshape(-1) for axis in np.meshgrid(*[np.linspace(0.0, 1.0, SIDE)] * 2))
    positions = np.stack([u, v, 0.1 * np.sin(9.0 * u) * np.cos(7.0 * v)], axis=1)
    start = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).reshape(-1)
    triangles = np.concatenate(
        [
            np.stack([start, start + 1, start + SIDE], axis=1),
            np.stack([start + 1, start + SIDE + 1, start + SIDE], axis=1),
        ]
    )
    normals = np.tile([0.0, 0.0, 1.0], (len(positions), 1))
    colors = positions * 0.5 + 0.25
    names = ("COLOR_0", "NORMAL", "POSITION", "TEXCOORD_0")
    kinds = (PrimitiveKind(0, names), PrimitiveKind(1, names))
    surface = Surface(
        positions,
        triangles,
        (positions[triangles[:, 0], 0] > 0.5).astype(np.int64),
        positions[triangles][:, :, :2].copy(),
    )
    source = Source(surface, triangles, {"NORMAL": normals, "COLOR_0": colors})
    return TreeSource("static", (), None, 1.0, kinds, source)


def build_sheet() -> None:
    """Call every loop that a tree needs."""
    build_tree(sheet(), 100, Settings(leaf_triangles=200), start_locally)


def loading(start_tasks: StartTasks) -> StartTasks:
    """Load the loops meanwhile, and have what begins other processes wait for that: forked in the middle of it, they
    would inherit locks that nobody opens.

    While other loops run, or NumPy copies, they leave the interpreter to this thread. Should it fail, so will whoever
    needs the loops, and say it.
    """
    if not is_ready():
        return start_tasks

    def load() -> None:
        with contextlib.suppress(Exception):
            build_sheet()

    thread = Thread(target=load, daemon=True)
    thread.start()

    def start_after(
        stage: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], dependencies: Dependencies = ()
    ) -> StartedTasks:
        thread.join()
        return start_tasks(stage, function, tasks, dependencies)

    return start_after


def main() -> None:
    build_sheet()
    note_use()


if __name__ == "__main__":
    main()
