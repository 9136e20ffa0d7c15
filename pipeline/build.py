"""Build a folder of models: find them, keep those that are up to date, and build the rest in worker processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import version
from .asset_report import AssetReport, report_rows
from .bundle.files import Bundle, free_bytes, read_manifest
from .errors import ModelError
from .events import Event, Failure, Job, Notice
from .formats.model import source_sha256
from .jobs.limits import ModelLimits
from .mesh import code_cache
from .settings import Settings
from .source_folder import KINDS, find_models
from .workers import NO_LIMITS, build_in_processes

if TYPE_CHECKING:
    from .gltf.document import Json

LEAST_FREE_BYTES = 200 << 20  # a build that fills the disk would break other programs too


@dataclass(frozen=True)
class BuildReport:
    """The models that were built, that were up to date, and that failed."""

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
    """Build every model below `source` (or `source` itself if it is a file) into the bundle at `output`.

    A model that fails keeps its previous entry in the catalogue. The catalogue is replaced once, at the end.

    jobs: the number of processes that are busy at the same time.
    force: build models that are up to date too.
    on_start: called when the first models are being built, to load modules meanwhile.

    Raises ModelError if nothing can be built at all.
    """
    if settings.texture_format == "ktx2":
        from .pictures.ktx2 import find_encoder

        find_encoder()
    models, clashes = find_models(source)
    if not models and not clashes:
        raise ModelError(f"there is no model in {source}", remedy=f"put {KINDS} files there")
    if free_bytes(output) < LEAST_FREE_BYTES:
        raise ModelError(f"less than {LEAST_FREE_BYTES >> 20} MB are free on the disk of {output}")
    run = _Run(models, clashes, Bundle(output), settings, max(1, jobs), force, on_progress)

    def load_meanwhile() -> None:
        on_start()
        import jsonschema  # noqa: F401 needed for the catalogue at the end

        version()

    # Closed at once if `on_progress` raises or on Ctrl-C: the processes must not outlive the build.
    with (
        code_cache.writable(),
        closing(build_in_processes(run.jobs(), output, settings, run.workers, limits, load_meanwhile)) as events,
    ):
        for event in events:
            run.receive(event)
    run.write_catalogue()
    return run.report()


class _Run:
    """The state of one build."""

    def __init__(
        self,
        models: Sequence[Job],
        clashes: Sequence[Failure],
        bundle: Bundle,
        settings: Settings,
        workers: int,
        force: bool,
        on_progress: Callable[[Event], None],
    ) -> None:
        self.workers = workers
        self._models = models
        self._bundle = bundle
        self._settings = settings
        self._force = force
        self._on_progress = on_progress
        self._previous: Json = {}  # the catalogue's entries before the build
        self._kept: list[AssetReport] = []
        self._built: list[AssetReport] = []
        self._failed = list(clashes)

    def jobs(self) -> Iterator[Job]:
        """The models that must be built. Runs while the first process starts, since both take long."""
        bundle = self._bundle
        try:
            self._previous = bundle.read_catalogue()["assets"]
            bundle.root.mkdir(parents=True, exist_ok=True)
            bundle.sweep()
        except OSError as error:
            raise ModelError(f"cannot write to {bundle.root}: {error.strerror}") from None
        if not self._force:
            reports = (up_to_date(bundle, job, self._previous, self._settings) for job in self._models)
            self._kept = [report for report in reports if report is not None]
        events: list[Event] = [*self._kept, *self._failed]
        for event in events:
            self._on_progress(event)
        kept = {report.asset for report in self._kept}
        if len(kept) < len(self._models):
            _compile_loops(self.workers, self._on_progress)
        yield from (job for job in self._models if job.asset not in kept)

    def receive(self, event: Event) -> None:
        """Note and pass on an event of a model's process."""
        if isinstance(event, AssetReport):
            self._built.append(event)
        elif isinstance(event, Failure):
            self._failed.append(event)
        self._on_progress(event)

    def write_catalogue(self) -> None:
        """Replace the catalogue. A failed model keeps its previous entry."""
        assets = {report.asset: report.entry for report in [*self._kept, *self._built]}
        for failure in self._failed:
            if failure.asset in self._previous:
                assets.setdefault(failure.asset, self._previous[failure.asset])
        try:
            self._bundle.sweep()  # removes half-written files of processes that were ended
            if assets:
                self._bundle.write_site()
                self._bundle.write_catalogue(f"streamxr {version()}", assets)
        except OSError as error:
            problem = f"cannot write to {self._bundle.root}: {error.strerror}"
            raise ModelError(problem, remedy="the bundle is as it was") from None

    def report(self) -> BuildReport:
        built = sorted(self._built, key=lambda report: report.asset)
        failed = sorted(self._failed, key=lambda failure: failure.source)
        return BuildReport(tuple(built), tuple(self._kept), tuple(failed))


def _compile_loops(workers: int, on_progress: Callable[[Event], None]) -> None:
    """Compile all loops once, in up to two processes, before the models' processes would each do it for themselves.

    Errors are left to the models' processes, which meet and report them.
    """
    if code_cache.is_ready():
        code_cache.note_use()
        return
    if not code_cache.is_writable():
        return
    on_progress(Notice("compiling the mesh loops: up to half a minute, once for each version"))
    command = [sys.executable, "-m", "streamxr.pipeline.warm_up"]
    with suppress(OSError), ExitStack() as started:
        processes = []
        for way in ([], ["--from-end"])[:workers]:
            process = subprocess.Popen([*command, *way], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started.callback(process.wait)
            started.callback(process.terminate)  # for the case that the loop below is interrupted
            processes.append(process)
        for process in processes:
            process.wait()


def up_to_date(bundle: Bundle, job: Job, before: Json, settings: Settings) -> AssetReport | None:
    """The report of an asset that needs no build; None if its source, settings, version or files differ."""
    entry = before.get(job.asset)
    if entry is None:
        return None
    try:
        manifest = read_manifest(bundle.root, entry["manifest"])
        if (
            job.path.stat().st_size > manifest["source"]["bytes"]  # hashing would read a file of any size
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
    files += [manifest["objects"]] if manifest["objects"] else []
    return files
