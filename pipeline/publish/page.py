"""The published page: a list of its files with their hashes, since their names do not tell what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..bundle.files import content_hash
from .errors import PublishError
from .store import Content, Object

if TYPE_CHECKING:
    from .store import Store

PAGE_LIST = "history/page.json"
FORMAT = "streamxr/page"
VERSION = 1
_KEPT = re.compile(r"history/page-\d{8}T\d{6}Z-[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class PageList:
    """The SHA-256 of each file of the published page by key. encoding: the one of the files that shrink."""

    files: Mapping[str, str]
    encoding: str
    content: Content | None  # as it was read; None if there is none


def read_page_list(store: Store, key: str = PAGE_LIST) -> PageList:
    """The list of the published page; an empty one if no page was published."""
    content = store.read(key)
    if content is None:
        return PageList({}, "", None)
    try:
        document = json.loads(content.body)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise ValueError
        files = {str(key): str(digest) for key, digest in document["files"].items()}
        return PageList(files, str(document["encoding"]), content)
    except (ValueError, KeyError, TypeError, AttributeError):
        problem = "is not a list of page files that this version reads"
        raise PublishError(
            problem, place=f"{store.place}/{key}", remedy="delete it: the page is sent again then"
        ) from None


def write_page_list(store: Store, files: Mapping[str, str], encoding: str, outgoing: PageList) -> bool:
    """Replace the list, and keep the outgoing one for as long as visitors may use its files.

    Returns False if another publisher has replaced it meanwhile.
    """
    if outgoing.content is not None:
        kept = f"history/page-{stamp(outgoing.content.modified)}-{content_hash(outgoing.content.body)}.json"
        store.create(_json_object(kept, outgoing.content.body))
    document = {"format": FORMAT, "version": VERSION, "encoding": encoding, "files": dict(sorted(files.items()))}
    body = json.dumps(document, indent=1).encode() + b"\n"
    return store.swap(_json_object(PAGE_LIST, body), outgoing.content)


def kept_page_lists(store: Store) -> dict[str, datetime]:
    """The lists of earlier pages by key, each with the time when its page was replaced."""
    return {found.key: found.modified for found in store.list("history/page-") if _KEPT.fullmatch(found.key)}


def stamp(time: datetime) -> str:
    """A time in UTC, to the second, in names of files."""
    return time.strftime("%Y%m%dT%H%M%SZ")


def _json_object(key: str, body: bytes) -> Object:
    return Object(key, body, "application/json", "no-cache")
