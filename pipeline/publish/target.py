"""The target of a publication: s3://bucket/prefix or file:///folder."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import PublishError
from .folder import FolderStore
from .s3 import S3Store
from .store import Store

_HELP = "use s3://bucket/prefix or file:///srv/www"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,254}")  # also ARNs of access points, and other servers' names


def open_target(
    target: str,
    *,
    endpoint_url: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    jobs: int | None = None,
) -> Store:
    """The store of a target. Raises PublishError if it is none, or if credentials are missing."""
    parts = urlsplit(target)
    if parts.query or parts.fragment:
        raise PublishError("has a query or fragment", place=target, remedy=_HELP)
    if parts.scheme == "s3":
        prefix = parts.path.strip("/")
        if not _BUCKET.fullmatch(parts.netloc) or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
            raise PublishError("does not name a bucket and a prefix", place=target, remedy=_HELP)
        return S3Store(
            parts.netloc,
            f"{prefix}/" if prefix else "",
            endpoint_url=endpoint_url,
            profile=profile,
            region=region,
            connections=jobs,
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path not in ("", "/"):
        if endpoint_url or profile or region:
            raise PublishError("is a folder: --endpoint-url, --profile and --region are for S3", place=target)
        path = unquote(parts.path)
        return FolderStore(Path(path[1:] if re.match(r"/[A-Za-z]:", path) else path))
    raise PublishError("is not a target", place=target, remedy=_HELP)
