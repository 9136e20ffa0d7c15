"""Build a folder of models: what there is, what is already built, and the rest in worker processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import version
from .asset_report import AssetReport, report_rows
from .bundle.files import Bundle, free_bytes, read_manifest
from .errors import ModelError
from .events import Event, Failure, Job, Notice
from .formats.model import SUFFIXES, source_sha256
from .jobs.limits import ModelLimits
from .mesh import code_cache
from .settings import Settings
from .workers import NO_LIMITS, build_in_processes

if TYPE_CHECKING:
    from .gltf.document import Json

KINDS = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
LEAST_FREE_BYTES = 200 << 20  # a build that fills the disk breaks more than itself


@dataclass(frozen=True)
class BuildReport:
    """What became of every model: built anew, still good from before, or failed."""

    built: tuple[AssetReport, ...]
    kept: tuple[AssetReport, ...]
    failed: tuple[Failure, ...]


def build(
    source: Path,
    output: Path,
    settings: Settings,
    *,
    jobs: int,
    limits: ModelLimits = NO_LIMITS,
    force: bool = False,
    on_start: Callable[[], object] = lambda: None,
    on_progress: Callable[[Event], None] = lambda _: None,
) -> BuildReport:
    """Build every model below `source` (or `source` itself, if it is a file) into the bundle at `output`.

    A model that fails keeps its previous entry in the catalogue, if it had one; the catalogue is replaced
    once, at the end. `on_start` is called when the first models are at work, for what can be loaded meanwhile. Raises
    ModelError when nothing can be built at all.
    """
    if settings.texture_format == "ktx2":
        from .pictures.ktx2 import find_encoder

        find_encoder()
    models, clashes = find_models(source)
    if not models and not clashes:
        raise ModelError(f"there is no model in {source}", remedy=f"put {KINDS} files there")
    if free_bytes(output) < LEAST_FREE_BYTES:
        raise ModelError(f"less than {LEAST_FREE_BYTES >> 20} MB are free on the disk of {output}")
    bundle = Bundle(output)
    before: Json = {}
    kept: list[AssetReport] = []
    built: list[AssetReport] = []
    failed: list[Failure] = list(clashes)

    def todo() -> Iterator[Job]:
        try:
            before.update(bundle.read_catalogue()["assets"])
            output.mkdir(parents=True, exist_ok=True)
            bundle.sweep()
        except OSError as error:
            raise ModelError(f"cannot write to {output}: {error.strerror}") from None
        if not force:
            kept.extend(r for job in models if (r := up_to_date(bundle, job, before, settings)) is not None)
        known: list[Event] = [*kept, *clashes]
        for event in known:
            on_progress(event)
        done = {report.asset for report in kept}
        if len(done) < len(models):
            _compile_loops(jobs, on_progress)
        yield from (job for job in models if job.asset not in done)

    def started() -> None:
        on_start()
        import jsonschema  # noqa: F401 what the end needs

        version()

    # Closed at once when `on_progress` raises or Ctrl-C comes while it runs: the processes must not outlive it.
    with (
        code_cache.writable(),
        closing(build_in_processes(todo(), output, settings, max(1, jobs), limits, started)) as events,
    ):
        for event in events:
            if isinstance(event, AssetReport):
                built.append(event)
            elif isinstance(event, Failure):
                failed.append(event)
            on_progress(event)

    assets = {report.asset: report.entry for report in [*kept, *built]}
    assets |= {f.asset: before[f.asset] for f in failed if f.asset in before and f.asset not in assets}
    try:
        bundle.sweep()  # what models that were ended were writing
        if assets:
            bundle.write_site()
            bundle.write_catalogue(f"streamxr {version()}", assets)
    except OSError as error:
        raise ModelError(f"cannot write to {output}: {error.strerror}", remedy="the bundle is as it was") from None
    return BuildReport(
        tuple(sorted(built, key=lambda r: r.asset)), tuple(kept), tuple(sorted(failed, key=lambda f: f.source))
    )


def _compile_loops(workers: int, on_progress: Callable[[Event], None]) -> None:
    """Compile all loops once, in up to two processes, before the models' processes would each do it for themselves.

    Failures are left to the models' processes, which meet and report them.
    """
    if code_cache.is_ready():
        code_cache.note_use()
        return
    if not code_cache.is_writable():
        return
    on_progress(Notice("compiling the mesh loops: up to half a minute, once for each version"))
    command = [sys.executable, "-m", "streamxr.pipeline.warm_up"]
    with ExitStack() as started:
        processes = []
        for way in ([], ["--from-end"])[:workers]:
            process = subprocess.Popen([*command, *way], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started.callback(process.wait)
            started.callback(process.terminate)  # for the case that the loop below is interrupted
            processes.append(process)
        for process in processes:
            process.wait()


def find_models(source: Path) -> tuple[list[Job], list[Failure]]:
    """Models below a folder, sorted by name, and those whose asset id another one already has."""
    if source.is_file():
        if source.suffix.lower() not in SUFFIXES:
            raise ModelError(f"{source.name} is no {KINDS} file")
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


def up_to_date(bundle: Bundle, job: Job, before: Json, settings: Settings) -> AssetReport | None:
    """The report of an asset that was built from the same files with the same settings and version, if all
    its files are there."""
    entry = before.get(job.asset)
    if entry is None:
        return None
    try:
        manifest = read_manifest(bundle.root, entry["manifest"])
        if (
            job.path.stat().st_size > manifest["source"]["bytes"]  # else this process would read it, whatever its size
            or manifest["generator"] != f"streamxr {version()}"
            or manifest["settings"] != settings.as_json()
            or manifest["source"]["name"] != job.name
            or manifest["source"]["sha256"] != source_sha256(job.path)
        ):
            return None
    except (ModelError, OSError, MemoryError):
        return None
    for file in named_files(manifest):
        path = bundle.root / file["uri"]
        if not path.is_file() or path.stat().st_size != file["bytes"]:
            return None
    return AssetReport(job.asset, job.name, manifest["source"]["bytes"], entry, report_rows(manifest))


def named_files(manifest: Json) -> Sequence[Json]:
    """Every {uri, bytes} that a manifest names."""
    files = [manifest["base"]]
    files += [r["refinement"] for t in manifest["trees"] for r in t["regions"] if r["refinement"]]
    files += [a["keyframes"] for a in manifest["animations"] if a["keyframes"]]
    files += [level for t in manifest["textures"] for level in t["levels"] if level["uri"]]
    return files
