"""Sends the files of a plan in parallel, in an order in which a reader never meets a name without its file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock

from ..bundle.files import CATALOGUE
from ..bundle.headers import is_immutable
from ..jobs.interrupts import interrupts_held
from .errors import ConflictError, OtherBytesError
from .history import keep
from .local import INDEX, File, LocalBundle
from .page import PAGE_LIST, write_page_list
from .plan import Plan
from .store import Object, Store, Stored

# A file that no published catalogue names may be deleted by --prune, so an older one is stored again, which renews it.
RENEW_AFTER = timedelta(hours=1)

Progress = Callable[[int, int], None]  # files and bytes that are done


@dataclass
class Sent:
    """The numbers of a publication: files that were sent, and files that were there."""

    files: int = 0
    bytes: int = 0
    present: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, sent_bytes: int | None) -> None:
        """Count one file; None if it was there."""
        with self._lock:
            if sent_bytes is None:
                self.present += 1
            else:
                self.files += 1
                self.bytes += sent_bytes


class Uploader:
    """Sends the files of one bundle to one store."""

    def __init__(
        self, local: LocalBundle, store: Store, encoding: str, jobs: int, on_progress: Progress = lambda *_: None
    ) -> None:
        self.sent = Sent()
        self._local = local
        self._store = store
        self._encoding = encoding
        self._jobs = jobs
        self._on_progress = on_progress

    def run(self, plan: Plan) -> None:
        """Send content, then manifests, then the page, then the catalogue.

        Raises ConflictError if another publisher has replaced the catalogue since the plan was made.
        """
        self._send_all(plan.content, plan)
        self._send_all(plan.manifests, plan)
        if plan.page:
            self._send_page(plan)
        if plan.catalogue_changed:
            self._store.settle()
            self._replace_catalogue(plan)

    def _send_all(self, files: Sequence[File], plan: Plan) -> None:
        self._in_parallel(lambda key: self._send(key, plan.listed.get(key)), (file.key for file in files))

    def _send_page(self, plan: Plan) -> None:
        """Send chunks, then the scripts that name them, then the page that names these."""
        keys = sorted(plan.page)
        self._in_parallel(lambda key: self._send(key, None), (key for key in keys if is_immutable(key)))
        self._in_parallel(self._replace, (key for key in keys if not is_immutable(key) and key != INDEX))
        if INDEX in keys:
            self._replace(INDEX)
        # Of two publishers of different pages, one is told here. Whatever files of both are there now, each names only
        # chunks that are there too.
        if not write_page_list(self._store, plan.local_page, self._encoding, plan.page_list):
            raise ConflictError(f"{self._store.place}/{PAGE_LIST}")

    def _replace_catalogue(self, plan: Plan) -> None:
        file = self._local.object(CATALOGUE, self._encoding)
        if plan.current is not None and plan.current.plain() != self._local.catalogue:
            keep(self._store, plan.current)
        with interrupts_held():  # Ctrl-C comes before or after it, so that it is known which bundle readers see
            swapped = self._store.swap(file, plan.current)
        if not swapped:
            raise ConflictError(f"{self._store.place}/{CATALOGUE}")

    def _replace(self, key: str) -> None:
        file = self._local.object(key, self._encoding)
        self._store.replace(file)
        self._done(len(file.body))

    def _send(self, key: str, listed: Stored | None) -> None:
        file = self._local.object(key, self._encoding)
        if listed is None and self._store.create(file):
            self._done(len(file.body))
        elif listed is not None and _same_bytes(file, listed):
            self._renew(file, listed.modified)
        else:
            self._compare(file)

    def _compare(self, file: Object) -> None:
        """Find out whether a file that is in the target is this one, in this or another Content-Encoding."""
        found = self._store.read(file.key)
        if found is None:  # it was deleted meanwhile
            self._store.replace(file)
            self._done(len(file.body))
            return
        if (found.body, found.encoding) == (file.body, file.encoding):
            self._renew(file, found.modified)
            return
        if found.plain() != self._local.read(file.key):
            raise OtherBytesError(f"{self._store.place}/{file.key}")
        self._store.replace(file)
        self._done(len(file.body))

    def _renew(self, file: Object, modified: datetime) -> None:
        if datetime.now(UTC) - modified > RENEW_AFTER:
            self._store.replace(file)
            self._done(len(file.body))
        else:
            self._done(None)

    def _done(self, sent_bytes: int | None) -> None:
        self.sent.add(sent_bytes)
        self._on_progress(self.sent.files + self.sent.present, self.sent.bytes)

    def _in_parallel(self, send: Callable[[str], None], keys: Iterable[str]) -> None:
        """Raises the first error of `send`; files that are on their way then are still sent."""
        with ThreadPoolExecutor(self._jobs) as threads:
            tasks: list[Future[None]] = [threads.submit(send, key) for key in keys]
            try:
                done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            except BaseException:  # Ctrl-C
                threads.shutdown(wait=True, cancel_futures=True)
                raise
            threads.shutdown(wait=True, cancel_futures=True)
        for task in done:
            task.result()


def _same_bytes(file: Object, listed: Stored) -> bool:
    if listed.bytes != len(file.body) or not listed.md5:
        return False
    return hashlib.md5(file.body, usedforsecurity=False).hexdigest() == listed.md5
