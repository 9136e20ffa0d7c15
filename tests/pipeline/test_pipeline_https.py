"""`streamxr serve --https`: an authority for this machine alone, and a page and a relay behind its certificate."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import re
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gltf_maker as make
import httpx
import pytest
import websockets.sync.client
from builds import build_file
from command import STREAMXR
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from processes import PATIENCE_S, stop
from streamxr.pipeline.bundle.files import Bundle
from streamxr.pipeline.preview import authority
from streamxr.pipeline.preview.local_names import LocalNames, local_names

RELAY = str(Path(sys.executable).with_name("streamxr-relay"))
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "https"
    monkeypatch.setenv(authority.VARIABLE, str(place))
    return place


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    built = build_file(make.save(make.textured_sphere(12, 16), place, "ball"), place / "build")
    Bundle(built.root).write_site()
    return built.root


@dataclass(frozen=True)
class Preview:
    url: str
    page: str
    folder: Path

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "authority.crt")


@pytest.fixture(scope="module")
def relay() -> Iterator[str]:
    command = [RELAY, "serve", "--port", "0", "--metrics-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "://" in line or re.search(r":\d+", line))
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None, line
        yield f"ws://127.0.0.1:{found[1]}"
        process.terminate()


@pytest.fixture(scope="module")
def preview(bundle: Path, relay: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preview]:
    place = tmp_path_factory.mktemp("user") / "https"
    command = [STREAMXR, "serve", str(bundle), "--https", "--host", "127.0.0.1", "--quiet", "--relay", relay]
    process = subprocess.Popen(
        [*command, "--port", "0", "--http-port", "0"], stdout=subprocess.PIPE, env={"STREAMXR_HTTPS": str(place)}
    )
    assert process.stdout is not None
    url, line = (process.stdout.readline().decode().strip() for _ in range(2))
    yield Preview(url, line.split()[-1], place)
    stop(process)
    process.stdout.close()


def test_a_client_that_trusts_the_authority_reads_the_bundle(preview: Preview) -> None:
    with httpx.Client(verify=preview.trust) as client:
        assert client.get(preview.url).headers["content-type"].startswith("text/html")
        assert client.get(f"{preview.url}bundle.json").json()["format"] == "streamxr/bundle"
    with pytest.raises(httpx.ConnectError, match="certificate"), httpx.Client() as client:
        client.get(preview.url)


def test_the_page_on_plain_http_has_the_certificate_and_the_way_to_the_preview(preview: Preview) -> None:
    with httpx.Client(base_url=preview.page) as client:
        page = client.get("/").text
        for part in (preview.url, preview.page, "Quest", "Vision Pro", "iPhone", "Android", "data:image/png"):
            assert part in page
        assert authority.fingerprint((preview.folder / "authority.crt").read_bytes()) in page
        link = re.search(r'href="(/[^"]+crt)"', page)
        assert link is not None
        certificate = client.get(link[1])
        assert certificate.headers["content-type"] == "application/x-x509-ca-cert"
        assert certificate.content == (preview.folder / "authority.crt").read_bytes()
        assert "PRIVATE" not in certificate.text
        for elsewhere in ("/authority.key", "/server.key", "/../https/server.key", "/bundle.json"):
            assert client.get(elsewhere).headers["location"] == "/"


def test_keys_can_be_read_by_their_owner_only(preview: Preview) -> None:
    assert stat.S_IMODE(preview.folder.stat().st_mode) == 0o700
    for name in ("authority.key", "server.key"):
        assert stat.S_IMODE((preview.folder / name).stat().st_mode) == 0o600


def test_a_room_is_reached_through_the_page_s_own_origin(preview: Preview) -> None:
    address = preview.url.replace("https:", "wss:") + "relay/ws/lobby"
    origin = websockets.Origin(preview.url.rstrip("/"))
    options = {"subprotocols": [websockets.Subprotocol("streamxr.v1")], "ssl": preview.trust, "origin": origin}
    with websockets.sync.client.connect(address, **options) as client:  # type: ignore[arg-type]
        assert client.subprotocol == "streamxr.v1"
        client.send('{"type":"hello","v":1,"name":"Ada","color":"#ff8800"}')
        assert '"welcome"' in str(client.recv(PATIENCE_S))
        client.send("this is no JSON")
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in client:  # until the relay closes
                pass
        assert client.close_code is not None
        assert client.close_code >= 4000  # the relay's own code, with its reason
        assert client.close_reason


def test_without_a_relay_the_page_is_told(bundle: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        command = [STREAMXR, "serve", str(bundle), "--port", "0", "--quiet", "--relay", f"ws://127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        with pytest.raises(websockets.InvalidStatus) as refused:
            websockets.sync.client.connect(url.replace("http:", "ws:") + "relay/ws/lobby")
        assert refused.value.response.status_code == 403
        assert httpx.get(f"{url}bundle.json").status_code == 200
        stop(process)
        process.stdout.close()


def verifies(place: Path, name: str, certificate: x509.Certificate | None = None) -> bool:
    """Whether a client that trusts the authority accepts a certificate for a name: the server's, or another one."""
    trusted = x509.load_pem_x509_certificate((place / "authority.crt").read_bytes())
    leaf = certificate or x509.load_pem_x509_certificate((place / "server.crt").read_bytes())
    verifier = PolicyBuilder().store(Store([trusted])).time(datetime.datetime.now(datetime.UTC))
    try:
        verifier.build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize(("name", "accepted"), [("museum.example", False), ("printer.local", True)])
