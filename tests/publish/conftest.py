from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from made_bundle import make_bundle
from s3_server import S3Server, missing_programs, s3_server
from streamxr.pipeline.publish.s3 import S3Store

BUCKET = "gallery"


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    """A real S3 server: Ceph's object gateway. Debian has it; elsewhere, tests that need it are skipped."""
    if missing_programs() and sys.platform != "linux":
        pytest.skip("the S3 server of these tests is Ceph, which runs on Linux")
    with s3_server() as running:
        yield running


@pytest.fixture
def client(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, with an empty bucket. Variables of the environment give commands its credentials."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    client = boto3.client("s3", endpoint_url=server.url)
    client.create_bucket(Bucket=BUCKET)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        if found := page.get("Contents"):
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in found]})
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def store(server: S3Server, client: Any) -> S3Store:
    del client  # it makes the bucket
    return S3Store(BUCKET, "show/", endpoint_url=server.url)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of two assets and a page."""
    return make_bundle(tmp_path / "build", {"chair": 1, "table": 1})
