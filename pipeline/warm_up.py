"""Compile all loops, or load them where they were compiled before: `python -m streamxr.pipeline.warm_up`.

The first build of an installation would otherwise compile them in each of its processes at once. With `--from-end` the
loops of the last stages come first: a second process takes that way to meet the first one in the middle. Each loop is
kept as soon as it is compiled, so an interrupted warm-up goes on where it stopped.

Loading takes 0.2 s in a process, and in each of its forks if it did not load them before.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from threading import Thread

import numpy as np

from .gltf.skinning import DeformableVertices, MeshPoses
from .jobs.tasks import Dependencies, Result, StartedTasks, StartTasks, start_locally
from .mesh.code_cache import is_ready, note_use
from .mesh.surface import PrimitiveKind, Source, Surface
from .settings import Settings
from .trees.posed_error import PosedSurface, posed_error
from .trees.region_finish import FinishTask, TreeEncoding, finish_region
from .trees.regions import build_tree
from .trees.tiers import tree_grid
from .trees.tree import TreeSource

SIDE = 40  # vertices along the sides of the sheet


def sheet(side: int = SIDE) -> TreeSource:
    """A wavy sheet of two textured materials, with normals and colours."""
    u, v = (axis.reshape(-1) for axis in np.meshgrid(*[np.linspace(0.0, 1.0, side)] * 2))
    positions = np.stack([u, v, 0.1 * np.sin(9.0 * u) * np.cos(7.0 * v)], axis=1)
    start = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    triangles = np.concatenate(
        [
            np.stack([start, start + 1, start + side], axis=1),
            np.stack([start + 1, start + side + 1, start + side], axis=1),
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


def finish_sheet() -> None:
    """Call the loops that follow a collapse: errors, attributes and bounds of a coarse sheet beside a fine one."""
    fine, coarse, settings = sheet(), sheet(SIDE // 2), Settings()
    encoding = TreeEncoding(fine.kinds, tree_grid(fine, settings), settings)
    finish_region(FinishTask(coarse.source.surface, fine.source, encoding, exact=False))


def pose_sheet() -> None:
    """Call the loop that measures errors over poses."""
    surface = sheet().source.surface
    count = len(surface.positions)
    vertices = DeformableVertices(
        surface.positions, np.zeros((count, 1), np.int64), np.ones((count, 1)), np.zeros((0, count, 3))
    )
    posed = PosedSurface(vertices, surface.triangles)
    posed_error(posed, posed, [MeshPoses(np.eye(4)[None, None], np.zeros((1, 0)))], 0.0)


def draw_sheet() -> None:
    """Call the loops that draw, and those that make a shell."""
    from .shells.shell import build_shell  # here, since their libraries take long to load
    from .views.cameras import cameras_around
    from .views.difference import ComparedPicture
    from .views.drawable import drawable_source
    from .views.materials import PLAIN
    from .views.shading import draw
    from .views.visibility import seen_from_outside

    source = drawable_source(sheet().source, sheet().kinds, [PLAIN, PLAIN])
    camera = cameras_around(*source.box, 1)[0]
    ComparedPicture.of(draw(source, camera, 8))
    seen_from_outside(source)
    build_shell(source, 100, 16)


def loading(start_tasks: StartTasks) -> StartTasks:
    """Load the loops in a thread, and let `start_tasks` wait for it before it starts other processes.

    Processes that are forked while the thread runs would inherit locks that no thread opens. Loading overlaps with
    loops and NumPy copies, which release the interpreter lock. If it fails, so does the first caller of a loop, with
    the same error.
    """
    if not is_ready():
        return start_tasks

    def load() -> None:
        with contextlib.suppress(Exception):
            build_sheet()

    thread = Thread(target=load, daemon=True)
    thread.start()

    def start_after(
        stage: str, function: Callable[..., Result], tasks: Sequence[object], dependencies: Dependencies = ()
    ) -> StartedTasks[Result]:
        thread.join()
        return start_tasks(stage, function, tasks, dependencies)

    return start_after


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the mesh loops and keep their machine code.")
    parser.add_argument("--from-end", action="store_true", help="compile the loops of the last stages first")
    if parser.parse_args().from_end:
        draw_sheet()
        pose_sheet()
        finish_sheet()
    build_sheet()
    pose_sheet()
    draw_sheet()
    note_use()


if __name__ == "__main__":
    main()
