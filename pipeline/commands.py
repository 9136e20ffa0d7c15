"""The artist's commands."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from .errors import ModelError
from .jobs.interrupts import interrupts_held
from .jobs.limits import ALLOWED_SECONDS, default_limits
from .settings import Role, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from .workers import Event

LEAST_TEXTURE, LARGEST_TEXTURE = 16, 8192  # pixels: a thumbnail, and what headsets' GPUs take at most

LEAST_MEMORY = 400_000_000

EXAMPLES_BUILD = """
\b
Examples:
  streamxr build models/src                    every model below models/src, into build/
  streamxr build chair.glb -o preview          one model
  streamxr build models/src --json | jq .      a report for scripts
  streamxr build models/src --max-texture 2048 --max-texture normal=1024
"""


class Length(click.ParamType[str]):
    """A length as Settings has it: metres, or percent of a diagonal."""

    name = "length"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        del param, ctx
        try:
            if not float(value.removesuffix("%")) >= 0:
                raise ValueError
        except ValueError:
            self.fail(f'{value!r} is no length: give metres, as 0.002, or percent of the diagonal, as "0.1%"')
        return value


class Memory(click.ParamType[int]):
    """An amount of memory in bytes, given as 1500M or 4G."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        del param, ctx
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([MG])B?", str(value).upper())
        if found is None:
            self.fail(f"{value!r} is no amount of memory: give it as 1500M or 4G")
        size = int(float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]])
        if size < LEAST_MEMORY:
            self.fail(f"{value} is too little: the mesh libraries alone take {LEAST_MEMORY / 1e6:.0f}M")
        return size


class TextureSize(click.ParamType[tuple[str, int]]):
    """A role of pictures, or "" for all of them, and the longest side of its finest level."""

    name = "size"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        del param, ctx
        if isinstance(value, tuple):  # click converts defaults, and may convert twice
            return value
        role, equals, pixels = value.rpartition("=")
        if equals and role not in get_args(Role):
            self.fail(f"{role!r} is no role of a picture: give one of {', '.join(get_args(Role))}")
        if not pixels.isascii() or not pixels.isdigit() or not LEAST_TEXTURE <= int(pixels[:9]) <= LARGEST_TEXTURE:
            self.fail(f"{pixels!r} is no size: give pixels from {LEAST_TEXTURE} to {LARGEST_TEXTURE}")
        return role, int(pixels)


