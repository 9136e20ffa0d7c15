"""Errors of a real S3 server, in words that say what to do."""

from __future__ import annotations

import datetime as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import botocore.compat
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, SSLError
from made_bundle import make_bundle, read_whole
from published import read_from
from s3_server import S3Server
from streamxr.pipeline.publish.errors import PublishError
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store
from streamxr.pipeline.publish.s3_errors import clear_errors
from streamxr.pipeline.publish.target import open_target

NOBODY_LISTENS = "http://127.0.0.1:9"


def test_an_unknown_access_key(bundle: Path, server: S3Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    with pytest.raises(PublishError, match=r"does not know this access key \(check the access key and its secret"):
        publish(bundle, S3Store("gallery", "", endpoint_url=server.url))


def test_a_wrong_secret(bundle: Path, server: S3Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    with pytest.raises(PublishError, match="the secret does not belong to the access key"):
        publish(bundle, S3Store("gallery", "", endpoint_url=server.url))


def test_no_credentials(bundle: Path, server: S3Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PublishError, match="there are no credentials"):
        publish(bundle, S3Store("gallery", "", endpoint_url=server.url))


@pytest.mark.usefixtures("client")
def test_an_unknown_profile(server: S3Server) -> None:
    with pytest.raises(PublishError, match="studio"):
        open_target("s3://gallery", endpoint_url=server.url, profile="studio")


@pytest.mark.usefixtures("client")
def test_a_missing_bucket(bundle: Path, server: S3Server) -> None:
    with pytest.raises(PublishError, match=r"s3://galery/bundle.json: there is no bucket galery \(create it first"):
        publish(bundle, S3Store("galery", "", endpoint_url=server.url))


@pytest.mark.usefixtures("client")
def test_a_bucket_of_somebody_else(bundle: Path, server: S3Server) -> None:
    keys = {"aws_access_key_id": "stranger", "aws_secret_access_key": "stranger-secret"}
    names = ("--access-key", keys["aws_access_key_id"], "--secret-key", keys["aws_secret_access_key"])
    server.admin("user", "create", "--uid", "stranger", "--display-name", "stranger", *names)
    stranger = boto3.client("s3", endpoint_url=server.url, **keys)
    stranger.create_bucket(Bucket="private")
    try:
        with pytest.raises(PublishError, match="the server denies access"):
            publish(bundle, S3Store("private", "", endpoint_url=server.url))
    finally:
        stranger.delete_bucket(Bucket="private")
        stranger.close()
        server.admin("user", "rm", "--uid", "stranger")


@pytest.mark.usefixtures("client")
def test_a_clock_that_is_wrong(bundle: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store("gallery", "", endpoint_url=server.url)
    real = botocore.auth.get_current_datetime

    def an_hour_ago(*args: Any, **named: Any) -> clock.datetime:
        return real(*args, **named) - clock.timedelta(hours=1)

    with monkeypatch.context() as wrong:
        wrong.setattr(botocore.auth, "get_current_datetime", an_hour_ago)
        with pytest.raises(PublishError, match=r"the clock of this machine differs too much .* \(set the clock\)"):
            publish(bundle, store)


@pytest.mark.usefixtures("client")
def test_a_server_that_does_not_answer(bundle: Path) -> None:
    with pytest.raises(PublishError, match=f"cannot connect to {NOBODY_LISTENS}"):
        publish(bundle, S3Store("gallery", "", endpoint_url=NOBODY_LISTENS))


def test_a_quota_that_is_used_up_leaves_the_published_bundle(bundle: Path, server: S3Server, store: S3Store) -> None:
    publish(bundle, store)
    make_bundle(bundle, {"chair": 2, "lamp": 2}, files=30)
    quota = ("quota", "set", "--quota-scope=bucket", "--bucket=gallery", "--uid=streamxr", "--max-objects=20")
    server.admin(*quota)
    server.admin("quota", "enable", "--quota-scope=bucket", "--uid=streamxr", "--bucket=gallery")
    try:
        with pytest.raises(PublishError, match="the quota of the bucket or user is used up"):
            publish(bundle, store)
        assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair", "table"]
    finally:
        server.admin("quota", "disable", "--quota-scope=bucket", "--uid=streamxr", "--bucket=gallery")
    publish(bundle, store)
    assert sorted(read_whole(lambda key: read_from(store, key))) == ["chair", "lamp"]


def refused(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "Words of the server"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: refused("ExpiredToken"), r"the credentials have expired \(sign in again\)"),
        (lambda: refused("PermanentRedirect", 301), r"in another region \(give its region with --region\)"),
        (lambda: refused("SlowDown", 503), r"overloaded \(publish again with fewer --jobs"),
        (lambda: refused("", 507), "the server has no room left"),
        (lambda: refused("OddError"), "the server refuses: OddError Words of the server"),
        (lambda: ConnectTimeoutError(endpoint_url="https://s3.example"), "https://s3.example does not answer"),
        (lambda: SSLError(endpoint_url="https://s3.example", error="x"), "has no certificate that this machine trusts"),
    ],
)
def test_errors_that_this_server_does_not_give(error: Callable[[], Exception], words: str) -> None:
    with pytest.raises(PublishError, match=words), clear_errors("s3://gallery", "gallery", "https://s3.example"):
        raise error()


@pytest.mark.parametrize(
    "target",
    ["gallery", "s3://", "s3:///x", "s3://gallery/a//b", "s3://gallery/../x", "ftp://x/y", "file://host/x", "file:///"],
)
def test_a_wrong_target_is_refused(target: str) -> None:
    with pytest.raises(PublishError, match="use s3://bucket/prefix or file:///srv/www"):
        open_target(target)
