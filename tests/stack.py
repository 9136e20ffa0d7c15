"""The deployment without containers: nginx, relay and Prometheus as processes on free ports of this machine.

They use the files of deploy/, with other addresses and folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import PATIENCE_S, stop

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
SCRAPE_INTERVAL = "250ms"  # short, so that tests get data in a second
RATE_WINDOW = "2s"


@dataclass(frozen=True)
class Stack:
    site: str  # http://127.0.0.1:port
    secure_site: str
    relay: str
    prometheus: str
    certificate: Path

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query to Prometheus."""
        with urllib.request.urlopen(
            f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}", timeout=PATIENCE_S
        ) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    def get(self, path: str, site: str | None = None) -> tuple[int, dict[str, str]]:
        """Status and headers, by lower-case name, of a GET request."""
        context = ssl.create_default_context(cafile=str(self.certificate)) if site and "https" in site else None
        try:
            with urllib.request.urlopen((site or self.site) + path, timeout=PATIENCE_S, context=context) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {name.lower(): value for name, value in error.headers.items()}


def program(name: str) -> str:
    """The path of a server's program. Debian installs some outside of the PATH of users."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    assert found, f"{name} is missing: scripts/system-deps.sh test"
    return found


def write_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")),
        ],
        check=True,
        capture_output=True,
    )


def write_nginx(
    folder: Path, *, relay_port: int, alive_port: int, listen: str, bundle: Path, proxies: str = ""
) -> Path:
    """Write nginx.conf, listen.conf and proxies.conf for this machine into `folder`; returns the first's path."""
    (folder / "tmp").mkdir(exist_ok=True)
    text = (DEPLOY / "nginx/nginx.conf").read_text()
    for deployed, local in (
        ("/tmp/", f"{folder}/tmp/"),
        ("server relay:8787", f"server 127.0.0.1:{relay_port}"),
        ("listen 8081", f"listen 127.0.0.1:{alive_port}"),
        ("/srv/acme", f"{folder}/acme"),
        ("/srv/bundle", str(bundle)),
        ("/dev/stderr", f"{folder}/error.log"),
        ("/dev/stdout", f"{folder}/access.log"),
    ):
        assert deployed in text, deployed
        text = text.replace(deployed, local)
    types = folder / "mime.types"
    if not Path("/etc/nginx/mime.types").exists():  # Debian and the container have this file
        types.write_text("types { text/html html; text/javascript js; application/json json; image/webp webp; }")
        text = text.replace("/etc/nginx/mime.types", str(types))
    conf = folder / "nginx.conf"
    conf.write_text(text)
    (folder / "listen.conf").write_text(listen)
    (folder / "proxies.conf").write_text(proxies)
    return conf


@contextlib.contextmanager
def running_stack(folder: Path, bundle: Path) -> Iterator[Stack]:
    """Run the stack with its files, logs and data in `folder`."""
    relay, metrics, site, secure, alive, prometheus = free_ports(6)
    write_certificate(folder)
    https = (DEPLOY / "nginx/listen-https.conf").read_text().replace("8443", f"127.0.0.1:{secure}")
    https = https[https.index("listen", 1) :]  # without the port of plain HTTP
    https = re.sub(r"if \(\$redirected\) \{[^}]*\}", "", https)  # both sites have all paths
    http = (DEPLOY / "nginx/listen-http.conf").read_text().replace("8080", f"127.0.0.1:{site}")
    listen = http + https.replace("/etc/nginx/tls", str(folder))
    conf = write_nginx(folder, relay_port=relay, alive_port=alive, listen=listen, bundle=bundle)
    (folder / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
    prometheus_conf = (DEPLOY / "prometheus/prometheus.yml").read_text().replace("relay:8788", f"127.0.0.1:{metrics}")
    prometheus_conf = prometheus_conf.replace("interval: 5s", f"interval: {SCRAPE_INTERVAL}")
    (folder / "prometheus.yml").write_text(prometheus_conf.replace("interval: 15s", "interval: 1s"))

    # If root starts nginx, its workers run as a user who cannot read the folders of tests.
    worker = "daemon off;" + (" user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "")
    commands = {
        "relay": [
            *(
                sys.executable,
                "-m",
                "streamxr.relay.cli",
                "serve",
                "--port",
                str(relay),
                "--metrics-port",
                str(metrics),
                "--trusted-proxy",
                "127.0.0.1",
            ),
            *("--origin", f"http://127.0.0.1:{site}", "--log-format", "json", "--drain-seconds", "0"),
        ],
        "nginx": [program("nginx"), "-e", str(folder / "error.log"), "-c", str(conf), "-g", worker],
        "prometheus": [
            *(program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"),
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ],
    }
    with contextlib.ExitStack() as running:
        processes = {name: running.enter_context(_process(command, folder)) for name, command in commands.items()}
        for name, address in {
            "relay": f"http://127.0.0.1:{relay}/readyz",
            "nginx": f"http://127.0.0.1:{alive}/alive",
            "prometheus": f"http://127.0.0.1:{prometheus}/-/ready",
        }.items():
            wait_for(address, processes[name], folder / f"{Path(processes[name].args[0]).name}.log")  # type: ignore[index]
        yield Stack(
            f"http://127.0.0.1:{site}",
            f"https://127.0.0.1:{secure}",
            f"http://127.0.0.1:{relay}",
            f"http://127.0.0.1:{prometheus}",
            folder / "fullchain.pem",
        )


def free_ports(count: int) -> list[int]:
    """Ports that no process listens on now."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


@contextlib.contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield process
    finally:
        stop(process)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers; AssertionError, with its log, if it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=PATIENCE_S):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, f"{address} does not answer: {log.read_text(errors='replace')}"
        time.sleep(0.05)
