"""nginx as it is deployed: certificates and their renewal, addresses behind proxies, limits against floods."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nginx_site import NginxSite, nginx_site
from processes import PATIENCE_S
from stack import DEPLOY, write_certificate

PARTIAL = b"GET /bundle.json HTTP/1.1\r\nHost: xr.example\r\nX-Slow:"


def write_lineage(root: Path, number: int) -> Path:
    """Certificate `number` of xr.example as certbot keeps it: links from live/ to archive/. Returns its live folder."""
    archive, live = root / "archive/xr.example", root / "live/xr.example"
    for folder in (archive, live):
        folder.mkdir(parents=True, exist_ok=True)
    write_certificate(archive)
    for name in ("privkey", "fullchain"):
        (archive / f"{name}.pem").rename(archive / f"{name}{number}.pem")
        (live / f"{name}.pem").unlink(missing_ok=True)
        (live / f"{name}.pem").symlink_to(f"../../archive/xr.example/{name}{number}.pem")
    return live


def copy_renewed(lineage: Path, folder: Path) -> None:
    command = [str(DEPLOY / "nginx/renewed.sh"), str(folder), str(os.getuid())]
    subprocess.run(command, check=True, env=os.environ | {"RENEWED_LINEAGE": str(lineage)})


def der(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "fullchain.pem").read_text())


def test_a_certificate_of_certbot_is_served_and_its_renewal_needs_no_restart(tmp_path: Path) -> None:
    letsencrypt, tls = tmp_path / "letsencrypt", tmp_path / "tls"
    copy_renewed(write_lineage(letsencrypt, 1), tls)
    shutil.rmtree(letsencrypt / "archive")  # nothing in the mounted folder leads to outside of it
    with nginx_site(tmp_path, listen="https", tls=tls) as site:
        old = site.certificate()
        assert old == der(tls)
        copy_renewed(write_lineage(letsencrypt, 2), tls)
        assert der(tls) != old
        deadline = time.monotonic() + PATIENCE_S
        while site.certificate() != der(tls):
            assert time.monotonic() < deadline, (tmp_path / "nginx.log").read_text()
            time.sleep(0.05)
        assert site.process.poll() is None


def test_a_certificate_without_its_key_is_not_loaded_until_both_match(tmp_path: Path) -> None:
    tls, other = tmp_path / "tls", tmp_path / "other"
    tls.mkdir()
    other.mkdir()
    write_certificate(tls)
    write_certificate(other)
    log = tmp_path / "nginx.log"
    with nginx_site(tmp_path, listen="https", tls=tls) as site:
        old = site.certificate()
        shutil.copy(other / "fullchain.pem", tls)
        deadline = time.monotonic() + PATIENCE_S
        while "not reloaded" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert site.certificate() == old
        shutil.copy(other / "privkey.pem", tls)
        while site.certificate() == old:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert site.certificate() == der(other)


def test_plain_http_leads_to_https_but_for_challenges_of_the_certificate_authority(tmp_path: Path) -> None:
    challenge = tmp_path / "acme/.well-known/acme-challenge/token"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("proof")
    with nginx_site(tmp_path, listen="https") as site:
        answer = site.get("/room?x=1", Host="xr.example")
        assert (answer.status, answer.location) == (301, "https://xr.example/room?x=1")
        assert site.get("/ws/hall", Host="xr.example").status == 301
        assert site.get("/.well-known/acme-challenge/token").body == b"proof"
    with nginx_site(tmp_path) as site:
        assert site.get("/").status == 200
        assert site.get("/.well-known/acme-challenge/token").body == b"proof"


def test_without_proxies_no_header_changes_the_address_of_a_visitor(tmp_path: Path) -> None:
    with nginx_site(tmp_path) as site:
        assert site.address_of(X_Forwarded_For="192.0.2.7", CF_Connecting_IP="192.0.2.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "theirs", "header"),
    [
        ("tunnel", "172.30.87.20", "CF-Connecting-IP"),
        ("cloudflare", "173.245.48.0/20", "CF-Connecting-IP"),
        ("list", "10.0.0.0/8", "X-Forwarded-For"),
    ],
)
def test_behind_proxies_each_visitor_has_an_address_of_their_own(
    tmp_path: Path, proxies: str, theirs: str, header: str
) -> None:
    with nginx_site(tmp_path, proxies=proxies) as site:
        assert site.address_of(**{header: "192.0.2.7"}) == "127.0.0.1", "this machine is not among the proxies"
    with nginx_site(tmp_path, proxies=proxies, trusted=theirs) as site:
        for visitor in ("192.0.2.7", "192.0.2.8", "2001:db8::1"):
            assert site.address_of(**{header: visitor}) == visitor


def test_an_address_has_a_limit_of_requests_at_once(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/large.bin").write_bytes(bytes(64 << 20))
    with nginx_site(tmp_path, limit_conn="addresses 3") as site, contextlib.ExitStack() as stack:
        for _ in range(3):  # never read: more than all buffers of the sockets
            slow = stack.enter_context(site.open())
            slow.sendall(b"GET /large.bin HTTP/1.1\r\nHost: xr.example\r\n\r\n")
            assert slow.recv(12) == b"HTTP/1.1 200"
        assert site.get("/").status == 429


def test_partial_requests_end_and_keep_nobody_out(tmp_path: Path) -> None:
    with nginx_site(tmp_path, client_header_timeout="2s") as site, contextlib.ExitStack() as stack:
        partial = [stack.enter_context(site.open()) for _ in range(300)]
        for connection in partial:
            connection.sendall(PARTIAL)
        assert site.get("/").status == 200
        for connection in partial:
            assert ended(connection)
        assert site.get("/").status == 200


def ended(connection: socket.socket) -> bool:
    """Wait until the server has ended the connection, and return whether it did so without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


FLOOD = """
import resource, socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(sys.argv[3].encode())
    held.append(connection)
print("ready", flush=True)
sys.stdin.read()
"""
FLOOD_PROCESSES = 4


@pytest.mark.soak
def test_20_000_partial_requests_of_one_address_keep_nobody_out(tmp_path: Path) -> None:
    """With the deployed limits, and one worker, as on a machine of one core; or as many as may be open here."""
    import resource  # not on Windows

    count = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)
    with nginx_site(tmp_path, worker_processes="1") as site, contextlib.ExitStack() as stack:
        before = visit_s(site)
        command = [sys.executable, "-c", FLOOD, str(site.port), str(count // FLOOD_PROCESSES), PARTIAL.decode()]
        floods = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(FLOOD_PROCESSES)
        ]
        during = []
        for flood in floods:
            assert flood.stdout
            during.append(visit_s(site))
            assert flood.stdout.readline() == "ready\n"
            during.append(visit_s(site))
        print(f"a visit takes {before * 1e3:.1f} ms, beside {count:,} partial requests {max(during) * 1e3:.1f} ms")
        for flood in floods:
            assert flood.stdin
            flood.stdin.close()


def visit_s(site: NginxSite) -> float:
    """Seconds for one visit, which must succeed."""
    started = time.monotonic()
    assert site.get("/").status == 200
    return time.monotonic() - started
