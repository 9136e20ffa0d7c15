"""Publishes a bundle: plan, content, manifests, page, catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..bundle.files import content_hash
from .errors import PublishError
from .local import LocalBundle
from .plan import Plan, make_plan
from .store import PLAIN, Store
from .upload import Progress, Sent, Uploader

ENCODINGS = ("br", "gzip")


@dataclass(frozen=True)
class Publication:
    """The result: the plan, the numbers, and the hash of the catalogue that readers have now."""

    plan: Plan
    sent: Sent
    catalogue: str
    guard: str  # a warning if the store has no conditional writes


def publish(
    root: Path,
    store: Store,
    *,
    encoding: str = PLAIN,
    jobs: int | None = None,
    repair: bool = False,
    on_plan: Callable[[Plan], Progress] = lambda _: lambda *_: None,
) -> Publication:
    """Publish the bundle at `root`.

    encoding: the Content-Encoding in which page, library and JSON are stored.
    repair: list the target and send whatever is missing, though the published catalogue names it.
    on_plan: called with the plan; returns the function that is called with the files and bytes that are done.
    Raises ModelError if the bundle is damaged or the target cannot be written, ConflictError if another publisher was
    faster. Readers see the old bundle then.
    """
    local = LocalBundle(root)
    plan = plan_publication(local, store, encoding=encoding, jobs=jobs, repair=repair)
    uploader = Uploader(local, store, encoding, jobs or store.default_jobs, on_plan(plan))
    guard = ""
    if not plan.nothing_to_do:
        guard = store.guard()
        uploader.run(plan)
    return Publication(plan, uploader.sent, content_hash(local.catalogue), guard)


def plan_publication(
    local: LocalBundle,
    store: Store,
    *,
    encoding: str = PLAIN,
    jobs: int | None = None,
    repair: bool = False,
    listing: bool = False,
) -> Plan:
    """The plan of a publication; see make_plan. Raises PublishError if a folder is to hold compressed files alone."""
    if encoding and store.compressed_beside:
        problem = "is a folder, which holds every file as it is, and compressed ones beside it"
        raise PublishError(problem, place=store.place, remedy="leave out --precompressed; the web server chooses")
    chosen_jobs = jobs or store.default_jobs
    return make_plan(local, store, encoding=encoding, jobs=chosen_jobs, repair=repair, listing=listing)
