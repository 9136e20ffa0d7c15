"""nginx, relay and Prometheus as real processes, with the files that compose mounts."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stack import DEPLOY, PATIENCE_S, RATE_WINDOW, Stack, running_stack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PANELS = [
    panel
    for panel in json.loads((DEPLOY / "grafana/dashboards/relay.json").read_text())["panels"]
    if panel["type"] != "row"
]
VISIT = {"type": "visit", "device": "phone", "first_ms": 800, "detail_ms": 3000, "stalls": 1, "stalled_ms": 1500}
HELLO = {"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "o/ab").mkdir(parents=True)
    (folder / "o/ab/abcdef.glb").write_bytes(b"glTF")
    (folder / "bundle.json").write_text("{}")
    (folder / "index.html").write_text("<!doctype html>")
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), bundle) as running:
        yield running


@contextmanager
def joining(stack: Stack, site: str, origin: str | None = None) -> Iterator[ClientConnection]:
    secure = ssl.create_default_context(cafile=str(stack.certificate)) if site.startswith("https") else None
    address = site.replace("http", "ws", 1) + "/ws/hall"
    options: dict[str, Any] = {"subprotocols": ["streamxr.v1"], "ssl": secure, "origin": origin, "proxy": None}
    with connect(address, open_timeout=PATIENCE_S, **options) as connection:
        connection.send(json.dumps(HELLO))
        yield connection


def test_a_client_joins_a_room_through_nginx_with_and_without_tls(stack: Stack) -> None:
    for site in (stack.site, stack.secure_site):
        with joining(stack, site) as connection:
            assert json.loads(connection.recv(PATIENCE_S))["type"] == "welcome"


def test_the_relay_sees_the_pages_origin_through_nginx(stack: Stack) -> None:
    with joining(stack, stack.site, origin=stack.site) as connection:
        assert json.loads(connection.recv(PATIENCE_S))["type"] == "welcome"
    with (
        pytest.raises(ConnectionClosed, match="4403"),
        joining(stack, stack.site, origin="https://elsewhere.example") as connection,
    ):
        connection.recv(PATIENCE_S)


def test_hashed_files_are_immutable_and_missing_files_are_not_cached(stack: Stack) -> None:
    status, headers = stack.get("/o/ab/abcdef.glb")
    assert status == 200
    assert headers["content-type"] == "model/gltf-binary"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["timing-allow-origin"] == headers["access-control-allow-origin"] == "*"
    status, headers = stack.get("/o/ab/none.glb")
    assert status == 404
    assert "cache-control" not in headers
    assert headers["access-control-allow-origin"] == "*"
    assert stack.get("/bundle.json")[1]["cache-control"] == "no-cache"
    assert stack.get("/", stack.secure_site)[0] == 200


def test_readiness_is_public_and_metrics_are_not(stack: Stack) -> None:
    assert stack.get("/readyz")[0] == 200
    assert stack.get("/metrics")[0] == 404


def test_every_panel_has_data_and_no_alert_fires(stack: Stack) -> None:
    simulation = [sys.executable, "-m", "streamxr.relay.cli", "simulate", stack.secure_site.replace("https", "wss")]
    environment = os.environ | {"SSL_CERT_FILE": str(stack.certificate)}
    with (
        joining(stack, stack.site) as ada,
        subprocess.Popen([*simulation, "--duration", "60"], env=environment, stdout=subprocess.DEVNULL) as clients,
    ):
        ada.send(json.dumps({"type": "stats", "bandwidth_bps": 40e6, "cdn_bytes": 1_000_000}))
        ada.send("not a message")
        queries = {
            (panel["title"], target["expr"].replace("$__rate_interval", RATE_WINDOW))
            for panel in PANELS
            for target in panel["targets"]
        }
        deadline = time.monotonic() + PATIENCE_S
        while queries:
            ada.recv(PATIENCE_S)
            with joining(stack, stack.site) as visitor:  # each visit counts once
                visitor.recv(PATIENCE_S)
                visitor.send(json.dumps(VISIT))
            queries = {query for query in queries if not has_data(stack, query[1])}
            assert time.monotonic() < deadline, f"no data for {queries}"
        users = {sample["metric"]["room"]: float(sample["value"][1]) for sample in stack.query("streamxr_room_users")}
        assert {"hall", "lobby", "other"} <= set(users)
        assert stack.query('streamxr_client_bandwidth_bps{client_id="max"}')[0]["value"][1] == "40000000"
        assert stack.query('sum(streamxr_relay_errors_total{code="json"})')[0]["value"][1] == "1"
        clients.terminate()
    with urllib.request.urlopen(f"{stack.prometheus}/api/v1/rules", timeout=PATIENCE_S) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert not any(rule.get("state") == "firing" for rule in rules)


def has_data(stack: Stack, expression: str) -> bool:
    """Whether there is a number. Some series have none: classes of devices that nobody uses."""
    return any(sample["value"][1] != "NaN" for sample in stack.query(expression))


def test_logs_are_json_with_room_and_participant(stack: Stack) -> None:
    with joining(stack, stack.site) as connection:
        welcome = json.loads(connection.recv(PATIENCE_S))
    log = stack.certificate.with_name(f"{Path(sys.executable).name}.log")
    expected = {"room": "hall", "participant": welcome["pid"], "message": "left"}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        if any(expected.items() <= line.items() for line in lines):
            return
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
