"""Alerts of the real Prometheus about a real relay and nginx: each fires when its cause is there, and not before."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nginx_site import nginx_site
from processes import PATIENCE_S, stop
from stack import DEPLOY, free_ports, program, wait_for
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

POSE = {"p": [0, 1, 0], "q": [0, 0, 0, 1]}


@dataclass
class Watched:
    """A relay whose process may be replaced, and the Prometheus that watches it."""

    folder: Path
    port: int
    metrics: int
    prometheus: str
    process: subprocess.Popen[bytes] | None = None
    fired: set[str] = field(default_factory=set)

    def start(self, limits: str = ":", *options: str) -> None:
        """Start the relay, after shell commands that limit it."""
        command = [sys.executable, "-m", "streamxr.relay.cli", "serve", "--port", str(self.port), *options]
        command += ["--metrics-port", str(self.metrics), "--max-per-address", "0", "--drain-seconds", "0"]
        log = self.folder / "relay.log"
        with log.open("ab") as output:
            shell = ["sh", "-c", f'{limits}; exec "$@"', "sh", *command]
            self.process = subprocess.Popen(shell, stdout=output, stderr=subprocess.STDOUT)
        wait_for(f"http://127.0.0.1:{self.port}/readyz", self.process, log)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def alerts(self) -> set[str]:
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/alerts", timeout=PATIENCE_S) as answer:
            alerts = json.load(answer)["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def wait_for_alert(self, name: str) -> None:
        """Wait until an alert fires, which has not fired before."""
        assert name not in self.fired
        deadline = time.monotonic() + 2 * PATIENCE_S
        while name not in (firing := self.alerts()):
            assert time.monotonic() < deadline, f"{name} does not fire; {firing} do"
            time.sleep(0.2)
        self.fired |= firing

    def see(self, expression: str) -> None:
        """Wait until Prometheus finds the expression true."""
        url = f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(expression)}"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                if json.load(answer)["data"]["result"]:
                    return
            time.sleep(0.2)
        pytest.fail(f"never true: {expression}")

    @contextlib.contextmanager
    def join(self, room: str) -> Iterator[ClientConnection]:
        address = f"ws://127.0.0.1:{self.port}/ws/{room}"
        with connect(address, subprotocols=[Subprotocol("streamxr.v1")], proxy=None) as client:
            client.send(json.dumps({"type": "hello", "v": 1, "name": "Ada", "color": "#ff8800"}))
            client.recv(PATIENCE_S)
            yield client


@contextlib.contextmanager
def watched(folder: Path, nginx: int) -> Iterator[Watched]:
    """Prometheus with the deployed rules, which wait a second instead of minutes."""
    port, metrics, prometheus = free_ports(3)
    rules = (DEPLOY / "prometheus/rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"for: \d+[mh]", "for: 1s", rules))
    configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
    for old, new in (
        ("relay:8788", f"127.0.0.1:{metrics}"),
        ("nginx:8081", f"127.0.0.1:{nginx}"),
        ("interval: 5s", "interval: 250ms"),
        ("interval: 15s", "interval: 250ms"),
    ):
        assert old in configuration
        configuration = configuration.replace(old, new)
    (folder / "prometheus.yml").write_text(configuration)
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        command += [f"--web.listen-address=127.0.0.1:{prometheus}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    relay = Watched(folder, port, metrics, f"http://127.0.0.1:{prometheus}")
    try:
        wait_for(f"{relay.prometheus}/-/ready", process, log)
        yield relay
    finally:
        relay.kill()
        stop(process)


@pytest.mark.soak
def test_alerts_fire_when_their_cause_is_there_and_not_before(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(nginx_site(tmp_path))
        alive = int(re.findall(r"listen 127.0.0.1:(\d+);", (tmp_path / "nginx.conf").read_text())[-1])
        relay = stack.enter_context(watched(tmp_path, alive))
        relay.start()
        relay.see('up{job="relay"} == 1')
        relay.see('up{job="nginx"} == 1')
        with relay.join("hall"):
            time.sleep(5)
            assert relay.alerts() == set()

        relay.kill()
        relay.wait_for_alert("RelayDown")
        state = str(tmp_path / "state.db")
        relay.start("ulimit -f 400", "--state", state)
        relay.see('up{job="relay"} == 1')
        assert "RelayRestarting" not in relay.alerts(), "one start is an update"
        with relay.join("hall") as client:
            fill(client)
            relay.wait_for_alert("StoreFails")
        relay.kill()

        relay.start("ulimit -n 1000")
        relay.see('up{job="relay"} == 1')
        with contextlib.ExitStack() as clients:
            for number in range(860):
                clients.enter_context(relay.join(f"room-{number % 90}"))
            relay.wait_for_alert("DescriptorsNearlyUsed")
        relay.kill()

        relay.start()
        relay.wait_for_alert("RelayRestarting")
        assert "NginxDown" not in relay.alerts()
        stop(site.process)
        relay.wait_for_alert("NginxDown")
        assert "PosesOld" not in relay.fired
    print(sorted(relay.fired))


def fill(client: ClientConnection) -> None:
    """Put objects into a room until the relay cannot write."""
    for ref in range(400):
        spawn: dict[str, Any] = {"type": "spawn", "ref": ref, "asset": "a" * 100, "pose": POSE, "scale": 1}
        client.send(json.dumps(spawn))
        time.sleep(0.06)  # within the limit of messages
        try:
            while True:
                text = client.recv(0.001)
                if isinstance(text, str) and ('"store"' in text):
                    return
        except TimeoutError:
            pass
        except Exception:  # the room has failed
            return
    pytest.fail("the store never failed")
