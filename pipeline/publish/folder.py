"""A store in a folder, such as that of a web server: file:///srv/www."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import os_reason
from .errors import PublishError
from .store import PLAIN, Content, Object, Stored

LOCK = "history/lock"
WRITING = ".writing-"
_REMEDIES = {
    errno.ENOSPC: "free space on its disk; the published bundle is as it was",
    errno.EDQUOT: "your quota on its disk is used up; the published bundle is as it was",
    errno.EACCES: "publish as a user who may write there",
    errno.EPERM: "publish as a user who may write there",
    errno.EROFS: "its file system is read-only",
}


class FolderStore:
    """Files are written beside their place and renamed into it, so that a reader sees a whole file or none."""

    compressed_beside = True
    default_jobs = 4
    requests = 0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place = root.as_posix()

    def read(self, key: str) -> Content | None:
        path = self.root / key
        with self._errors(key):
            try:
                body = path.read_bytes()
                modified = path.stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Content(key, body, PLAIN, hashlib.sha256(body).hexdigest(), datetime.fromtimestamp(modified, UTC))

    def list(self, prefix: str) -> Iterator[Stored]:
        folder = self.root / prefix.rpartition("/")[0]
        found_keys = sorted(path.relative_to(self.root).as_posix() for path in folder.rglob("*"))
        for key in found_keys:
            path = self.root / key
            if key == LOCK or path.name.startswith(WRITING) or not key.startswith(prefix):
                continue
            with self._errors(key):
                try:
                    found = path.stat()
                except FileNotFoundError:  # another command has removed it meanwhile
                    continue
            if path.is_file():
                yield Stored(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), "")

    def create(self, file: Object) -> bool:
        path = self.root / file.key
        if path.exists():
            return False
        with self._written(file) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                temporary.replace(path)
        return True

    def replace(self, file: Object) -> None:
        with self._written(file) as temporary:
            temporary.replace(self.root / file.key)

    def swap(self, file: Object, expected: Content | None) -> bool:
        with self._locked():
            found = self.read(file.key)
            if (found and found.version) != (expected and expected.version):
                return found is not None and found.body == file.body
            with self._written(file, sync=True) as temporary:
                temporary.replace(self.root / file.key)
        return True

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self.root / key
            with self._errors(key):
                path.unlink(missing_ok=True)
            for parent in (path.parent, path.parent.parent):
                if parent in (self.root, self.root.parent):
                    break
                try:
                    parent.rmdir()
                except OSError:  # it has other files
                    break

    def settle(self) -> None:
        if hasattr(os, "sync"):
            os.sync()

    def guard(self) -> str:
        return ""

    @contextmanager
    def _written(self, file: Object, *, sync: bool = False) -> Iterator[Path]:
        """A temporary file with the content, in the folder of the file; it is gone afterwards."""
        path = self.root / file.key
        temporary = path.parent / f"{WRITING}{os.getpid()}-{threading.get_ident()}-{path.name}"
        with self._errors(file.key):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as out:
                    out.write(file.body)
                    if sync:
                        out.flush()
                        os.fsync(out.fileno())
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the operating system on this folder; it ends with the process."""
        path = self.root / LOCK
        with self._errors(LOCK):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as lock:
                if sys.platform == "win32":
                    import msvcrt

                    lock.seek(0)
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
                else:
                    import fcntl

                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "")
            raise PublishError(os_reason(error), place=f"{self.place}/{key}", remedy=remedy) from None
