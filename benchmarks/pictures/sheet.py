"""Contact sheets: a row of labelled pictures for each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from draw import Drawn
from measures import Measures
from PIL import Image, ImageDraw, ImageFont

PAPER = np.array([0.93, 0.93, 0.93])
LINE = 16  # pixels
SIDE = 256  # pixels of a picture
VIEWS = (2, 4)  # of the eight, one above the other: from above, and from the side


@dataclass(frozen=True)
class Cell:
    """A picture of a row. measures: None for the source, or for a candidate that could not be drawn."""

    title: str
    drawn: Drawn | None
    measures: Measures | None = None
    note: str = ""


def write_sheet(path: Path, rows: Sequence[tuple[str, Sequence[Cell]]]) -> None:
    """Write the rows (name, cells) as one PNG."""
    width = SIDE * max((len(cells) for _, cells in rows), default=1)
    height = len(VIEWS) * SIDE + 4 * LINE
    sheet = Image.new("RGB", (width, height * max(len(rows), 1)), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for row, (name, cells) in enumerate(rows):
        top = row * height
        pen.text((4, top + 2), name, fill=(0, 0, 0), font=font)
        for column, cell in enumerate(cells):
            left = column * SIDE
            for line, text in enumerate(_caption(cell)):
                pen.text((left + 4, top + LINE * (line + 1) + 2), text, fill=(0, 0, 0), font=font)
            if cell.drawn:
                for number, view in enumerate(VIEWS):
                    picture = _on_paper(cell.drawn.pictures[view])
                    sheet.paste(picture, (left, top + 4 * LINE + number * SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _caption(cell: Cell) -> list[str]:
    lines = [cell.title]
    count = f"{cell.drawn.triangles:,} triangles" if cell.drawn else ""
    lines.append(", ".join(filter(None, [count, cell.note])))
    if cell.measures:
        m = cell.measures
        lines.append(f"overlap {m.overlap:.3f}, dE {m.colour:.1f}, FLIP {m.flip:.3f}")
    return lines


def _on_paper(picture: np.ndarray) -> Image.Image:
    values = picture.astype(np.float64) / 255
    mixed = np.clip(values[..., :3] + PAPER * (1 - values[..., 3:]), 0, 1)
    return Image.fromarray(np.round(mixed * 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BOX)
