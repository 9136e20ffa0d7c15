"""A publisher that is killed at any moment, while a reader checks every state that it sees."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from made_bundle import make_bundle, read_whole
from published import read_from
from s3_server import S3Server
from streamxr.pipeline.publish.publish import publish
from streamxr.pipeline.publish.s3 import S3Store

STREAMXR = str(Path(sys.executable).with_name("streamxr"))
FILES = 60


class Reader:
    """Reads the published bundle again and again, whole. states: the assets that it found, without repeats."""

    def __init__(self, store: S3Store) -> None:
        self.states: list[tuple[str, ...]] = []
        self.reads = 0
        self.faults: list[BaseException] = []
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                found = tuple(sorted(read_whole(lambda key: read_from(self._store, key))))
                self.reads += 1
                if self.states[-1:] != [found]:
                    self.states.append(found)
        except BaseException as error:
            self.faults.append(error)


def kill_publishers(root: Path, server: S3Server, store: S3Store, kills: int, seed: int) -> Reader:
    """Publish bundles in turn; kill each publisher at a random moment, then let it finish."""
    moments = random.Random(seed)
    publish(make_bundle(root / "0", {"asset0": 1}), store)
    # The first bundle has the time of a whole publication.
    started = time.monotonic()
    finish(make_bundle(root / "1", {"asset1": 1}, files=FILES), server)
    whole_s = time.monotonic() - started
    hits = 0
    with Reader(store) as reader:
        for number in range(2, kills + 2):
            bundle = make_bundle(root / str(number), {f"asset{number}": 1}, files=FILES)
            process = start(bundle, server)
            time.sleep(moments.uniform(0.2, 1.0) * whole_s)
            process.send_signal(signal.SIGKILL)
            hits += process.wait() == -signal.SIGKILL
            finish(bundle, server)
            published = read_whole(lambda key: read_from(store, key))
            assert list(published) == [f"asset{number}"]
    assert hits > 0  # others had ended before
    return reader


def start(bundle: Path, server: S3Server) -> subprocess.Popen[bytes]:
    command = [STREAMXR, "publish", "s3://gallery/show", str(bundle), "--endpoint-url", server.url, "--jobs", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))


def finish(bundle: Path, server: S3Server) -> None:
    process = start(bundle, server)
    assert process.wait(100) == 0


def check(reader: Reader, kills: int) -> None:
    assert reader.faults == []
    assert reader.reads > kills
    # It saw whole bundles only, and none of an earlier publication after a later one.
    numbers = [int(assets[0].removeprefix("asset")) for assets in reader.states]
    assert all(len(assets) == 1 for assets in reader.states)
    assert numbers == sorted(set(numbers))


def test_a_reader_sees_whole_bundles_while_publishers_are_killed(
    tmp_path: Path, server: S3Server, store: S3Store
) -> None:
    check(kill_publishers(tmp_path, server, store, 3, seed=1), 3)


@pytest.mark.soak
def test_a_reader_sees_whole_bundles_through_twenty_kills(tmp_path: Path, server: S3Server, store: S3Store) -> None:
    check(kill_publishers(tmp_path, server, store, 20, seed=2), 20)
