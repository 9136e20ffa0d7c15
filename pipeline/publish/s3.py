"""A store in a bucket of Amazon S3, or of any server with its interface."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from ..jobs.interrupts import interrupts_held
from .errors import ConflictError, PublishError
from .s3_errors import answer_code, clear_errors
from .store import PLAIN, Content, Object, Stored

PROBE = "history/probe"
LOCK = "history/lock"
LOCK_LIFE = timedelta(seconds=60)  # a lock of a publisher that was killed ends after it
LOCK_SETTLE_S = 1.0  # the time in which two publishers that took the lock at once see each other
LOCK_TRIES = 90
DELETE_KEYS = 1000  # keys in one DeleteObjects request, the most that S3 takes
EXPECT_FROM_BYTES = 1 << 18  # files from which the server is asked before they are sent
CONFLICT_TRIES = 5  # answers 409: another conditional write of the key was under way
GUARD_NOTE = (
    "this store ignores or refuses conditional writes, so a lock object guards the catalogue; that is best effort: "
    "do not publish from two places at once"
)
_REFUSED = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest", "400", "405", "MethodNotAllowed")


class S3Store:
    """One prefix of a bucket, through boto3 and its chain of credentials."""

    compressed_beside = False
    default_jobs = 16

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint_url: str | None = None,
        profile: str | None = None,
        region: str | None = None,
        connections: int | None = None,
    ) -> None:
        """prefix: empty, or with a slash at its end. connections: the most that are used at a time."""
        self.bucket = bucket
        self.prefix = prefix
        self.place = f"s3://{bucket}/{prefix}".rstrip("/")
        self._endpoint = endpoint_url
        self._conditional: bool | None = None
        self._probing = threading.Lock()
        self._counter = itertools.count()
        self.requests = 0
        with self._errors():
            self._client = _client(endpoint_url, profile, region, connections or self.default_jobs)
        self._client.meta.events.register("before-send.s3", self._count)
        self._client.meta.events.register_last("before-call.s3", _send_small_files_at_once)

    def read(self, key: str) -> Content | None:
        with self._errors(key):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)
                body = answer["Body"].read()
            except self._client.exceptions.NoSuchKey:
                return None
            return Content(key, body, answer.get("ContentEncoding") or PLAIN, answer["ETag"], answer["LastModified"])

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self.prefix)
                    if key not in (PROBE, LOCK):
                        md5 = found["ETag"].strip('"')  # of several parts or encrypted ones it is another digest
                        yield Stored(key, found["Size"], found["LastModified"], md5 if len(md5) == 32 else "")

    def create(self, file: Object) -> bool:
        with self._errors(file.key):
            if self._is_conditional():
                return self._put_if(file, IfNoneMatch="*")
            if self._exists(file.key):
                return False
            self._put(file)
            return True

    def replace(self, file: Object) -> None:
        with self._errors(file.key):
            self._put(file)

    def swap(self, file: Object, expected: Content | None) -> bool:
        with self._errors(file.key):
            if not self._is_conditional():
                return self._swap_locked(file, expected)
            if expected is None:
                return self._put_if(file, IfNoneMatch="*") or self._holds(file)
            for version in (expected.version, expected.version.strip('"')):  # some servers compare without the quotes
                if self._put_if(file, IfMatch=version):
                    return True
                found = self.read(file.key)
                if found is None or found.version != expected.version:
                    return found is not None and found.body == file.body
            return self._swap_locked(file, expected)

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, DELETE_KEYS)):
            names = [{"Key": self.prefix + key} for key in batch]
            with self._errors():
                answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": names, "Quiet": True})
            for fault in answer.get("Errors", ()):
                place = f"{self.place}/{fault['Key'].removeprefix(self.prefix)}"
                raise PublishError(f"cannot be deleted: {fault.get('Message') or fault.get('Code')}", place=place)

    def settle(self) -> None:
        """S3 answers a write when it is durable."""

    def guard(self) -> str:
        with self._errors():
            return "" if self._is_conditional() else GUARD_NOTE

    def read_versioned_lock(self) -> Content | None:
        return self.read(LOCK)

    def write_lock(self, owner: bytes) -> None:
        with self._errors(LOCK):
            self._put(Object(LOCK, owner, "text/plain", "no-store"))

    def server_time(self) -> datetime:
        """The time by the clock that stamps objects; this machine's clock, which S3 allows to differ by 15 minutes."""
        return datetime.now(UTC)

    def _swap_locked(self, file: Object, expected: Content | None) -> bool:
        with _Lock(self):
            found = self.read(file.key)
            if (found and found.version) != (expected and expected.version):
                return found is not None and found.body == file.body
            self._put(file)
            return True

    def _put(self, file: Object, **conditions: str) -> None:
        # The payload's signature and the checksum both hold its SHA-256: every server checks one of them.
        encoding = {"ContentEncoding": file.encoding} if file.encoding else {}
        self._client.put_object(
            Bucket=self.bucket,
            Key=self.prefix + file.key,
            Body=file.body,
            ContentType=file.media_type,
            CacheControl=file.cache_control,
            ChecksumSHA256=base64.b64encode(hashlib.sha256(file.body).digest()).decode(),
            **encoding,
            **conditions,
        )

    def _put_if(self, file: Object, **conditions: str) -> bool:
        """Store a file under a condition; False if the condition does not hold."""
        from botocore.exceptions import ClientError

        for attempt in range(CONFLICT_TRIES):
            try:
                self._put(file, **conditions)
                return True
            except ClientError as error:
                code = answer_code(error)
                if code in ("PreconditionFailed", "412", "NoSuchKey"):  # If-Match of a key that is gone
                    return False
                if code not in ("ConditionalRequestConflict", "409") or attempt == CONFLICT_TRIES - 1:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2**attempt))
        return False

    def _holds(self, file: Object) -> bool:
        """Whether a key holds this very file: a repeated request finds what the first one stored, unanswered."""
        found = self.read(file.key)
        return found is not None and found.body == file.body

    def _exists(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if answer_code(error) in ("404", "NoSuchKey"):
                return False
            raise
        return True

    def _is_conditional(self) -> bool:
        """Whether the store obeys both conditions, found out with a probe object at the first write."""
        if self._conditional is None:
            with self._probing:
                if self._conditional is None:
                    self._conditional = self._probe()
        return self._conditional

    def _probe(self) -> bool:
        """Whether a second write of a new key and a write over an unknown version are both refused."""
        from botocore.exceptions import ClientError

        probe = Object(PROBE, b"streamxr tests conditional writes with this object\n", "text/plain", "no-store")
        try:
            refused = not self._put_if(probe, IfNoneMatch="*") or not self._put_if(probe, IfNoneMatch="*")
            return refused and not self._put_if(probe, IfMatch=f'"{"0" * 32}"')
        except ClientError as error:
            if answer_code(error) in _REFUSED:
                return False
            raise

    def _count(self, **_: Any) -> None:
        self.requests = next(self._counter) + 1

    def _errors(self, key: str = "") -> AbstractContextManager[None]:
        place = f"{self.place}/{key}" if key else self.place
        return clear_errors(place, self.bucket, self._endpoint)


def _send_small_files_at_once(params: dict[str, Any], **_: Any) -> None:
    """Leave out `Expect: 100-continue`: a refusal before the body saves less than a round trip costs."""
    body = params.get("body")
    if isinstance(body, io.BytesIO) and body.getbuffer().nbytes < EXPECT_FROM_BYTES:
        params["headers"].pop("Expect", None)


class _Lock:
    """A lock object for stores without conditional writes. Best effort: two may hold it if answers are very late."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._owner = os.urandom(16).hex().encode()

    def __enter__(self) -> None:
        for _ in range(LOCK_TRIES):
            found = self._store.read_versioned_lock()
            if found is None or found.body == self._owner or self._store.server_time() - found.modified > LOCK_LIFE:
                self._store.write_lock(self._owner)
                time.sleep(LOCK_SETTLE_S)
                found = self._store.read_versioned_lock()
                if found is not None and found.body == self._owner:
                    return
            time.sleep(random.uniform(0.5, 1.5))
        raise ConflictError(f"{self._store.place}/{LOCK}")

    def __exit__(self, *_: object) -> None:
        found = self._store.read_versioned_lock()
        if found is not None and found.body == self._owner:
            self._store.delete([LOCK])


def _client(endpoint_url: str | None, profile: str | None, region: str | None, connections: int) -> Any:
    try:
        with interrupts_held():  # a library that is being imported may swallow a Ctrl-C
            import boto3
            from botocore.config import Config
    except ImportError:
        problem = "publishing to S3 needs the package boto3"
        raise PublishError(problem, remedy="pip install 'streamxr[publish]'") from None
    config = Config(
        max_pool_connections=connections,
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        parameter_validation=False,
        s3={"payload_signing_enabled": True, **({"addressing_style": "path"} if endpoint_url else {})},
    )
    session = boto3.session.Session(profile_name=profile, region_name=region)
    fallback = None if session.region_name else "us-east-1"  # other servers ignore it, S3 names the right one
    return session.client("s3", endpoint_url=endpoint_url, region_name=fallback, config=config)
