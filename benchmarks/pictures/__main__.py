"""Compare the pictures of simplified models with those of their sources."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
CACHE = HERE.parents[1] / ".cache" / "bench-pictures"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Draw models in Chromium from eight sides, and measure how different candidates look from their source.

    Needs `npm ci` in benchmarks/pictures, and the packages of its requirements.txt.
    """
    if not (HERE / "node_modules").is_dir():
        raise click.ClickException(f"three.js and the other tools are not installed: run `npm ci` in {HERE}")


@main.command()
@click.argument("source", type=FILE)
@click.argument("candidates", type=FILE, nargs=-1, required=True, metavar="CANDIDATE...")
@click.option("--sheet", type=click.Path(path_type=Path), help="Path of the contact sheet.")
def compare(source: Path, candidates: tuple[Path, ...], sheet: Path | None) -> None:
    """Compare GLB files CANDIDATE with the GLB file SOURCE.

    Prints a JSON line for each candidate, and writes a contact sheet to .cache/bench-pictures/.
    """
    from draw import DrawError, studio
    from measures import measure
    from sheet import Cell, write_sheet

    target = sheet or CACHE / f"compare-{source.stem}.png"
    with studio(CACHE / "pictures") as drawing:
        reference = drawing.draw(source)
        cells = [Cell(source.name, reference)]
        for path in candidates:
            row = {"source": source.name, "candidate": path.name, "bytes": path.stat().st_size}
            try:
                drawn = drawing.draw(path, reference.box)
            except DrawError as error:
                click.echo(json.dumps({**row, "error": str(error)}))
                cells.append(Cell(path.name, None, note=str(error)))
                continue
            found = measure(reference.pictures, drawn.pictures)
            row |= {"triangles": drawn.triangles, "calls": drawn.calls}
            row |= {name: round(value, 5) for name, value in asdict(found).items()}
            click.echo(json.dumps(row))
            cells.append(Cell(path.name, drawn, found))
    write_sheet(target, [(source.stem, cells)])
    click.echo(f"contact sheet: {target}", err=True)


if __name__ == "__main__":
    main(prog_name="python benchmarks/pictures")
