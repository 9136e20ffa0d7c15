"""`streamxr publish` to a real S3 server: what is sent, in which order, with which headers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from made_bundle import make_bundle, read_whole
from published import keys_of, read_from
from s3_proxy import s3_proxy
from s3_server import S3Server
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.publish.errors import OtherBytesError, PublishError
from streamxr.pipeline.publish.local import LocalBundle
from streamxr.pipeline.publish.publish import plan_publication, publish
from streamxr.pipeline.publish.s3 import S3Store


def head(client: Any, key: str) -> Any:
    return client.head_object(Bucket="gallery", Key=f"show/{key}")


def test_a_published_bundle_is_whole(bundle: Path, store: S3Store) -> None:
    result = publish(bundle, store)
    assert result.sent.files == 11
    assert result.guard == ""
    assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair", "table"]
    assert read_from(store, "index.html") == (bundle / "index.html").read_bytes()


def test_files_have_their_types_and_lifetimes(bundle: Path, store: S3Store, client: Any) -> None:
    publish(bundle, store)
    entry = LocalBundle(bundle).assets()["chair"]
    expected = {
        "bundle.json": ("application/json", "no-cache"),
        "index.html": ("text/html; charset=utf-8", "no-cache"),
        "viewer/streamxr.js": ("text/javascript; charset=utf-8", "no-cache"),
        "viewer/chunk-ABCDEFGH.js": ("text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        entry["base"]["uri"]: ("model/gltf-binary", "public, max-age=31536000, immutable"),
        entry["manifest"]["uri"]: ("application/json", "public, max-age=31536000, immutable"),
    }
    found = {key: head(client, key) for key in expected}
    assert {key: (each["ContentType"], each["CacheControl"]) for key, each in found.items()} == expected
    assert not any(each.get("ContentEncoding") for each in found.values())


def test_an_unchanged_bundle_takes_two_requests(bundle: Path, server: S3Server, store: S3Store) -> None:
    publish(bundle, store)
    with s3_proxy(server) as proxy:
        again = publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
        assert again.plan.nothing_to_do
        assert [method for method, _ in proxy.log] == ["GET", "GET"]


def test_only_the_new_files_of_a_changed_asset_are_sent(bundle: Path, server: S3Server, store: S3Store) -> None:
    publish(bundle, store)
    before = keys_of(store)
    make_bundle(bundle, {"chair": 2, "table": 1})
    with s3_proxy(server) as proxy:
        result = publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
        sent = {key.removeprefix("show/") for key in proxy.keys("PUT")} - {"history/probe"}
    assert result.plan.assets.changed == ("chair",)
    assert sent - before == keys_of(store) - before
    assert sent & before == {"bundle.json"}
    assert len([key for key in sent if key.startswith("o/")]) == 3


@pytest.mark.usefixtures("client")
def test_content_goes_first_and_the_catalogue_last(bundle: Path, server: S3Server) -> None:
    with s3_proxy(server) as proxy:
        publish(bundle, S3Store("gallery", "show/", endpoint_url=proxy.url))
        keys = [key.removeprefix("show/") for key in proxy.keys("PUT") if "history/" not in key]
    kinds = [key.split("/")[0] for key in keys]
    assert kinds == ["o"] * 6 + ["a"] * 2 + ["viewer"] * 2 + ["index.html", "bundle.json"]
    assert keys.index("viewer/chunk-ABCDEFGH.js") < keys.index("viewer/streamxr.js")


def test_an_interrupted_publication_sends_only_the_rest(bundle: Path, store: S3Store) -> None:
    sent: list[str] = []
    create = store.create

    def fail_after_four(file: Any) -> bool:
        if len(sent) == 4:
            raise PublishError("the line was cut")
        sent.append(file.key)
        return create(file)

    store.create = fail_after_four  # type: ignore[method-assign]
    with pytest.raises(PublishError, match="the line was cut"):
        publish(bundle, store, jobs=1)
    assert store.read("bundle.json") is None
    store.create = create  # type: ignore[method-assign]
    result = publish(bundle, store)
    assert (result.sent.files, result.sent.present) == (7, 4)
    read_whole(lambda key: read_from(store, key))


def test_a_file_with_other_bytes_under_its_name_is_an_error(bundle: Path, store: S3Store, client: Any) -> None:
    uri = LocalBundle(bundle).assets()["chair"]["base"]["uri"]
    client.put_object(Bucket="gallery", Key=f"show/{uri}", Body=b"a cuckoo")
    with pytest.raises(OtherBytesError, match=uri):
        publish(bundle, store)
    assert store.read("bundle.json") is None
    assert read_from(store, uri) == b"a cuckoo"


@pytest.mark.parametrize("damage", ["missing", "other bytes", "shorter", "manifest missing", "manifest damaged"])
def test_a_broken_bundle_is_refused_before_anything_is_sent(bundle: Path, store: S3Store, damage: str) -> None:
    entry = LocalBundle(bundle).assets()["chair"]
    path = bundle / entry["manifest" if "manifest" in damage else "base"]["uri"]
    content = path.read_bytes()
    if "missing" in damage:
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "shorter" else content[:-1] + b"?")
    with pytest.raises(ModelError, match=path.name):
        publish(bundle, store)
    assert keys_of(store) == set()


def test_a_bundle_without_a_catalogue_is_refused(tmp_path: Path, store: S3Store) -> None:
    with pytest.raises(PublishError, match="is not a bundle"):
        publish(tmp_path, store)


def test_a_dry_run_names_the_missing_files_and_writes_nothing(bundle: Path, store: S3Store) -> None:
    first = LocalBundle(bundle).assets()["chair"]
    plan = plan_publication(LocalBundle(bundle), store, listing=True)
    assert len(plan.missing) == 8
    assert keys_of(store) == set()
    publish(bundle, store)
    make_bundle(bundle, {"chair": 2, "table": 1, "lamp": 1})
    plan = plan_publication(LocalBundle(bundle), store, listing=True)
    assert (plan.assets.added, plan.assets.changed, plan.assets.removed) == (("lamp",), ("chair",), ())
    assert len(plan.missing) == 8
    assert first["base"]["uri"] not in {file.key for file in plan.missing}


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_precompressed_files_say_so_and_decode_to_the_same_bytes(
    bundle: Path, store: S3Store, client: Any, encoding: str
) -> None:
    publish(bundle, store, encoding=encoding)
    entry = LocalBundle(bundle).assets()["chair"]
    for key in ("index.html", "viewer/chunk-ABCDEFGH.js", "bundle.json", entry["manifest"]["uri"]):
        assert head(client, key)["ContentEncoding"] == encoding
        assert read_from(store, key) == (bundle / key).read_bytes()
    assert "ContentEncoding" not in head(client, entry["base"]["uri"])
    read_whole(lambda key: read_from(store, key))
    assert publish(bundle, store, encoding=encoding).plan.nothing_to_do
    # Another variant of page and catalogue replaces them; readers get the same documents.
    publish(bundle, store)
    assert "ContentEncoding" not in head(client, "index.html")
    read_whole(lambda key: read_from(store, key))


def test_a_changed_page_is_sent_without_the_models(bundle: Path, store: S3Store) -> None:
    publish(bundle, store)
    catalogue = store.read("bundle.json")
    (bundle / "index.html").write_text("<!doctype html>new")
    result = publish(bundle, store)
    assert (result.sent.files, list(result.plan.page)) == (1, ["index.html"])
    assert read_from(store, "index.html") == b"<!doctype html>new"
    assert store.read("bundle.json") == catalogue


def test_repair_sends_what_was_deleted_behind_the_catalogue(bundle: Path, store: S3Store) -> None:
    publish(bundle, store)
    uri = LocalBundle(bundle).assets()["chair"]["base"]["uri"]
    store.delete([uri, "viewer/streamxr.js"])
    assert publish(bundle, store).plan.nothing_to_do
    publish(bundle, store, repair=True)
    read_whole(lambda key: read_from(store, key))
    assert read_from(store, "viewer/streamxr.js") == (bundle / "viewer/streamxr.js").read_bytes()


def test_bundles_under_two_prefixes_do_not_meet(bundle: Path, server: S3Server, store: S3Store) -> None:
    other = S3Store("gallery", "show/2/", endpoint_url=server.url)
    publish(bundle, store)
    shutil.rmtree(bundle)
    publish(make_bundle(bundle, {"lamp": 1}), other)
    assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair", "table"]
    assert sorted(read_whole(lambda key: read_from(other, key))) == ["lamp"]


def test_a_damaged_catalogue_is_named_and_replaced_by_repair(bundle: Path, store: S3Store, client: Any) -> None:
    client.put_object(Bucket="gallery", Key="show/bundle.json", Body=b"{broken")
    with pytest.raises(PublishError, match=r"bundle.json: is not JSON.*\(publish with --repair to replace it\)"):
        publish(bundle, store)
    publish(bundle, store, repair=True)
    read_whole(lambda key: read_from(store, key))
