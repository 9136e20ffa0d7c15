"""Deletes files that no kept catalogue names and that nobody uses any more.

A publisher at work relies on files that the published catalogue names, and on files that it has seen or stored within
the last hour. A reader relies on those of a catalogue that was published a moment ago. So a file is deleted only if it
is older than the grace time and no catalogue names it: not the published one, no kept one, and none that retired
within the grace time. A catalogue retires one grace time, at least, before its files go; a rollback that has just
chosen it has time to finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..bundle.files import CATALOGUE
from ..bundle.headers import is_immutable
from .errors import PublishError
from .history import RETIRED, Kept, files_of, kept_catalogues, read_kept, retired_catalogues
from .page import kept_page_lists, read_page_list
from .store import Object, Store, Stored

MIN_GRACE = timedelta(hours=2)  # twice the time for which a publisher relies on files that it has seen


@dataclass(frozen=True)
class Pruned:
    """Files that were deleted (or would be), and catalogues that can no longer be put back."""

    files: Sequence[Stored]
    retired: Sequence[Kept]
    kept: int  # catalogues that can be put back

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def prune(
    store: Store, *, grace: timedelta, keep_newest: int, jobs: int, dry_run: bool = False, now: datetime | None = None
) -> Pruned:
    """Delete what nobody needs. keep_newest: the number of replaced catalogues that stay. now: for tests.

    Raises PublishError, before anything is deleted, if a manifest of a kept catalogue cannot be read.
    """
    if grace < MIN_GRACE:
        raise PublishError("the grace time is under 2 hours, on which publishers at work rely", place=store.place)
    time = now or datetime.now(UTC)
    current = store.read(CATALOGUE)
    if current is None:
        raise PublishError("nothing is published here, so nothing is deleted", place=store.place)
    kept = kept_catalogues(store, current)
    retiring = [each for each in kept[keep_newest:] if time - each.replaced > grace]
    staying = [each for each in kept if each not in retiring]
    retired = retired_catalogues(store)
    expired = [each for each in retired if time - each.replaced > grace]
    named = [*staying, *retiring, *(each for each in retired if each not in expired)]
    needed = files_of(store, [current.plain(), *(read_kept(store, each) for each in named)], jobs)
    needed |= _page_files(store, time, grace)
    if not dry_run:
        for each in retiring:
            _retire(store, each)
        again = store.read(CATALOGUE)  # one that was published meanwhile
        needed |= files_of(store, [again.plain()], jobs) if again and again.version != current.version else set()
    unused = [each for each in _ours(store) if each.key not in needed and time - each.modified > grace]
    if not dry_run:
        store.delete(each.key for each in unused)
        store.delete(each.key for each in expired)  # after their files: a prune that is killed goes on next time
        old_pages = (key for key, replaced in kept_page_lists(store).items() if time - replaced > grace)
        store.delete(list(old_pages))
    return Pruned(unused, retiring, len(staying))


def _page_files(store: Store, time: datetime, grace: timedelta) -> set[str]:
    """The files of the published page, and of pages that were replaced within the grace time."""
    lists = [read_page_list(store)]
    lists += [read_page_list(store, key) for key, at in kept_page_lists(store).items() if time - at <= grace]
    return {key for each in lists for key in each.files}


def _ours(store: Store) -> list[Stored]:
    """The files that a publication may have stored: content, manifests, and the page if its list is there."""
    found = [each for prefix in ("a/", "o/") for each in store.list(prefix) if is_immutable(each.key)]
    if read_page_list(store).content is not None:
        found += store.list("viewer/")
    return found


def _retire(store: Store, kept: Kept) -> None:
    body = read_kept(store, kept)
    name = kept.key.removeprefix("history/")
    store.replace(Object(f"{RETIRED}{name}", body, "application/json", "no-cache"))
    store.delete([kept.key])
