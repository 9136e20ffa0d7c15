"""The difference between a bundle and its target, found with as few requests as possible.

A published catalogue names only files that are in the target, since it is written last. So the files of all models
with the published manifest are there, and the catalogue alone tells what may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bundle.files import CATALOGUE
from .errors import PublishError
from .local import File, LocalBundle, catalogue_assets, manifest_files
from .page import PageList, read_page_list
from .store import Content, Store, Stored

if TYPE_CHECKING:
    from ..gltf.document import Json

LIST_FROM = 300  # files from which a listing (1,000 keys a request) is cheaper than sending what may be there


@dataclass(frozen=True)
class AssetChanges:
    """The names of assets that a publication adds, changes and removes."""

    added: Sequence[str] = ()
    changed: Sequence[str] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """Files to send. Those in `listed` are in the target, though no published catalogue vouches for them."""

    current: Content | None  # the published catalogue
    assets: AssetChanges
    content: Sequence[File]
    manifests: Sequence[File]
    page: Mapping[str, str]  # SHA-256 by key, of files that are new or changed
    local_page: Mapping[str, str]
    page_list: PageList
    catalogue_changed: bool
    listed: Mapping[str, Stored]

    @property
    def nothing_to_do(self) -> bool:
        return not (self.catalogue_changed or self.page or self.content or self.manifests)

    @property
    def missing(self) -> list[File]:
        """The files of assets that are not known to be in the target."""
        return [file for file in (*self.content, *self.manifests) if file.key not in self.listed]


def make_plan(
    local: LocalBundle, store: Store, *, encoding: str, jobs: int, repair: bool = False, listing: bool = False
) -> Plan:
    """Compare a bundle with its target. Raises ModelError if a file to be sent is damaged or missing.

    repair: do not rely on the published catalogue, but list the target.
    listing: list the target, however few files are to be sent.
    """
    current = store.read(CATALOGUE)
    published = current.plain() if current else b""
    page = local.page(compressed_beside=store.compressed_beside)
    page_list = read_page_list(store) if page else PageList({}, "", None)
    variant_changed = page_list.encoding != encoding
    changed_page = {k: v for k, v in page.items() if repair or variant_changed or page_list.files.get(k) != v}
    if current and published == local.catalogue and not repair:
        changed = current.encoding != encoding
        return Plan(current, AssetChanges(), (), (), changed_page, page, page_list, changed, {})
    assets = local.assets()
    before = _published_assets(published, f"{store.place}/{CATALOGUE}", repair=repair) if current else {}
    to_send, changes = _compare_assets(assets, {} if repair else before, before)
    held = _files_of_published(store, [before[name] for name in changes.changed], jobs) if not repair else set()
    files: dict[str, File] = {}
    manifests: dict[str, File] = {}
    for name in to_send:
        *content, manifest = local.asset_files(assets[name])
        files |= {file.key: file for file in content if file.key not in held}
        manifests[manifest.key] = manifest
    local.verify(files.values())
    many = len(files) + len(manifests) >= LIST_FROM
    listed = {}
    if listing or repair or many or (files and current is None):
        listed = {found.key: found for prefix in ("a/", "o/") for found in store.list(prefix)}
    catalogue_changed = published != local.catalogue or (current is not None and current.encoding != encoding)
    return Plan(
        current,
        changes,
        tuple(files.values()),
        tuple(manifests.values()),
        changed_page,
        page,
        page_list,
        catalogue_changed,
        listed,
    )


def _published_assets(catalogue: bytes, place: str, *, repair: bool) -> dict[str, Json]:
    """The entries of the published catalogue; none of a damaged one if it is to be repaired."""
    try:
        return catalogue_assets(catalogue, place)
    except PublishError as error:
        if repair:
            return {}
        raise PublishError(error.problem, place=error.place, remedy="publish with --repair to replace it") from None


def _compare_assets(
    assets: Mapping[str, Json], trusted: Mapping[str, Json], before: Mapping[str, Json]
) -> tuple[list[str], AssetChanges]:
    """The assets whose files are to be sent, and the changes that readers will see."""
    manifests = {entry["manifest"]["uri"] for entry in trusted.values()}
    to_send = [name for name, entry in assets.items() if entry["manifest"]["uri"] not in manifests]
    added = tuple(name for name in assets if name not in before)
    changed = tuple(name for name in assets if name in before and assets[name]["manifest"] != before[name]["manifest"])
    return to_send, AssetChanges(added, changed, tuple(name for name in before if name not in assets))


def _files_of_published(store: Store, entries: Sequence[Json], jobs: int) -> set[str]:
    """The files that these published manifests name: they need not be sent."""
    uris = sorted({entry["manifest"]["uri"] for entry in entries})
    with ThreadPoolExecutor(jobs) as threads:
        found = threads.map(lambda uri: published_manifest(store, uri), uris)
        return {file.key for manifest in found for file in manifest_files(manifest)}


def published_manifest(store: Store, uri: str) -> Json:
    """A manifest in the target. Raises PublishError if it is missing or damaged."""
    place = f"{store.place}/{uri}"
    content = store.read(uri)
    if content is None:
        problem = "is missing, though a published catalogue names it"
        raise PublishError(problem, place=place, remedy="publish with --repair")
    try:
        manifest: Json = json.loads(content.plain())
        list(manifest_files(manifest))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PublishError("is not a manifest", place=place, remedy="delete it and publish with --repair") from None
    return manifest
