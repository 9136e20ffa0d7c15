"""Kept catalogues: each one that was replaced stays as a file, so that it can be put back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from ..bundle.files import CATALOGUE, content_hash
from .errors import ConflictError, PublishError
from .local import catalogue_assets, manifest_files, stored_form
from .page import stamp
from .plan import published_manifest
from .store import Content, Object, Store

RETIRED = "history/retired/"
_KEPT = re.compile(r"history/(?:retired/)?(\d{8}T\d{6}Z)-([0-9a-f]{32})\.json")


@dataclass(frozen=True)
class Kept:
    """A catalogue that was published once. published and replaced are times of the store's clock."""

    key: str
    published: datetime
    replaced: datetime
    hash: str


def keep(store: Store, outgoing: Content) -> None:
    """Keep a catalogue that is about to be replaced. The name has its own time, so that a repetition adds nothing."""
    store.create(Object(_name(outgoing), outgoing.plain(), "application/json", "no-cache"))


def kept_catalogues(store: Store, current: Content | None) -> list[Kept]:
    """The kept catalogues, the newest first, without the current one."""
    found = _listed(store, "history/2")  # names begin with the year
    present = _name(current) if current else ""
    return [kept for kept in found if kept.key != present]


def retired_catalogues(store: Store) -> list[Kept]:
    """Catalogues that can no longer be put back, but whose files are still there; `replaced` is when they retired."""
    return _listed(store, RETIRED)


def roll_back(store: Store, steps: int, *, encoding: str, jobs: int) -> Kept:
    """Put the catalogue of `steps` publications ago back. Raises PublishError if it is not kept or not whole."""
    current = store.read(CATALOGUE)
    kept = kept_catalogues(store, current)
    if steps > len(kept):
        problem = f"{len(kept)} earlier catalogues are kept, so there is none to go back to {steps}"
        raise PublishError(problem, place=store.place, remedy="see --list")
    chosen = kept[steps - 1]
    content = read_kept(store, chosen)
    needed = files_of(store, [content], jobs)
    missing = needed - {found.key for prefix in ("a/", "o/") for found in store.list(prefix)}
    if missing:
        problem = f"{len(missing)} of its files are not in the target, such as {min(missing)}"
        raise PublishError(problem, place=f"{store.place}/{chosen.key}", remedy="publish that build again")
    if current is not None:
        keep(store, current)
    if not store.swap(stored_form(CATALOGUE, content, encoding), current):
        raise ConflictError(f"{store.place}/{CATALOGUE}")
    return chosen


def read_kept(store: Store, kept: Kept) -> bytes:
    """A kept catalogue. Raises PublishError if it is missing or damaged."""
    content = store.read(kept.key)
    plain = content.plain() if content else b""
    if content_hash(plain) != kept.hash:
        raise PublishError("is missing or damaged", place=f"{store.place}/{kept.key}")
    return plain


def files_of(store: Store, catalogues: Iterable[bytes], jobs: int) -> set[str]:
    """Every file that readers of these catalogues need, manifests included, from the manifests in the target.

    Raises PublishError if a manifest is missing or damaged.
    """
    entries = [entry for each in catalogues for entry in catalogue_assets(each, store.place).values()]
    uris = {entry["manifest"]["uri"] for entry in entries}
    needed = uris | {entry["base"]["uri"] for entry in entries}
    with ThreadPoolExecutor(jobs) as threads:
        for manifest in threads.map(lambda uri: published_manifest(store, uri), sorted(uris)):
            needed |= {file.key for file in manifest_files(manifest)}
    return needed


def _listed(store: Store, prefix: str) -> list[Kept]:
    found = []
    for stored in store.list(prefix):
        if match := _KEPT.fullmatch(stored.key):
            published = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            found.append(Kept(stored.key, published, stored.modified, match[2]))
    return sorted(found, key=lambda kept: (kept.published, kept.replaced), reverse=True)


def _name(catalogue: Content) -> str:
    return f"history/{stamp(catalogue.modified)}-{content_hash(catalogue.plain())}.json"