def test_a_stolen_authority_cannot_stand_for_public_names(folder: Path, name: str, accepted: bool) -> None:
    authority.credentials(local_names())
    key = load_pem_private_key((folder / "authority.key").read_bytes(), None)
    issuer = x509.load_pem_x509_certificate((folder / "authority.crt").read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    forged = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(forged.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert verifies(folder, name, certificate) == accepted


def test_the_certificate_is_kept_until_names_or_time_change(folder: Path) -> None:
    first = authority.credentials(local_names())
    kept = first.certificate.read_bytes()
    assert first.created
    assert verifies(folder, "localhost")
    again = authority.credentials(local_names())
    assert not again.created
    assert again.certificate.read_bytes() == kept
    named = authority.credentials(local_names(("studio.lan", "10.1.2.3")))
    assert named.certificate.read_bytes() != kept
    assert named.authority == first.authority
    assert verifies(folder, "studio.lan")
    later = authority.credentials(local_names(("studio.lan", "10.1.2.3")), NOW + datetime.timedelta(days=61))
    assert later.certificate.read_bytes() != named.certificate.name
    ends = x509.load_pem_x509_certificate(later.certificate.read_bytes()).not_valid_after_utc
    assert ends > NOW + datetime.timedelta(days=140)


def test_public_names_and_addresses_are_left_out(folder: Path) -> None:
    local = local_names(("museum.example", "8.8.8.8", "2001:4860::1", "studio.local", "bad name"))
    assert set(local.left_out) >= {"museum.example", "8.8.8.8", "2001:4860::1", "bad name"}
    authority.credentials(local)
    assert verifies(folder, "studio.local")


def test_a_machine_with_a_new_name_keeps_a_certificate_that_devices_accept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.credentials(local_names())
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    local = local_names()
    assert "renamed" in local.names
    authority.credentials(local)
    assert verifies(folder, "localhost")
    assert verifies(folder, "renamed.local")


def test_two_starts_at_once_make_one_authority(folder: Path) -> None:
    names = LocalNames(("localhost",), ())
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: authority.credentials(names), range(8)))
    assert len({each.authority for each in made}) == 1
    assert sum(each.created for each in made) == 1
    assert verifies(folder, "localhost")


@pytest.mark.parametrize("name", ["authority.crt", "authority.key", "server.crt", "server.key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_file_names_the_remedy(folder: Path, name: str, content: bytes) -> None:
    authority.credentials(local_names())
    (folder / name).write_bytes(content)
    with pytest.raises(authority.AuthorityError, match="https-forget"):
        authority.credentials(local_names())
    assert authority.forget()
    authority.credentials(local_names())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(authority.VARIABLE, str(tmp_path / "file" / "https"))
    with pytest.raises(authority.AuthorityError, match=str(tmp_path / "file")):
        authority.credentials(local_names())


def test_forgetting_removes_the_keys_and_says_how_devices_forget(folder: Path) -> None:
    authority.credentials(local_names())
    done = subprocess.run([STREAMXR, "serve", "--https-forget"], capture_output=True, text=True, check=True)
    assert not folder.exists()
    for device in ("iPhone", "Android", "Quest", "Windows", "macOS"):
        assert device in done.stdout
    again = subprocess.run([STREAMXR, "serve", "--https-forget"], capture_output=True, text=True, check=True)
    assert "there is no certificate authority" in again.stdout


def test_a_relay_that_is_no_address_is_refused(bundle: Path) -> None:
    done = subprocess.run(
        [STREAMXR, "serve", bundle, "--relay", "http://127.0.0.1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "ws://127.0.0.1:8787" in done.stderr


def test_plain_http_on_the_encrypted_port_is_no_hang(preview: Preview) -> None:
    host, port = preview.url.removeprefix("https://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    connection.request("GET", "/")
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()
