"""A throw-away S3 server for tests and benchmarks: Ceph's object gateway over one storage daemon in memory.

Run as a program, it prints its address and stays until it is ended: python tests/publish/s3_server.py
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PATIENCE_S = 120.0
ACCESS_KEY, SECRET_KEY = "streamxr", "streamxr-test-secret"
MEMORY_BYTES = 2 << 30

CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{mon_port}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
keyring = {folder}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_crush_chooseleaf_type = 0
run_dir = {folder}
admin_socket = {folder}/$name.asok
log_file = {folder}/$name.log
pid_file = {folder}/$name.pid
[mon]
mon_data = {folder}/mon
mon_min_osdmap_epochs = 10
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = {memory}
[client.admin]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_data = {folder}
rgw_thread_pool_size = 32
"""


@dataclass(frozen=True)
class S3Server:
    """A running server. folder: its configuration and logs."""

    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which boto3 and other tools reach it, whatever the user has configured."""
        nothing = str(self.folder / "no-such-file")
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": nothing,
            "AWS_SHARED_CREDENTIALS_FILE": nothing,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def admin(self, *arguments: str) -> str:
        """Run radosgw-admin."""
        return _run(self.folder, "radosgw-admin", *arguments)


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with one user and no bucket; it is gone with all its data afterwards."""
    with tempfile.TemporaryDirectory(prefix="streamxr-s3-") as name, ExitStack() as daemons:
        folder = Path(name)
        port, mon_port, fsid = _free_port(), _free_port(), str(uuid.uuid4())
        text = CONFIGURATION.format(fsid=fsid, folder=folder, port=port, mon_port=mon_port, memory=MEMORY_BYTES)
        (folder / "ceph.conf").write_text(text)
        for each in ("mon", "osd"):
            (folder / each).mkdir()
        monmap = str(folder / "monmap")
        address = f"[v2:127.0.0.1:{mon_port}]"
        made = ("--create", "--fsid", fsid, "--set-min-mon-release", "16", "--addv", "a", address, monmap)
        _run(folder, "monmaptool", *made)
        _make_keys(folder)
        _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", str(folder / "keyring"))
        daemons.enter_context(_daemon(folder, "ceph-mon", "-i", "a"))
        osd = str(uuid.uuid4())
        _run(folder, "ceph", "osd", "new", osd, "0")
        _run(folder, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        _run(folder, "ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
        daemons.enter_context(_daemon(folder, "ceph-osd", "-i", "0"))
        daemons.enter_context(_daemon(folder, "radosgw", "-n", "client.admin"))
        server = S3Server(f"http://127.0.0.1:{port}", folder)
        _wait_for(server)
        keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        server.admin("user", "create", "--uid", "streamxr", "--display-name", "streamxr", *keys)
        yield server


def _make_keys(folder: Path) -> None:
    """A key for each daemon, in one file that all of them read."""
    keyring = str(folder / "keyring")
    _run(folder, "ceph-authtool", "--create-keyring", keyring)
    for name, services in (("mon.", ("mon",)), ("osd.0", ("mon", "osd")), ("client.admin", ("mon", "osd"))):
        rights = [word for service in services for word in ("--cap", service, "allow *")]
        _run(folder, "ceph-authtool", keyring, "--gen-key", "-n", name, *rights)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "CEPH_CONF": str(folder / "ceph.conf")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[None]:
    environment = {**os.environ, "CEPH_CONF": str(folder / "ceph.conf")}
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen([*command, "-f"], stdout=out, stderr=out, env=environment, cwd=folder)
        try:
            yield
        finally:
            process.kill()  # its data are in memory only
            process.wait()


def _wait_for(server: S3Server) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(server.url, timeout=10).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server does not answer: {(server.folder / 'radosgw.out').read_text()[-2000:]}")


if __name__ == "__main__":
    with s3_server() as running:
        print(running.url, flush=True)
        with suppress(KeyboardInterrupt):
            sys.stdin.read()
