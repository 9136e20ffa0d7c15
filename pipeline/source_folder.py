"""The models of an artist's folder, and the asset id that each of them gets."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import ModelError
from .events import Failure, Job
from .formats.model import SUFFIXES

KINDS = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"


def find_models(source: Path) -> tuple[list[Job], list[Failure]]:
    """The models below a folder, sorted by name, and a failure for each whose asset id another one has.

    Raises ModelError if `source` does not exist, or is a file of another kind.
    """
    if source.is_file():
        if source.suffix.lower() not in SUFFIXES:
            raise ModelError(f"{source.name} is not a {KINDS} file")
        return [Job(source, source.name, asset_id(Path(source.name)))], []
    if not source.is_dir():
        raise ModelError(f"{source} does not exist")
    jobs: dict[str, Job] = {}
    clashes = []
    found = (p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    for path in sorted(found, key=lambda p: p.relative_to(source).as_posix()):
        relative = path.relative_to(source)
        if any(part.startswith(".") for part in relative.parts):
            continue
        # A file name may hold bytes that are no characters; a manifest may not.
        name = os.fsencode(relative.as_posix()).decode("utf-8", "replace")
        job = Job(path, name, asset_id(relative))
        if job.asset in jobs:
            other = jobs[job.asset].name
            clashes.append(
                Failure(job.asset, job.name, f'has the same asset name "{job.asset}" as {other} (rename one of them)')
            )
        else:
            jobs[job.asset] = job
    return list(jobs.values()), clashes


def asset_id(relative: Path) -> str:
    """`props/Old Chair.glb` → `props-old-chair`; `Fox/Fox.gltf` → `fox`: stable, and safe in any URL."""
    parts: list[str] = []
    for part in relative.with_suffix("").parts:
        clean = re.sub(r"[^a-z0-9._]+", "-", part.lower()).strip("-._") or "model"
        if not parts or parts[-1] != clean:
            parts.append(clean)
    return "-".join(parts)[:128].strip("-._")
