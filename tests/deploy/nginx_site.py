"""nginx with the files of deploy/nginx, before a relay that only says which address it was told."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import PATIENCE_S, stop
from stack import DEPLOY, free_ports, program, wait_for, write_certificate, write_nginx


@dataclass(frozen=True)
class Answer:
    status: int
    location: str | None
    body: bytes


@dataclass(frozen=True)
class NginxSite:
    port: int
    secure_port: int
    folder: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str, **headers: str) -> Answer:
        """The answer over plain HTTP; redirects are not followed. Underscores in names of headers become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheader("Location"), answer.read())

    def address_of(self, **headers: str) -> str:
        """The address of the visitor, as the relay gets it."""
        return self.get("/ws/hall", **headers).body.decode()

    def certificate(self) -> bytes:
        """The certificate that nginx sends, in DER."""
        context = ssl._create_unverified_context()  # any certificate is read here, the old and the new one
        with (
            socket.create_connection(("127.0.0.1", self.secure_port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="xr.example") as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)


class _Relay(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.headers.get("X-Forwarded-For", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def nginx_site(
    folder: Path,
    *,
    listen: str = "http",
    proxies: str = "none",
    trusted: str = "",
    tls: Path | None = None,
    **changed: str,
) -> Iterator[NginxSite]:
    """Run nginx by run.sh. `trusted`: the network of `proxies` that this machine shall be. `changed`: values of
    directives that replace those of nginx.conf."""
    site, secure, alive = free_ports(3)
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "index.html").write_text("<!doctype html>")
    if tls is None:
        tls = folder
        write_certificate(folder)
    ports = (DEPLOY / f"nginx/listen-{listen}.conf").read_text()
    ports = ports.replace("8080", f"127.0.0.1:{site}").replace("8443", f"127.0.0.1:{secure}")
    ports = ports.replace("/etc/nginx/tls", str(tls))
    believed = (DEPLOY / f"nginx/proxies-{proxies}.conf").read_text()
    if trusted:
        assert f"set_real_ip_from {trusted};" in believed
        believed = believed.replace(trusted, "127.0.0.1")
    relay = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Relay)
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    conf = write_nginx(
        folder, relay_port=relay.server_port, alive_port=alive, listen=ports, bundle=bundle, proxies=believed
    )
    text = conf.read_text()
    for name, value in changed.items():
        text, count = re.subn(rf"^(\s*){name} [^;]*;", rf"\g<1>{name} {value};", text, flags=re.MULTILINE)
        assert count == 1, name
    # If root starts nginx, its workers run as a user who cannot read the folders of tests.
    user = "user root;\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    conf.write_text(user + text)
    log = folder / "nginx.log"
    environment = os.environ | {"PATH": f"{Path(program('nginx')).parent}{os.pathsep}{os.environ['PATH']}"}
    try:
        with log.open("wb") as output:
            command = ["/bin/sh", str(DEPLOY / "nginx/run.sh"), str(conf), str(tls), "0.2"]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{alive}/alive", process, log)
            yield NginxSite(site, secure, folder, process)
        finally:
            stop(process)
    finally:
        relay.shutdown()
        relay.server_close()
