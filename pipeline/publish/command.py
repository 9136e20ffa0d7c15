"""The command `streamxr publish`."""

from __future__ import annotations

import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import one_line_errors, stderr

if TYPE_CHECKING:
    from .store import Store

STOPPED = "stopped; readers see a whole bundle, and files that were sent are not sent again"
EXAMPLES = """
\b
Examples:
  streamxr publish s3://bucket/gallery                     publish build/ below this prefix
  streamxr publish s3://bucket build --profile studio      with credentials of a profile
  streamxr publish s3://bucket --endpoint-url https://s3.example.org
  streamxr publish file:///srv/www/gallery                 into the folder of a web server
  streamxr publish s3://bucket --diff                      the models that would change
  streamxr publish s3://bucket --list                      earlier catalogues
  streamxr publish s3://bucket --rollback                  put the previous one back
  streamxr publish s3://bucket --prune --grace 7d          delete files that nobody needs
"""


class Duration(click.ParamType[timedelta]):
    """A time such as 36h or 7d."""

    name = "time"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,4})([hd])", value)
        if match is None:
            self.fail(f"{value!r} is not a time: use hours or days, such as 36h or 7d", param, ctx)
        return int(match[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1)}[match[2]]


@click.command(epilog=EXAMPLES)
@click.argument("target")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False), default=Path("build"))
@click.option("--endpoint-url", metavar="URL", help="An S3 server other than Amazon's.")
@click.option("--profile", help="A profile of ~/.aws/config; without it, boto3's chain of credentials.")
@click.option("--region", help="The region of the bucket.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), show_default="16; 4 for a folder", help="Requests at a time."
)
@click.option(
    "--precompressed",
    type=click.Choice(["br", "gzip"]),
    help="Store page, library and JSON compressed, for hosts that do not compress. An object has one form only.",
)
@click.option("--repair", is_flag=True, help="List the target and send all that is missing there.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent or deleted, and change nothing.")
@click.option("--diff", is_flag=True, help="Show the models that would change, and change nothing.")
@click.option("--list", "as_list", is_flag=True, help="List the earlier catalogues that --rollback can put back.")
@click.option(
    "--rollback",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="Put the catalogue of N publications ago back; 1 without N.",
)
@click.option("--prune", is_flag=True, help="Delete files that no catalogue needs, neither published nor kept.")
@click.option(
    "--grace",
    type=Duration(),
    default="24h",
    show_default=True,
    help="--prune keeps files that were needed or stored within this time; at least 2h.",
)
@click.option(
    "--keep", type=click.IntRange(1), default=10, show_default=True, help="Earlier catalogues that --prune keeps."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on standard output.")
def publish(
    target: str,
    bundle: Path,
    endpoint_url: str | None,
    profile: str | None,
    region: str | None,
    jobs: int | None,
    precompressed: str | None,
    repair: bool,
    dry_run: bool,
    diff: bool,
    as_list: bool,
    rollback: int | None,
    prune: bool,
    grace: timedelta,
    keep: int,
    as_json: bool,
) -> None:
    """Publish BUNDLE to TARGET: s3://bucket/prefix, or file:///folder of a web server.

    Content goes first and the catalogue last, so readers see the old bundle or the new one, whole, at any moment. Only
    files that are missing are sent; after an interruption, publish again. The catalogue that is replaced is kept.
    """
    if sum((diff, as_list, rollback is not None, prune)) > 1:
        raise click.UsageError("--diff, --list, --rollback and --prune exclude each other")
    if dry_run and (as_list or rollback is not None):
        raise click.UsageError("--dry-run is for publishing and --prune")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with one_line_errors(interrupted=STOPPED):
        from . import report
        from .target import open_target

        store = open_target(target, endpoint_url=endpoint_url, profile=profile, region=region, jobs=jobs)
        encoding = precompressed or ""
        workers = jobs or store.default_jobs
        if as_list:
            text = _list(store, as_json=as_json)
        elif rollback is not None:
            text = _roll_back(store, rollback, encoding=encoding, jobs=workers, as_json=as_json)
        elif prune:
            text = _prune(store, grace, keep, jobs=workers, dry_run=dry_run, as_json=as_json)
        elif dry_run or diff:
            from .local import LocalBundle
            from .publish import plan_publication

            plan = plan_publication(
                LocalBundle(bundle), store, encoding=encoding, jobs=jobs, repair=repair, listing=dry_run
            )
            text = report.planned(plan, store, by_file=dry_run, as_json=as_json)
        else:
            text = _publish(bundle, store, encoding=encoding, jobs=jobs, repair=repair, as_json=as_json)
    click.echo(text)


def _publish(bundle: Path, store: Store, *, encoding: str, jobs: int | None, repair: bool, as_json: bool) -> str:
    from . import report
    from .publish import publish as publish_bundle

    with report.Display() as display:
        result = publish_bundle(bundle, store, encoding=encoding, jobs=jobs, repair=repair, on_plan=display.start)
    if result.guard:
        stderr().print(f"{store.place}: {result.guard}", style="yellow", markup=False, highlight=False)
    return report.published(result, store, encoding, as_json=as_json)


def _list(store: Store, *, as_json: bool) -> str:
    from ..bundle.files import CATALOGUE
    from . import report
    from .history import kept_catalogues

    current = store.read(CATALOGUE)
    return report.listed(current, kept_catalogues(store, current), store, as_json=as_json)


def _roll_back(store: Store, steps: int, *, encoding: str, jobs: int, as_json: bool) -> str:
    from . import report
    from .history import roll_back

    return report.rolled_back(roll_back(store, steps, encoding=encoding, jobs=jobs), store, as_json=as_json)


def _prune(store: Store, grace: timedelta, keep: int, *, jobs: int, dry_run: bool, as_json: bool) -> str:
    from . import report
    from .prune import prune

    result = prune(store, grace=grace, keep_newest=keep, jobs=jobs, dry_run=dry_run)
    return report.pruned(result, store, dry_run=dry_run, as_json=as_json)
