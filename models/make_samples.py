"""Make the sample models: python models/make_samples.py [--out models/src] [NAME…]"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import signal
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
SAMPLES = {  # the slowest first, so that two processes finish together
    "sculpture": "a marble trefoil with a bronze edge: 845,000 triangles, 2048² pictures",
    "koi": "two fish over a train of gears: skinned and rigid animation, two clips",
    "bicycle": "a bicycle with flowers: 500 nodes, spokes, strings, cards, a palette, glass",
    "lantern": "a brass lantern with a candle: four materials, glass, a light",
}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n  python models/make_samples.py\n  python models/make_samples.py lantern --out elsewhere",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=HERE / "src",
    show_default="src beside this script",
    help="Folder for the GLBs.",
)
@click.option("--force", is_flag=True, help="Make models again even if they are up to date.")
def main(names: tuple[str, ...], out: Path, force: bool) -> None:
    """Make the sample models NAME (default: all): sculpture, koi, bicycle, lantern.

    Models that this version of the script has made are kept. On one platform, one version always makes the same bytes.
    """
    unknown = [name for name in names if name not in SAMPLES]
    if unknown:
        raise click.BadParameter(f"unknown sample {', '.join(unknown)}; choose from {', '.join(SAMPLES)}")
    recipe = current_recipe()
    outdated = []
    for name in SAMPLES:
        if names and name not in names:
            continue
        target = out / f"{name}.glb"
        if not force and made_with(target) == recipe:
            click.echo(f"{target}: up to date")
        else:
            click.echo(f"{target}: making {SAMPLES[name]}")
            outdated.append((name, target))
    if outdated:
        _make_all(outdated, out, recipe)


def _make_all(jobs: list[tuple[str, Path]], out: Path, recipe: str) -> None:
    """Make models in parallel, each a (name, target).

    Raises click.ClickException if a file cannot be written or a process is killed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        # With the default handler a process ends at Ctrl-C at once and prints no traceback.
        processes, handler = min(len(jobs), os.cpu_count() or 1), (signal.SIGINT, signal.SIG_DFL)
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), signal.signal, handler) as pool:
            try:
                for done in as_completed([pool.submit(_make, *job, recipe) for job in jobs]):
                    target, size, seconds = done.result()
                    click.echo(f"{target}: {size / 1e6:.1f} MB in {seconds:.1f} s")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                    process.join()
                for _, target in jobs:
                    target.with_suffix(".part").unlink(missing_ok=True)
                raise
    except BrokenProcessPool as error:
        raise click.ClickException(
            "a process was killed, perhaps for lack of memory: the sculpture needs about 1.3 GB"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or out}: cannot write: {error.strerror or error}") from error


def _make(name: str, target: Path, recipe: str) -> tuple[Path, int, float]:
    """Make one model, and rename it to its target when it is complete: its path, bytes and seconds."""
    start = time.perf_counter()
    content: bytes = importlib.import_module(f"samples.{name}").build(recipe)
    partial = target.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(target)
    return target, len(content), time.perf_counter() - start


def current_recipe() -> str:
    """The version of the models: a digest of the sources that make them."""
    digest = hashlib.sha256()
    for source in sorted((HERE / "samples").glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def made_with(path: Path) -> str | None:
    """The recipe in a GLB's `asset.extras`; None if the file does not exist or another program made it."""
    try:
        with path.open("rb") as file:
            magic, _, _, length, kind = struct.unpack("<4s4I", file.read(20))
            if magic != b"glTF" or kind != 0x4E4F534A or length > 1 << 24:
                return None
            recipe = json.loads(file.read(length))["asset"]["extras"]["recipe"]
    except (OSError, struct.error, ValueError, KeyError, TypeError):
        return None
    return recipe if isinstance(recipe, str) else None


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; no incomplete file is left", err=True)
        sys.exit(130)
