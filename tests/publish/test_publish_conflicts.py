"""Several publishers at once, on a server with conditional writes and on servers without."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from made_bundle import make_bundle, read_whole
from published import read_from
from s3_proxy import IGNORE, REFUSE, s3_proxy
from s3_server import S3Server
from streamxr.pipeline.publish import s3
from streamxr.pipeline.publish.errors import ConflictError, PublishError
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store
from streamxr.pipeline.publish.store import Content, Object


def at_the_catalogue(store: S3Store, meet: threading.Barrier) -> S3Store:
    """The store, in which every publisher waits for the others before it replaces the catalogue."""
    swap = store.swap

    def swap_together(file: Object, expected: Content | None) -> bool:
        if file.key == "bundle.json":
            meet.wait(60)
        return swap(file, expected)

    store.swap = swap_together  # type: ignore[method-assign]
    return store


def race(roots: list[Path], stores: list[S3Store]) -> list[str]:
    """Publish all bundles at once; returns "published" or the problem of each."""
    meet = threading.Barrier(len(roots))

    def run(root: Path, store: S3Store) -> str:
        try:
            publish(root, at_the_catalogue(store, meet))
        except ConflictError as error:
            return error.problem
        return "published"

    with ThreadPoolExecutor(len(roots)) as threads:
        return list(threads.map(run, roots, stores))


@pytest.mark.parametrize("first", [True, False], ids=["nothing published before", "a bundle before"])
def test_of_publishers_that_race_one_wins_and_the_others_are_told(
    tmp_path: Path, server: S3Server, store: S3Store, first: bool
) -> None:
    if not first:
        publish(make_bundle(tmp_path / "old", {"old": 1}), store)
    roots = [make_bundle(tmp_path / name, {name: 1, "shared": 1}) for name in ("anna", "ben", "cleo")]
    results = race(roots, [S3Store("gallery", "show/", endpoint_url=server.url) for _ in roots])
    assert all("another publisher has replaced it" in each for each in results if each != "published")
    assert results.count("published") == 1
    assets = read_whole(lambda key: read_from(store, key))
    assert sorted(assets) == sorted([roots[results.index("published")].name, "shared"])
    # The content of the others is there: their next try sends no content.
    loser = next(root for root, result in zip(roots, results, strict=True) if result != "published")
    again = publish(loser, store)
    assert (again.sent.files, again.sent.present) == (0, 4)
    assert loser.name in read_whole(lambda key: read_from(store, key))


def test_two_publishers_of_the_same_bundle_both_end_well(tmp_path: Path, server: S3Server, store: S3Store) -> None:
    roots = [make_bundle(tmp_path / name, {"chair": 1}) for name in ("one", "two")]
    assert race(roots, [S3Store("gallery", "show/", endpoint_url=server.url) for _ in roots]) == ["published"] * 2
    assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair"]


@pytest.mark.parametrize("conditions", [REFUSE, IGNORE])
def test_a_store_without_conditional_writes_is_found_out_and_named(
    bundle: Path, server: S3Server, store: S3Store, conditions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LOCK_SETTLE_S", 0.01)
    with s3_proxy(server, conditions) as proxy:
        lesser = S3Store("gallery", "show/", endpoint_url=proxy.url)
        result = publish(bundle, lesser)
        assert "lock object" in result.guard
        assert "best effort" in result.guard
        make_bundle(bundle, {"chair": 2})
        publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
    assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair"]
    assert store.read("history/lock") is None


def test_the_lock_object_lets_one_of_two_publishers_through(tmp_path: Path, server: S3Server, store: S3Store) -> None:
    roots = [make_bundle(tmp_path / name, {name: 1}) for name in ("anna", "ben")]
    with s3_proxy(server, IGNORE) as proxy:
        results = race(roots, [S3Store("gallery", "show/", endpoint_url=proxy.url) for _ in roots])
    assert results.count("published") == 1
    assert sorted(read_whole(lambda key: read_from(store, key))) == [roots[results.index("published")].name]


def test_the_lock_of_a_killed_publisher_ends(
    bundle: Path, server: S3Server, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "LOCK_SETTLE_S", 0.01)
    store.write_lock(b"somebody who was killed")
    with s3_proxy(server, REFUSE) as proxy:
        monkeypatch.setattr(s3, "LOCK_TRIES", 1)
        with pytest.raises(PublishError, match="history/lock"):
            publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
        assert store.read("bundle.json") is None
        monkeypatch.setattr(s3, "LOCK_LIFE", timedelta(seconds=-5))
        publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
    read_whole(lambda key: read_from(store, key))


def test_an_answer_that_was_lost_is_no_conflict(bundle: Path, server: S3Server, store: S3Store) -> None:
    """A repeated write, whose first answer did not arrive, finds its own catalogue."""
    stored: list[str] = []
    with s3_proxy(server) as proxy:

        def store_first(method: str, path: str) -> None:
            if (method, path) == ("PUT", "/gallery/show/bundle.json") and not stored:
                stored.append(path)
                store.replace(Object("bundle.json", (bundle / "bundle.json").read_bytes(), "application/json", ""))

        proxy.on_request = store_first
        publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
    assert stored
    read_whole(lambda key: read_from(store, key))
