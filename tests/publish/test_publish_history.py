"""Kept catalogues of a real S3 server: listed, put back, and pruned without harm to their readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_bundle import make_bundle, read_whole
from published import keys_of, read_from
from streamxr.pipeline.bundle.files import content_hash
from streamxr.pipeline.publish.errors import PublishError
from streamxr.pipeline.publish.history import kept_catalogues, retired_catalogues, roll_back
from streamxr.pipeline.publish.prune import Pruned, prune
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store
from streamxr.pipeline.publish.store import Object
from streamxr.pipeline.publish.upload import RENEW_AFTER

GRACE = timedelta(hours=24)


@pytest.fixture
def versions(bundle: Path, store: S3Store) -> list[str]:
    """The hashes of five published catalogues, in order; each has another chair, and the table stays."""
    hashes = []
    for seed in range(1, 6):
        make_bundle(bundle, {"chair": seed, "table": 1})
        hashes.append(publish(bundle, store).catalogue)
    return hashes


def current_hash(store: S3Store) -> str:
    return content_hash(read_from(store, "bundle.json"))


def hashes_of_kept(store: S3Store) -> list[str]:
    return [kept.hash for kept in kept_catalogues(store, store.read("bundle.json"))]


def make_object(body: bytes) -> Object:
    digest = content_hash(body)
    return Object(f"o/{digest[:2]}/{digest}.glb", body, "model/gltf-binary", "")


def prune_after(store: S3Store, time: timedelta, **options: Any) -> Pruned:
    """Prune as a command would after this time."""
    return prune(store, **{"grace": GRACE, "keep_newest": 10, "jobs": 4, "now": datetime.now(UTC) + time, **options})


def test_each_replaced_catalogue_is_kept(versions: list[str], store: S3Store) -> None:
    assert current_hash(store) == versions[-1]
    assert hashes_of_kept(store) == versions[-2::-1]


@pytest.mark.parametrize("steps", [1, 4])
def test_a_rollback_puts_a_catalogue_back_whole(versions: list[str], store: S3Store, steps: int) -> None:
    chosen = roll_back(store, steps, encoding="", jobs=4)
    assert chosen.hash == current_hash(store) == versions[-1 - steps]
    read_whole(lambda key: read_from(store, key))
    assert hashes_of_kept(store)[0] == versions[-1]


def test_a_rollback_after_a_rollback_returns(versions: list[str], store: S3Store) -> None:
    roll_back(store, 2, encoding="", jobs=4)
    roll_back(store, 1, encoding="", jobs=4)
    assert current_hash(store) == versions[-1]


def test_a_rollback_past_the_first_catalogue_is_refused(versions: list[str], store: S3Store) -> None:
    with pytest.raises(PublishError, match="4 earlier catalogues are kept"):
        roll_back(store, 5, encoding="", jobs=4)
    assert current_hash(store) == versions[-1]


def test_a_rollback_to_a_catalogue_that_lost_a_file_is_refused(versions: list[str], store: S3Store) -> None:
    kept = kept_catalogues(store, store.read("bundle.json"))[0]
    entry = read_whole(lambda key: read_from(store, kept.key if key == "bundle.json" else key))["chair"]
    store.delete([entry["base"]["uri"]])
    with pytest.raises(PublishError, match="1 of its files are not in the target"):
        roll_back(store, 1, encoding="", jobs=4)
    assert current_hash(store) == versions[-1]


def test_a_prune_deletes_nothing_that_a_kept_catalogue_needs(versions: list[str], store: S3Store) -> None:
    before = keys_of(store)
    assert prune_after(store, 10 * GRACE).files == []
    assert keys_of(store) == before
    for kept in kept_catalogues(store, store.read("bundle.json")):
        read_whole(lambda key, kept=kept: read_from(store, kept.key if key == "bundle.json" else key))  # type: ignore[misc]
    assert len(versions) == 5


def test_a_retired_catalogue_keeps_its_files_for_one_more_grace_time(versions: list[str], store: S3Store) -> None:
    before = keys_of(store, "o/")
    first = prune_after(store, 2 * GRACE, keep_newest=2)
    assert sorted(kept.hash for kept in first.retired) == sorted(versions[:2])
    assert first.files == []
    assert hashes_of_kept(store) == [versions[3], versions[2]]
    assert keys_of(store, "o/") == before
    # The server stamped the retirement with the present time.
    second = prune_after(store, 2 * GRACE, keep_newest=2)
    assert len(keys_of(store, "o/")) == len(before) - 2 * 3
    assert len(second.files) == 2 * 4
    assert retired_catalogues(store) == []
    for steps in (1, 2, 2):
        roll_back(store, steps, encoding="", jobs=4)
        read_whole(lambda key: read_from(store, key))


def test_a_prune_within_the_grace_time_deletes_nothing(versions: list[str], store: S3Store) -> None:
    # A publisher at work has sent content and no catalogue yet.
    store.create(make_object(b"half a publication"))
    before = keys_of(store)
    assert prune_after(store, GRACE / 2, keep_newest=1).retired == []
    assert keys_of(store) == before
    assert len(prune_after(store, 2 * GRACE).files) == 1
    assert versions


def test_a_dry_prune_changes_nothing(versions: list[str], store: S3Store) -> None:
    store.create(make_object(b"left over"))
    before = keys_of(store)
    result = prune_after(store, 2 * GRACE, keep_newest=1, dry_run=True)
    assert (len(result.files), len(result.retired), result.kept) == (1, 3, 1)
    assert keys_of(store) == before
    assert versions


def test_files_of_the_page_before_stay_for_the_grace_time(bundle: Path, store: S3Store) -> None:
    publish(bundle, store)
    (bundle / "viewer/chunk-ABCDEFGH.js").rename(bundle / "viewer/chunk-HGFEDCBA.js")
    publish(bundle, store)
    prune_after(store, GRACE / 2)
    assert "viewer/chunk-ABCDEFGH.js" in keys_of(store)
    prune_after(store, 2 * GRACE)
    assert keys_of(store, "viewer/") == {"viewer/chunk-HGFEDCBA.js", "viewer/streamxr.js"}


def test_a_prune_stops_before_it_deletes_if_a_manifest_cannot_be_read(versions: list[str], store: S3Store) -> None:
    kept = kept_catalogues(store, store.read("bundle.json"))[2]
    entry = read_whole(lambda key: read_from(store, kept.key if key == "bundle.json" else key))["chair"]
    store.delete([entry["manifest"]["uri"]])
    store.create(make_object(b"left over"))
    before = keys_of(store)
    with pytest.raises(PublishError, match="is missing, though a published catalogue names it"):
        prune_after(store, 2 * GRACE)
    assert keys_of(store) == before
    assert versions


def test_a_prune_of_an_empty_target_and_a_short_grace_time_are_refused(store: S3Store, bundle: Path) -> None:
    with pytest.raises(PublishError, match="nothing is published"):
        prune_after(store, GRACE)
    publish(bundle, store)
    with pytest.raises(PublishError, match="under 2 hours"):
        prune_after(store, GRACE, grace=timedelta(hours=1))


def test_an_old_file_that_no_catalogue_names_is_stored_again(
    bundle: Path, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a prune with its grace time nearly over could delete it under the new catalogue."""
    publish(bundle, store)
    store.delete(["bundle.json", "history/page.json"])
    assert publish(bundle, store).sent.files == 2  # the page without a hash
    store.delete(["bundle.json", "history/page.json"])
    monkeypatch.setattr("streamxr.pipeline.publish.upload.RENEW_AFTER", -RENEW_AFTER)
    assert publish(bundle, store).sent.present == 0