def texture_sizes(given: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Longest sides by role, those that are given; one of a role goes before one of all, in any order."""
    roles = [role for role, _ in given]
    for role in roles:
        if roles.count(role) > 1:
            what = f"for {role}" if role else "without a role"
            raise click.BadParameter(f"is given twice {what}", param_hint="--max-texture")
    sizes = dict(given)
    every = {role: sizes[""] for role in get_args(Role) if "" in sizes}
    return every | {role: pixels for role, pixels in sizes.items() if role}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="streamxr", prog_name="streamxr")
def main() -> None:
    """Turn 3D models into bundles that stream into XR browsers.

    \b
    Start here:
      streamxr build models/src      build a bundle into build/
      streamxr serve build           look at it in the browser
    """


@main.command(epilog=EXAMPLES_BUILD)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("build"), show_default=True, help="Bundle folder."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=None, help="Processes at work.  [default: all cores]"
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=ALLOWED_SECONDS, show_default=True,
              metavar="SECONDS", help="End a model that takes longer; the others go on.")  # fmt: skip
@click.option("--memory", type=Memory(), default=None, metavar="SIZE",
              help="End a model whose processes hold more, as 1500M or 4G.  [default: 3/4 of the machine's]"
              )  # fmt: skip
@click.option("--force", is_flag=True, help="Build even what is up to date.")
@click.option("--leaf-triangles", type=click.IntRange(500), default=Settings.leaf_triangles, show_default=True,
              help="Triangles a leaf region should have.")  # fmt: skip
@click.option("--depth", type=click.IntRange(0, 6), default=None,
              help="Split in four at most this often.  [default: by size]")  # fmt: skip
@click.option("--coarsest-error", type=Length(), default=Settings.coarsest_error, metavar="LENGTH",
              help='Leave out tiers with a larger error: metres, or "1%" of the diagonal.')  # fmt: skip
@click.option("--finest-error", type=Length(), default=Settings.finest_error, metavar="LENGTH",
              help='Leave out tiers finer than the first within this error: metres, or "0.01%".')  # fmt: skip
@click.option("--keep-nodes", multiple=True, metavar="PATTERN",
              help='Keep nodes of this name addressable, such as "door*"; may be repeated. Nodes with extras are '
                   'always kept.')  # fmt: skip
@click.option("--unit", type=click.Choice(["m", "cm", "mm", "in", "ft"]), default=Settings.unit, show_default=True,
              help="Unit of OBJ, PLY and STL files, which state none.")  # fmt: skip
@click.option("--up", type=click.Choice(["y", "z"]), default=Settings.up, show_default=True,
              help="Up axis of OBJ, PLY and STL files, which state none.")  # fmt: skip
@click.option("--clean/--no-clean", default=None,
              help="Repair geometry: duplicate and flat faces, dust, non-manifold edges, small holes.  "
                   "[default: PLY and STL only]")  # fmt: skip
@click.option("--base-triangles", type=click.IntRange(16), default=Settings.base_triangles, show_default=True,
              help="Triangles the base should have.")  # fmt: skip
@click.option("--texture-format", type=click.Choice(["webp", "jpeg", "png", "ktx2"]), default=Settings.texture_format,
              show_default=True,
              help="Of pictures. With jpeg those with alpha are PNG. With ktx2 they stay compressed on the GPU, for "
                   "more bytes and time, and those in the base are WebP; it needs Node.js and: "
                   "npm install --global ktx2-encoder.")  # fmt: skip
@click.option("--max-texture", type=TextureSize(), multiple=True, metavar="[ROLE=]PIXELS",
              help="Longest side of the finest texture level; of one role with color=, normal= or data=. May be "
                   f"repeated.  [default: {Settings.max_color_pixels}]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Show where an unexpected error came from.")
def build(
    source: Path,
    output: Path,
    jobs: int | None,
    timeout: float,
    memory: int | None,
    force: bool,
    leaf_triangles: int,
    depth: int | None,
    coarsest_error: str,
    finest_error: str,
    keep_nodes: tuple[str, ...],
    unit: str,
    up: str,
    clean: bool | None,
    base_triangles: int,
    texture_format: str,
    max_texture: tuple[tuple[str, int], ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Build every model below SOURCE (.glb, .gltf, .obj, .ply, .stl) into a bundle.

    Models that did not change since the last build are kept as they are. A model that cannot be built is
    reported, the others are built, its previous version stays in the bundle, and the exit code is 1.
    """
    sizes = texture_sizes(max_texture)
    settings = Settings(
        leaf_triangles=leaf_triangles,
        depth=depth,
        coarsest_error=coarsest_error,
        finest_error=finest_error,
        keep_nodes="\n".join(keep_nodes),
        unit=unit,
        up=up,
        clean=clean,
        base_triangles=base_triangles,
        texture_format=texture_format,
        max_color_pixels=sizes.get("color", Settings.max_color_pixels),
        max_normal_pixels=sizes.get("normal", Settings.max_normal_pixels),
        max_data_pixels=sizes.get("data", Settings.max_data_pixels),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the worker processes end too
    try:
        with interrupts_held():  # a library that is being loaded may swallow a Ctrl-C that comes
            from . import build as stage

        with ExitStack() as shown:

            @cache
            def show() -> Callable[[Event], None]:
                """Load what shows progress: while the first models start, unless there is something to show before."""
                with interrupts_held():
                    from .report import LiveProgress
                return shown.enter_context(LiveProgress(_stderr()))

            limits = default_limits(timeout, memory)
            workers = jobs or os.cpu_count() or 1
            result = stage.build(
                source,
                output,
                settings,
                jobs=workers,
                limits=limits,
                force=force,
                on_start=show,
                on_progress=lambda event: show()(event),
            )
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        _stderr().print("stopped; the bundle is as it was before", style="yellow")
        sys.exit(130)
    from . import report

    console = _stderr()
    if verbose:
        for failure in result.failed:
            if failure.trace:
                console.print(failure.trace, highlight=False, markup=False)
    if as_json:
        click.echo(report.as_json(result))
    else:
        report.print_table(result)
        console.print(f"{report.summary(result)} → {output}", highlight=False)
    sys.exit(1 if result.failed else 0)


@main.command(epilog="\b\nExample:\n  streamxr validate build && streamxr publish build …")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False), default=Path("build"))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on standard output.")
def validate(bundle: Path, as_json: bool) -> None:
    """Check a bundle: schema, every file's hash and size, and that region borders decode identically.

    The exit code is 1 when something is wrong.
    """
    from .bundle import validate as stage

    console = _stderr()
    try:
        with console.status("validating") as status:
            result = stage.validate(bundle, lambda asset: status.update(f"validating {asset}"))
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
    if as_json:
        document = {
            "assets": result.assets,
            "files": result.files,
            "bytes": result.bytes,
            "borders": result.borders,
            "findings": [{"asset": f.asset, "error": f.text} for f in result.findings],
        }
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        for finding in result.findings:
            console.print(f"[bold red]✗[/] [bold]{finding.asset}:[/] ", end="")
            console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
        word = "valid" if not result.findings else f"{len(result.findings)} findings"
        click.echo(
            f"{word}: {result.assets} assets, {result.files} files, {result.bytes / 1e6:.2f} MB, "
            f"{result.borders} borders compared"
        )
    sys.exit(1 if result.findings else 0)


@main.command(epilog="\b\nExamples:\n  streamxr serve build\n  streamxr serve build --host 0.0.0.0 --port 9000")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False), default=Path("build"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for a headset.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--quiet", is_flag=True, help="Do not log requests.")
def serve(bundle: Path, host: str, port: int, quiet: bool) -> None:
    """Serve a bundle with the viewer at / for a look at it (not for production: put it behind a CDN)."""
    import socket

    import uvicorn

    from .bundle.files import CATALOGUE
    from .bundle.serve import bundle_app

    if not (bundle / CATALOGUE).is_file():
        raise click.ClickException(f"{bundle} is no bundle: it has no {CATALOGUE} (run streamxr build first)")
    try:
        listener = socket.create_server((host, port), reuse_port=False)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror} (try --port 0)") from None
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0") else host
    click.echo(f"http://{shown}:{listener.getsockname()[1]}/", err=False)
    sys.stdout.flush()
    config = uvicorn.Config(bundle_app(bundle), log_level="warning" if quiet else "info", access_log=not quiet)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


def _stderr() -> Console:
    from rich.console import Console  # here, since a build starts its first models without it

    return Console(stderr=True)
