"""The command line: `streamxr build` and `validate`; `serve` is in preview/, `publish` and `check` in publish/."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import one_line_errors, stderr
from .jobs.interrupts import interrupts_held
from .jobs.limits import ModelLimits
from .options import limit_options, setting_options
from .preview.command import serve
from .publish.check_command import check
from .publish.command import publish
from .settings import Settings

if TYPE_CHECKING:
    from .build import BuildReport
    from .bundle.validate import Validation
    from .events import Event

EXAMPLES_BUILD = """
\b
Examples:
  streamxr build models/src                    every model below models/src, into build/
  streamxr build chair.glb -o preview          one model
  streamxr build scan.ply --unit mm --up z     a scan in millimetres whose up axis is z
  streamxr build models/src --json | jq .      a report for scripts
  streamxr build models/src --max-texture 2048 --max-texture normal=1024
"""
EXAMPLES_VALIDATE = """
\b
Examples:
  streamxr validate build
  streamxr validate build --json | jq .findings
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="streamxr", prog_name="streamxr")
def main() -> None:
    """Turn 3D models into bundles that stream into XR browsers.

    \b
    Start here:
      streamxr build models/src      build a bundle into build/
      streamxr serve build           view it in the browser
      streamxr publish s3://bucket   put it on the web
    """


@main.command(epilog=EXAMPLES_BUILD)
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("build"), show_default=True, help="Bundle folder."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), show_default="all cores", help="Maximum number of busy processes."
)
@limit_options
@click.option("--force", is_flag=True, help="Build every model, even those that are up to date.")
@setting_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")
@click.option("-v", "--verbose", is_flag=True, help="Print the traceback of unexpected errors.")
def build(
    source: Path,
    output: Path,
    jobs: int | None,
    limits: ModelLimits,
    force: bool,
    settings: Settings,
    as_json: bool,
    verbose: bool,
) -> None:
    """Build every model below SOURCE (.glb, .gltf, .obj, .ply, .stl, .off, .3mf) into a bundle.

    Models that did not change since the last build are kept. If a model cannot be built, the command reports it, builds
    the others, keeps its previous version in the bundle, and exits with code 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM ends the worker processes too, as Ctrl-C does
    with one_line_errors(interrupted="stopped; the bundle is as it was before"):
        result = _build_with_progress(source, output, settings, limits, jobs=jobs or os.cpu_count() or 1, force=force)
    _print_build(result, output, as_json=as_json, verbose=verbose)
    sys.exit(1 if result.failed else 0)


@main.command(epilog=EXAMPLES_VALIDATE)
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False), default=Path("build"))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on standard output.")
def validate(bundle: Path, as_json: bool) -> None:
    """Check BUNDLE: the schema, the hash and size of every file, and that region borders decode identically.

    The exit code is 1 if there are findings.
    """
    from .bundle import validate as validator

    with one_line_errors(), stderr().status("validating") as status:
        result = validator.validate(bundle, lambda asset: status.update(f"validating {asset}"))
    _print_validation(result, as_json=as_json)
    sys.exit(1 if result.findings else 0)


main.add_command(serve)
main.add_command(publish)
main.add_command(check)


def _build_with_progress(
    source: Path, output: Path, settings: Settings, limits: ModelLimits, *, jobs: int, force: bool
) -> BuildReport:
    with interrupts_held():  # a library that is being imported may swallow a Ctrl-C
        from .build import build as build_bundle

    with ExitStack() as displays:

        @cache
        def display() -> Callable[[Event], None]:
            """Load and start the progress display: while the first models start, or at the first event before."""
            with interrupts_held():
                from .report import LiveProgress
            return displays.enter_context(LiveProgress(stderr()))

        return build_bundle(
            source,
            output,
            settings,
            jobs=jobs,
            limits=limits,
            force=force,
            on_start=display,
            on_progress=lambda event: display()(event),
        )


def _print_build(result: BuildReport, output: Path, *, as_json: bool, verbose: bool) -> None:
    from . import report

    console = stderr()
    if verbose:
        for failure in result.failed:
            if failure.trace:
                console.print(failure.trace, highlight=False, markup=False)
    if as_json:
        click.echo(report.as_json(result))
    else:
        report.print_table(result)
        console.print(f"{report.summary(result)} → {output}", highlight=False)


def _print_validation(result: Validation, *, as_json: bool) -> None:
    if as_json:
        document = {
            "assets": result.assets,
            "files": result.files,
            "bytes": result.bytes,
            "borders": result.borders,
            "findings": [{"asset": f.asset, "error": f.text} for f in result.findings],
        }
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    console = stderr()
    for finding in result.findings:
        console.print(f"[bold red]✗[/] [bold]{finding.asset}:[/] ", end="")
        console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
    verdict = "valid" if not result.findings else f"{len(result.findings)} findings"
    click.echo(
        f"{verdict}: {result.assets} assets, {result.files} files, {result.bytes / 1e6:.2f} MB, "
        f"{result.borders} borders compared"
    )
