"""The pictures of one model: found in its document, encoded at all their sizes by other processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .gltf.document import Document
from .gltf.texture_uses import read_texture_uses
from .jobs.tasks import StartTasks
from .pictures import ktx2
from .pictures.codec import picture_size
from .pictures.levels import LevelsTask, Pyramid, build_levels, too_large_for_ktx2
from .settings import Role, Settings

if TYPE_CHECKING:
    from .trees.palettes import PalettePicture


@dataclass(frozen=True)
class Pictures:
    """The pictures of a document, perhaps still in progress.

    of_texture: the index of each picture by (texture, role).
    pyramids: waits for all levels, and returns them.
    notes: remarks for the artist.
    """

    of_texture: dict[tuple[int, Role], int]
    pyramids: Callable[[], list[Pyramid]]
    notes: tuple[str, ...]


def begin_pictures(document: Document, settings: Settings, start_tasks: StartTasks) -> Pictures:
    """Begin to build the levels of every picture. Raises ModelError if a picture cannot be read."""
    uses = read_texture_uses(document)
    notes = [
        f"{p.place} is stored at half its size: KTX2's encoder takes no more than {ktx2.MAX_PIXELS:,} pixels"
        for p in uses.pictures
        if too_large_for_ktx2(*picture_size(p.content, p.place), p.role, settings)
    ]
    # A finest level takes longer than all the others together, so that it starts first.
    levels = start_tasks(
        "textures", build_levels, [LevelsTask(p, settings, finest) for finest in (True, False) for p in uses.pictures]
    )

    def pyramids() -> list[Pyramid]:
        done = levels.results()
        fine, coarse = done[: len(uses.pictures)], done[len(uses.pictures) :]
        return [Pyramid(p.name, p.role, c + f) for p, c, f in zip(uses.pictures, coarse, fine, strict=True)]

    return Pictures(uses.of_texture, pyramids, tuple(notes))


def with_palettes(pictures: Pictures, palettes: Sequence[PalettePicture], settings: Settings) -> Pictures:
    """The pictures, and those of merged materials after them."""
    if not palettes:
        return pictures
    from .trees.palettes import palette_pyramid  # here, since most models need none

    own = [palette_pyramid(palette, settings) for palette in palettes]
    before = len(set(pictures.of_texture.values()))
    of_texture = {(palette.texture, palette.role): before + k for k, palette in enumerate(palettes)}
    return replace(pictures, of_texture=pictures.of_texture | of_texture, pyramids=lambda: [*pictures.pyramids(), *own])
