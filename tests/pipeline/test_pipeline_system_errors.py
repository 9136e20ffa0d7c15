"""An error of the operating system costs one model at most; its message names the operation and the file."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gltf_maker as make
import pytest
from command import run
from streamxr.pipeline.asset_process import failure_of
from streamxr.pipeline.asset_report import AssetReport
from streamxr.pipeline.bundle.files import Bundle, BundleWriteError
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.events import Job
from streamxr.pipeline.jobs.limits import ModelLimits, ProcessStartError
from streamxr.pipeline.jobs.pool import Pool
from streamxr.pipeline.pictures import ktx2
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.workers import build_in_processes
from test_pipeline_workers import square, tokens_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and permissions as Linux has them")

CAPABILITIES = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root ignores permissions through them
PR_CAPBSET_DROP = 24


def obey_permissions() -> None:
    """Let permissions hold for the program that this process executes next, even if root runs the tests."""
    if os.geteuid() == 0:
        for capability in CAPABILITIES:
            assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0


@contextmanager
def open_files(count: int) -> Iterator[None]:
    """Allow this process no file descriptor from `count` on; those that it has open stay open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A sound model, and one whose picture is a file of its own."""
    folder = tmp_path / "src"
    folder.mkdir()
    make.save(make.skinned_strip(), folder, "ribbon")
    document, chunk = make.unpack(make.textured_sphere(8, 12).glb())
    document["buffers"] = [{"byteLength": len(chunk), "uri": "ball.bin"}]
    document["images"] = [{"uri": "Picture.png"}]
    (folder / "ball.bin").write_bytes(chunk)
    (folder / "Picture.png").write_bytes(make.png(make.noise(64)))
    (folder / "ball.gltf").write_text(json.dumps(document))
    return folder


def failure(source: Path, output: Path, *options: object) -> str:
    """The one line that a build prints for ball.gltf, while it builds the ribbon."""
    done = run("build", source, "-o", output, "--json", *options, before=obey_permissions)
    report = json.loads(done.stdout)
    assert [asset["asset"] for asset in report["assets"]] == ["ribbon"]
    (failed,) = report["failures"]
    assert failed["source"] == "ball.gltf"
    assert "Traceback" not in done.stderr
    text: str = failed["error"]
    return text


def test_an_unreadable_picture_is_named(source: Path, tmp_path: Path) -> None:
    (source / "Picture.png").chmod(0)
    assert failure(source, tmp_path / "build") == 'image 0: "Picture.png" cannot be read: Permission denied'


def test_a_picture_that_links_to_itself_is_named(source: Path, tmp_path: Path) -> None:
    (source / "Picture.png").unlink()
    (source / "Picture.png").symlink_to("Picture.png")
    assert failure(source, tmp_path / "build").startswith('image 0: "Picture.png" ')


def test_an_unreadable_model_is_an_error_of_reading(source: Path, tmp_path: Path) -> None:
    (source / "ball.gltf").chmod(0)
    assert failure(source, tmp_path / "build") == "cannot be read: Permission denied"


def test_a_material_library_with_an_impossible_name_is_an_error_of_reading(source: Path, tmp_path: Path) -> None:
    (source / "ball.gltf").unlink()
    (source / "ball.obj").write_text(f"mtllib ../{'a' * 300}.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    done = run("build", source, "-o", tmp_path / "build")
    assert "ball.obj: cannot read 'aaaaaaaaaaaa...aaaaaaaaa.mtl': File name too long" in done.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_node_is_named_and_what_to_install(source: Path, tmp_path: Path, jobs: int) -> None:
    try:
        _, package = ktx2.find_encoder()
    except ModelError:
        pytest.skip("there is no KTX2 encoder here: npm ci in viewer/ installs one")
    programs = tmp_path / "bin"
    programs.mkdir()
    node, npm = programs / "node", programs / "npm"
    node.write_bytes(b"\x7fELF, but damaged")
    npm.write_text(f"#!/bin/sh\necho {Path(package).parent}\n")
    node.chmod(0o755)
    npm.chmod(0o755)
    (source / "ribbon.glb").unlink()
    (source / "Picture.png").write_bytes(make.png(make.noise(256)))  # larger than pictures in the base, which are WebP
    options = ("--texture-format", "ktx2", "--jobs", jobs)
    done = run("build", source, "-o", tmp_path / "build", *options, environment={"PATH": str(programs)})
    assert f"ball.gltf: cannot run {node} for the KTX2 encoder: Exec format error (install Node.js" in done.stderr


def test_a_bundle_that_may_not_be_written_names_the_file_and_the_option(source: Path, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build").chmod(0o555)
    done = run("build", source, "-o", tmp_path / "build", before=obey_permissions)
    assert f"ball.gltf: cannot write {tmp_path}/build/o/" in done.stderr
    assert "Permission denied (make the folder writable, or build into another one with --output)" in done.stderr
    assert "Traceback" not in done.stderr


FULL_DISK = """
mount -t tmpfs -o size=256k none "$1" || exit 77
exec "$2" -c 'import pathlib, sys
from streamxr.pipeline.bundle.files import Bundle
Bundle(pathlib.Path(sys.argv[1])).put(bytes(1 << 20), "glb")' "$1"
"""


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    if not (unshare := shutil.which("unshare")):
        pytest.skip("mounts a small disk in a namespace of its own")
    command = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", tmp_path, sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"may not mount a small disk: {done.stderr}")
    last = done.stderr.splitlines()[-1]
    assert f"BundleWriteError: cannot write {tmp_path}/o/" in last
    assert "No space left on device (free space on its disk and build again)" in last


def test_a_catalogue_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").mkdir()
    with pytest.raises(BundleWriteError, match=r"cannot write .*/bundle\.json: Is a directory"):
        Bundle(tmp_path).write_catalogue("test", {})


def test_a_pool_that_gets_no_process_fails_and_gives_its_tokens_back() -> None:
    tokens, free = tokens_of(2)
    pool = Pool(tokens, 2)
    with open_files(3), pytest.raises(ProcessStartError, match="cannot start a process: Too many open files"):
        pool.start(square, [1, 2])
    other, _ = tokens_of(1)
    begun = Pool(other, 2).start(square, [1, 2])  # without a free token: its processes start later
    with open_files(3), pytest.raises(ProcessStartError, match="cannot start a process: Too many open files"):
        begun.results()
    assert (tokens.held, free()) == (1, 1)
    assert other.held == 1


def test_a_build_that_gets_no_process_says_so(source: Path, tmp_path: Path) -> None:
    job = Job(source / "ribbon.glb", "ribbon.glb", "ribbon")
    with open_files(3), pytest.raises(ProcessStartError, match="cannot start a process: Too many open files"):
        list(build_in_processes([job], tmp_path / "build", Settings(), 1))


def test_a_build_that_gets_too_few_processes_builds_fewer_models_at_a_time(source: Path, tmp_path: Path) -> None:
    jobs = [Job(source / name, name, name.partition(".")[0]) for name in ("ribbon.glb", "ball.gltf")]
    built = []
    with ExitStack() as limits:

        def listing() -> Iterator[Job]:  # the first process runs by now
            limits.enter_context(open_files(3))
            yield from jobs

        for event in build_in_processes(listing(), tmp_path / "build", Settings(), 2):
            if isinstance(event, AssetReport):
                limits.close()
                built.append(event.asset)
    assert built == ["ribbon", "ball"]


def test_an_error_that_nothing_expects_names_the_file_the_reason_and_the_stage(tmp_path: Path) -> None:
    error = OSError(errno.EIO, "Input/output error", "/somewhere/else")
    failed = failure_of(error, Job(tmp_path, "ball.glb", "ball"), ModelLimits(), "textures")
    assert failed.text == (
        'a file or system operation failed after the start of stage "textures": /somewhere/else: Input/output error '
        "(report it with the output of --verbose)"
    )
    assert "OSError" in failed.trace


def test_a_catalogue_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    catalogue = tmp_path / "bundle.json"
    catalogue.write_text("{}")
    catalogue.chmod(0)
    done = run("validate", tmp_path, before=obey_permissions)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"Error: {catalogue}: cannot be read: Permission denied")


def test_a_folder_that_may_not_be_searched_is_named(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir(mode=0o444)
    done = run("validate", tmp_path / "build", before=obey_permissions)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"Error: cannot use {tmp_path}/build/bundle.json: Permission denied")
