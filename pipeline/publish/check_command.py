"""The command `streamxr check`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from ..console import one_line_errors, stderr

if TYPE_CHECKING:
    from .check import Check

EXAMPLES = """
\b
Examples:
  streamxr check https://cdn.example/gallery/bundle.json
  streamxr check https://cdn.example/gallery --origin https://museum.example
"""
SHOWN_ASSETS = 10


@click.command(epilog=EXAMPLES)
@click.argument("url")
@click.option(
    "--origin", default="https://page.example", show_default=True, help="The site whose pages show the bundle."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on standard output.")
def check(url: str, origin: str, as_json: bool) -> None:
    """Fetch the public bundle at URL like a browser: which header is missing or wrong, and what a visit costs.

    The exit code is 1 if something is wrong; advice alone is 0.
    """
    from . import check as checker

    with one_line_errors(), stderr().status("checking") as status:
        result = checker.check(url, origin, lambda asset: status.update(f"checking {asset}"))
    click.echo(_as_json(result) if as_json else _as_text(result))
    sys.exit(1 if any(finding.level == "wrong" for finding in result.findings) else 0)


def _as_text(result: Check) -> str:
    from .check import grouped

    lines = []
    for finding, count in grouped(result.findings):
        others = f" (and {count - 1} more)" if count > 1 else ""
        lines.append(f"{finding.level:>6}  {finding.file}{others}: {finding.text}")
    lines += [
        f"{cost.asset}: {cost.first / 1e3:.1f} KB to the first picture, {cost.all / 1e6:.2f} MB in all"
        for cost in result.costs[:SHOWN_ASSETS]
    ]
    if len(result.costs) > SHOWN_ASSETS:
        lines.append(f"… and {len(result.costs) - SHOWN_ASSETS} more")
    wrong = sum(finding.level == "wrong" for finding in result.findings)
    verdict = (
        "everything is as it should be" if not result.findings else f"{wrong} wrong, {len(result.findings)} findings"
    )
    lines.append(f"{verdict}: {len(result.costs)} assets, catalogue {result.catalogue_bytes / 1e3:.1f} KB")
    return "\n".join(lines)


def _as_json(result: Check) -> str:
    document = {
        "findings": [{"level": f.level, "file": f.file, "text": f.text} for f in result.findings],
        "catalogueBytes": result.catalogue_bytes,
        "assets": [{"asset": c.asset, "firstBytes": c.first, "allBytes": c.all} for c in result.costs],
        "requests": result.requests,
    }
    return json.dumps(document, indent=1, ensure_ascii=False)
