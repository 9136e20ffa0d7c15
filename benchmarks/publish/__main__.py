"""Compare `streamxr publish` with other tools against the same local S3 server; print the tables as Markdown.

    python benchmarks/publish               10,000 objects: about five minutes on an idle machine of two cores
    python benchmarks/publish --quick       500 objects
    python benchmarks/publish --write       put the section into docs/benchmarks.md too

`aws` and `rclone` are measured if they are installed. The server is Ceph's object gateway with its data in memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path += [str(HERE.parent), str(ROOT / "tests" / "publish")]

import boto3  # noqa: E402
from made_bundle import make_bundle  # noqa: E402
from reporting import processor, table, with_section  # noqa: E402
from s3_server import S3Server, s3_server  # noqa: E402

STREAMXR = str(Path(sys.executable).with_name("streamxr"))
PAGE = ROOT / "docs" / "benchmarks.md"
HEADING = "# Publishing"
FILE_BYTES = 4000


@dataclass(frozen=True)
class Tool:
    """name: as tables show it. command: publishes a folder into a bucket. check: its program."""

    name: str
    command: Sequence[str]
    program: str


SERVER = ("--endpoint-url", "{url}")
TOOLS = (
    Tool("streamxr publish", (STREAMXR, "publish", "s3://{bucket}", "{folder}", *SERVER), STREAMXR),
    Tool("aws s3 sync", ("aws", "s3", "sync", "{folder}", "s3://{bucket}", "--quiet", *SERVER), "aws"),
    Tool("rclone copy", ("rclone", "copy", "{folder}", "s3:{bucket}"), "rclone"),
    Tool("rclone copy --transfers 16", ("rclone", "copy", "{folder}", "s3:{bucket}", "--transfers", "16"), "rclone"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 objects of 10 models")
    parser.add_argument("--write", action="store_true", help="put the section into docs/benchmarks.md")
    parser.add_argument("--note", default="", help="a remark on the machine, for the section")
    options = parser.parse_args()
    models, files = (10, 49) if options.quick else (200, 49)
    with tempfile.TemporaryDirectory() as name, s3_server() as server:
        folder = Path(name) / "build"
        make_bundle(folder, {f"model-{n:03}": 1 for n in range(models)}, files=files, size=FILE_BYTES)
        rows = [measure(tool, folder, server, models, files) for tool in TOOLS if shutil.which(tool.program)]
    section = "\n".join(report(rows, models, files, options.note))
    print(section)
    if options.write:
        PAGE.write_text(with_section(PAGE.read_text("utf-8"), HEADING, section), "utf-8")


def measure(tool: Tool, folder: Path, server: S3Server, models: int, files: int) -> list[str]:
    """The row of a tool: seconds for everything, for nothing, and for one changed model."""
    bucket = tool.name.replace(" ", "-").strip("-").replace("---", "-")
    environment = {**os.environ, **server.environment, **rclone_settings(server)}
    environment.pop("AWS_CA_BUNDLE", None)  # rclone fails on it, and the server has no TLS
    client = boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=bucket)
    values = {"bucket": bucket, "folder": str(folder), "url": server.url}
    command = [word.format(**values) for word in tool.command]
    make_bundle(folder, {f"model-{n:03}": 1 for n in range(models)}, files=files, size=FILE_BYTES)
    everything = seconds(command, environment)
    nothing = seconds(command, environment)
    make_bundle(folder, {f"model-{n:03}": 1 + (n == 7) for n in range(models)}, files=files, size=FILE_BYTES)
    one = seconds(command, environment)
    print(f"{tool.name}: {everything:.1f} {nothing:.2f} {one:.2f}", file=sys.stderr)
    return [tool.name, f"{everything:.1f}", f"{nothing:.2f}", f"{one:.2f}", f"{everything:.6f}"]


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def rclone_settings(server: S3Server) -> dict[str, str]:
    """rclone's remote `s3`, and no configuration of the user."""
    remote = {"TYPE": "s3", "PROVIDER": "Ceph", "ENV_AUTH": "true", "ENDPOINT": server.url}
    return {"RCLONE_CONFIG": os.devnull, **{f"RCLONE_CONFIG_S3_{key}": value for key, value in remote.items()}}


def report(rows: list[list[str]], models: int, files: int, note: str) -> list[str]:
    """The section of docs/benchmarks.md."""
    ours = float(rows[0][4])
    shown = [[*row[:4], f"{float(row[4]) / ours:.2f}"] for row in rows]
    head = ["tool", "everything, s", "nothing changed, s", "one changed model, s", "everything ÷ ours"]
    return [
        HEADING,
        "",
        "Written by `make bench-publish`.",
        "",
        paragraph(
            f"{models} models of {files + 1} objects, {models * (files + 1):,} in all, {FILE_BYTES:,} bytes each, "
            f"to an S3 server (Ceph's gateway, data in memory) on the same machine: {processor()}, "
            f"{os.cpu_count()} cores. One run{note and f'; {note}'}."
        ),
        "",
        *table(head, shown),
        "",
        paragraph(
            "Only `streamxr publish` writes the catalogue last and by compare-and-swap, and checks the local files. If "
            "nothing changed it sends two requests; aws lists the bucket, rclone asks for the times of all objects too."
        ),
        "",
        f"Versions: {', '.join(versions())}.",
        "",
    ]


def paragraph(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def versions() -> list[str]:
    found = [f"boto3 {boto3.__version__}"]
    for program, option in (("aws", "--version"), ("rclone", "version"), ("radosgw", "--version")):
        if shutil.which(program):
            done = subprocess.run([program, option], capture_output=True, text=True)
            words = (done.stdout or done.stderr).split()
            found.append(words[0] if "/" in words[0] else " ".join(words[: 3 if words[0] == "ceph" else 2]))
    return found


if __name__ == "__main__":
    main()
