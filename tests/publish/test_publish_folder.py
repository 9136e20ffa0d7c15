"""`streamxr publish file:///folder`: the same as to S3, in a folder of a web server."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_bundle import make_bundle, read_whole
from streamxr.pipeline.publish.errors import ConflictError, OtherBytesError, PublishError
from streamxr.pipeline.publish.folder import FolderStore
from streamxr.pipeline.publish.history import roll_back
from streamxr.pipeline.publish.local import LocalBundle
from streamxr.pipeline.publish.prune import prune
from streamxr.pipeline.publish.publish import publish

STREAMXR = str(Path(sys.executable).with_name("streamxr"))


@pytest.fixture
def www(tmp_path: Path) -> Path:
    return tmp_path / "www"


def assets_of(folder: Path) -> list[str]:
    """The assets that a reader of the folder finds whole."""
    return sorted(read_whole(lambda key: (folder / key).read_bytes()))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [STREAMXR, "publish", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_a_folder_gets_a_whole_bundle_and_compressed_scripts_beside_it(bundle: Path, www: Path) -> None:
    (bundle / "viewer/streamxr.js.br").write_bytes(b"compressed")
    publish(bundle, FolderStore(www))
    assert assets_of(www) == ["chair", "table"]
    assert (www / "viewer/streamxr.js.br").read_bytes() == b"compressed"
    assert not [path for path in www.rglob("*") if path.name.startswith(".")]


def test_a_web_server_may_read_the_files(bundle: Path, www: Path) -> None:
    before = os.umask(0o022)
    try:
        publish(bundle, FolderStore(www))
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in www.rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_an_unchanged_bundle_changes_no_file(bundle: Path, www: Path) -> None:
    publish(bundle, FolderStore(www))
    before = {path: path.stat().st_mtime_ns for path in www.rglob("*")}
    assert publish(bundle, FolderStore(www)).plan.nothing_to_do
    assert {path: path.stat().st_mtime_ns for path in www.rglob("*")} == before


def test_rollback_and_prune_work_in_a_folder(bundle: Path, www: Path) -> None:
    store = FolderStore(www)
    first = publish(bundle, store).catalogue
    make_bundle(bundle, {"lamp": 1})
    publish(bundle, store)
    assert assets_of(www) == ["lamp"]
    assert roll_back(store, 1, encoding="", jobs=2).hash == first
    assert assets_of(www) == ["chair", "table"]
    (www / "o/00").mkdir(exist_ok=True)
    (www / f"o/00/{'0' * 32}.glb").write_bytes(b"left over")
    later = datetime.now(UTC) + timedelta(days=2)
    result = prune(store, grace=timedelta(days=1), keep_newest=5, jobs=2, now=later)
    assert [file.key for file in result.files] == [f"o/00/{'0' * 32}.glb"]
    assert assets_of(www) == ["chair", "table"]


def test_a_file_with_other_bytes_is_an_error(bundle: Path, www: Path) -> None:
    uri = LocalBundle(bundle).assets()["chair"]["base"]["uri"]
    (www / uri).parent.mkdir(parents=True)
    (www / uri).write_bytes(b"a cuckoo")
    with pytest.raises(OtherBytesError, match=uri):
        publish(bundle, FolderStore(www))
    assert not (www / "bundle.json").exists()


def test_of_publishers_that_race_one_wins(tmp_path: Path, www: Path) -> None:
    roots = [make_bundle(tmp_path / name, {name: 1}) for name in ("anna", "ben", "cleo")]
    meet = threading.Barrier(len(roots))

    class Meeting(FolderStore):
        def swap(self, file, expected):  # type: ignore[no-untyped-def]
            if file.key == "bundle.json":
                meet.wait(60)
            return super().swap(file, expected)

    def run_one(root: Path) -> str:
        try:
            publish(root, Meeting(www))
        except ConflictError:
            return "told"
        return root.name

    with ThreadPoolExecutor(len(roots)) as threads:
        results = list(threads.map(run_one, roots))
    assert results.count("told") == 2
    assert assets_of(www) == [name for name in results if name != "told"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user without all rights")
def test_a_folder_that_may_not_be_written(bundle: Path, www: Path) -> None:
    www.mkdir(mode=0o500)
    with pytest.raises(PublishError, match="publish as a user who may write there"):
        publish(bundle, FolderStore(www))


def test_a_target_below_a_file_is_one_clear_line(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = run(f"file://{tmp_path}/file/www", bundle)
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_command_publishes_shows_and_rolls_back(bundle: Path, www: Path) -> None:
    target = f"file://{www}"
    assert run(target, bundle, "--diff").stdout.splitlines()[:2] == ["+ chair", "+ table"]
    assert run(target, bundle, "--dry-run").stdout.count("  o/") == 6
    assert not www.exists()
    first = json.loads(run(target, bundle, "--json").stdout)
    assert (first["state"], first["assets"]["added"], first["sent"]["files"]) == ("published", ["chair", "table"], 11)
    assert run(target, bundle).stdout == f"nothing changed: {www}\n"
    make_bundle(bundle, {"chair": 2})
    assert run(target, bundle, "--diff").stdout.splitlines()[:2] == ["~ chair", "- table"]
    assert run(target, bundle).returncode == 0
    listing = json.loads(run(target, "--list", "--json").stdout)
    assert [row["catalogue"] for row in listing["kept"]] == [first["catalogue"]]
    assert first["catalogue"] in run(target, "--rollback").stdout
    assert assets_of(www) == ["chair", "table"]
    assert "deleted 0 files" in run(target, "--prune").stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--precompressed", "br"], 1, "leave out --precompressed"),
        (["--list", "--prune"], 2, "exclude each other"),
        (["--rollback", "9"], 1, "0 earlier catalogues are kept"),
        (["--prune", "--grace", "soon"], 2, "'soon' is not a time"),
        (["--prune"], 1, "nothing is published here"),
        (["--region", "eu-west-1"], 1, "are for S3"),
    ],
)
def test_wrong_options_are_one_clear_error(bundle: Path, www: Path, options: list[str], code: int, words: str) -> None:
    done = run(f"file://{www}", bundle, *options)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_boto3_one_line_says_how_to_install_it(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/boto3.py").write_text("raise ImportError")
    done = subprocess.run(
        [STREAMXR, "publish", "s3://gallery", str(bundle)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "hidden")},
    )
    assert done.returncode == 1
    assert done.stderr == "Error: publishing to S3 needs the package boto3 (pip install 'streamxr[publish]')\n"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_publication_leaves_the_old_bundle(tmp_path: Path, www: Path, end: signal.Signals) -> None:
    publish(make_bundle(tmp_path / "old", {"old": 1}), FolderStore(www))
    root = make_bundle(tmp_path / "new", {"new": 1}, files=400)
    process = subprocess.Popen([STREAMXR, "publish", f"file://{www}", str(root), "--jobs", "1"], stderr=subprocess.PIPE)
    while len(list((www / "o").rglob("*.webp"))) < 20 and process.poll() is None:
        pass
    process.send_signal(end)
    _, messages = process.communicate(timeout=100)
    if process.returncode != 0:  # it may have ended before
        assert process.returncode == (130 if end == signal.SIGINT else -end)
        assert ("stopped; readers see a whole bundle" in messages.decode()) == (end == signal.SIGINT)
        assert assets_of(www) == ["old"]
    assert run(f"file://{www}", root).returncode == 0
    assert assets_of(www) == ["new"]
