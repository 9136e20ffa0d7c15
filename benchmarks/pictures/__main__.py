"""Compare the pictures of simplified models with those of their sources."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
CACHE = HERE.parents[1] / ".cache" / "bench-pictures"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def numbers(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """The values of an option such as 1500,6000."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise click.BadParameter(f"{text} is not a list of numbers such as 1500,6000") from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Draw models in Chromium from eight sides, and measure how different candidates look from their source.

    `make bench-pictures` installs what this needs.
    """
    if not (HERE / "node_modules").is_dir():
        raise click.ClickException(f"three.js and the other tools are not installed: run `npm ci` in {HERE}")


@main.command()
@click.option(
    "--models", type=FOLDER, required=True, help="Folder of models: glTF, GLB, OBJ, PLY, STL, OFF or 3MF, at any depth."
)
@click.option("--only", multiple=True, metavar="NAME", help="Judge models whose name has this part; can be repeated.")
@click.option("--quick", is_flag=True, help="Judge only the bases, by default only beside gltfpack.")
@click.option("--tool", "chosen_tools", multiple=True, metavar="TOOL", help="Compare with this tool; can be repeated.")
@click.option(
    "--levels", callback=numbers, metavar="N,N", show_default="1500,6000,15000,50000", help="Triangle counts."
)
@click.option("--bundle", type=FOLDER, help="Judge the bases and tiers of this bundle instead of building the models.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all measures here.")
@click.option("--docs", is_flag=True, help="Write the tables into docs/benchmarks.md.")
def run(
    models: Path,
    only: tuple[str, ...],
    quick: bool,
    chosen_tools: tuple[str, ...],
    levels: tuple[int, ...] | None,
    bundle: Path | None,
    json_path: Path | None,
    docs: bool,
) -> None:
    """Judge bases and tiers of all models of a folder, beside other tools.

    Prints tables as Markdown, and writes contact sheets to .cache/bench-pictures/.
    """
    import document
    import judge
    import peers
    import report
    import sources
    from draw import studio
    from sheet import write_sheet

    chosen = sources.find(models, only)
    if not chosen:
        raise click.ClickException(f"{models} has no model" + (f" named {', '.join(only)}" if only else ""))
    unknown = set(chosen_tools) - set(peers.PEERS)
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)} is none of {', '.join(peers.PEERS)}", param_hint="--tool")
    tools = chosen_tools or (peers.QUICK if quick else tuple(peers.PEERS))
    wanted = levels if levels is not None else () if quick else judge.LEVELS
    plan = judge.Plan(wanted, tools, tiers=not quick, equal_bytes=not quick, bundle=bundle)
    with tempfile.TemporaryDirectory() as scratch, studio(CACHE / "pictures") as drawing:
        judging = judge.Judge(drawing, CACHE, Path(scratch), plan)
        rows = judge.judged(judging, chosen)
        browser = drawing.browser
    text = report.tables(rows)
    print(text)
    for part, pictures in judging.sheets.items():
        write_sheet(CACHE / f"{part.replace(', ', '-').replace(' ', '-').replace(',', '')}.png", pictures)
    click.echo(f"contact sheets: {CACHE}", err=True)
    if json_path:
        json_path.write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    if docs:
        document.write(text, CACHE / f"{judge.BASE}.png", browser, peers.versions())


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
