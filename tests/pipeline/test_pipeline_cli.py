"""`streamxr` as an artist runs it: in real processes, on sound and broken models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gltf_maker as make
import pytest
from command import STREAMXR, alive, descendants, run, worker_processes
from gltf_features import bit_of_everything


def files_of(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    make.save(make.textured_sphere(40, 60), folder, "Good Ball")
    make.save(make.skinned_strip(), folder, "ribbon")
    return folder


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        (["colour=512"], "'colour' is not a picture role: use one of color, normal, data"),
        (["normal=tall"], "'tall' is not a texture size: use pixels from 16 to 8192"),
        (["9000"], "'9000' is not a texture size"),
        (["8"], "'8' is not a texture size"),
        (["data="], "'' is not a texture size"),
        (["512", "256"], "is given twice without a role"),
        (["data=512", "64", "data=512"], "is given twice for data"),
    ],
)
def test_a_wrong_texture_size_is_refused(source: Path, sizes: list[str], problem: str) -> None:
    done = run("build", source, *(word for size in sizes for word in ("--max-texture", size)))
    assert done.returncode == 2
    assert problem in done.stderr


def test_a_texture_size_for_one_role_wins_over_the_one_for_all_roles(source: Path, tmp_path: Path) -> None:
    (source / "ribbon.glb").unlink()
    sizes = ("--max-texture", "normal=64", "--max-texture", "128")
    done = run("build", source, "-o", tmp_path / "build", *sizes)
    assert done.returncode == 0, done.stderr
    (manifest,) = (tmp_path / "build").glob("a/*/manifest-*.json")
    settings = json.loads(manifest.read_text())["settings"]
    assert [settings[f"max_{role}_pixels"] for role in ("color", "normal", "data")] == [128, 64, 128]


def with_external_files(folder: Path) -> Path:
    """Save a .gltf whose buffer and picture are files of their own."""
    document, chunk = make.unpack(make.textured_sphere(8, 12).glb())
    document["buffers"] = [{"byteLength": len(chunk), "uri": "sphere%20data.bin"}]
    document["images"] = [{"uri": "Picture.png"}]
    (folder / "sphere data.bin").write_bytes(chunk)
    (folder / "Picture.png").write_bytes(make.png(make.noise(64)))
    path = folder / "external.gltf"
    path.write_text(json.dumps(document))
    return path


def test_a_folder_becomes_a_valid_bundle(source: Path, tmp_path: Path) -> None:
    with_external_files(source)
    done = run("build", source, "-o", tmp_path / "build")
    assert done.returncode == 0, done.stderr
    catalogue = json.loads((tmp_path / "build/bundle.json").read_text())
    assert list(catalogue["assets"]) == ["external", "good-ball", "ribbon"]
    assert "tier 1" in done.stdout
    checked = run("validate", tmp_path / "build")
    assert (checked.returncode, checked.stdout.split(":")[0]) == (0, "valid")


def test_a_broken_model_keeps_its_last_version_and_the_others_are_built(source: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    with_external_files(source)
    assert run("build", source, "-o", build).returncode == 0
    before = json.loads((build / "bundle.json").read_text())["assets"]

    ball = source / "Good Ball.glb"
    ball.write_bytes(ball.read_bytes()[:5000])
    (source / "Picture.png").unlink()
    (source / "letter.glb").write_text("Dear artist,\n")
    make.save(make.morphing_quad(), source, "face")
    done = run("build", source, "-o", build)

    assert done.returncode == 1
    assert "Good Ball.glb: the header declares" in done.stderr
    assert 'external.gltf: image 0: "Picture.png" is missing' in done.stderr
    assert "letter.glb: this is not a GLB file" in done.stderr
    assert "Traceback" not in done.stderr
    after = json.loads((build / "bundle.json").read_text())["assets"]
    assert list(after) == ["external", "face", "good-ball", "ribbon"]
    assert {name: after[name] for name in before} == before
    assert run("validate", build).returncode == 0


def test_the_json_report_lists_assets_tiers_and_failures(source: Path, tmp_path: Path) -> None:
    (source / "letter.glb").write_text("Dear artist,\n")
    done = run("build", source, "-o", tmp_path / "build", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(a["asset"], a["state"]) for a in report["assets"]] == [("good-ball", "built"), ("ribbon", "built")]
    assert [f["source"] for f in report["failures"]] == ["letter.glb"]
    ball = report["assets"][0]
    assert [t["tier"] for t in ball["tiers"]][:2] == ["base", "tier 1"]
    assert ball["bytes"] == sum(t["bytes"] for t in ball["tiers"])


def test_a_second_build_changes_no_file(source: Path, tmp_path: Path) -> None:
    run("build", source, "-o", tmp_path / "build")
    before = files_of(tmp_path / "build")
    done = run("build", source, "-o", tmp_path / "build")
    assert "0 built, 2 up to date" in done.stderr
    assert files_of(tmp_path / "build") == before


@pytest.mark.parametrize("change", ["source", "setting", "missing file"])
def test_a_model_is_built_again_after_a_change(source: Path, tmp_path: Path, change: str) -> None:
    build = tmp_path / "build"
    run("build", source, "-o", build)
    options = []
    if change == "source":
        make.save(make.textured_sphere(40, 60, seed=9), source, "Good Ball")
    elif change == "setting":
        options = ["--base-triangles", "700"]
    else:
        manifest = json.loads((build / "bundle.json").read_text())["assets"]["good-ball"]["manifest"]["uri"]
        refinement = json.loads((build / manifest).read_text())["trees"][0]["regions"][0]["refinement"]["uri"]
        (build / refinement).unlink()
    done = run("build", source, "-o", build, *options)
    assert f"{2 if change == 'setting' else 1} built" in done.stderr
    assert run("validate", build).returncode == 0


def test_jobs_hash_seed_locale_and_thread_counts_do_not_change_a_byte(source: Path, tmp_path: Path) -> None:
    make.save(make.textured_sphere(90, 120), source, "large")
    make.save(bit_of_everything(), source, "everything")
    shape = make.textured_sphere(50, 60, two_materials=False)
    shape.json["nodes"] += [{"mesh": 0, "translation": [3, 0, 0]}, {"mesh": 0, "scale": [1, 2, -1]}]
    shape.json["scenes"][0]["nodes"] += [1, 2]
    make.save(shape, source, "shared mesh")
    with_external_files(source)
    bundles = []
    for jobs, environment in (
        (1, {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"}),
        (2, {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Kathmandu"}),
        (3, {"PYTHONHASHSEED": "99", "OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "5"}),
    ):
        build = tmp_path / f"j{jobs}"
        options = ("--jobs", jobs, "--leaf-triangles", 2500)
        done = run("build", source, "-o", build, *options, environment=environment)
        assert done.returncode == 0, done.stderr
        bundles.append(files_of(build))
    assert len(bundles[0]) > 30
    assert bundles[0] == bundles[1] == bundles[2]


def test_two_models_with_the_same_asset_name_are_both_named(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / "ribbon.glb", source / "Ribbon!.glb")
    done = run("build", source, "-o", tmp_path / "build")
    assert done.returncode == 1
    assert 'ribbon.glb: has the same asset name "ribbon" as Ribbon!.glb' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["build", "nowhere"], "nowhere does not exist"),
        (["build", "empty"], "there is no model in empty"),
        (["build", "note.txt"], "note.txt is not a .glb, .gltf, .obj, .ply, .stl, .off or .3mf file"),
        (["validate", "empty"], "is not a bundle"),
        (["serve", "empty"], "is not a bundle"),
    ],
)
def test_a_wrong_path_is_reported_in_one_line(tmp_path: Path, arguments: list[str], problem: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("hello")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert problem in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("end", "delay"), [(signal.SIGINT, 2.5), (signal.SIGTERM, 0.3), (signal.SIGKILL, 1.0)], ids=lambda v: str(v)
)
def test_an_interrupted_build_leaves_the_old_bundle_and_no_process(
    source: Path, tmp_path: Path, end: signal.Signals, delay: float
) -> None:
    build = tmp_path / "build"
    run("build", source, "-o", build)
    before = (build / "bundle.json").read_bytes()
    make.save(make.textured_sphere(700, 900), source, "large")
    process = subprocess.Popen(
        [STREAMXR, "build", str(source), "-o", str(build), "--jobs", "2", "--leaf-triangles", "2000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (workers := descendants(process.pid)):
        time.sleep(0.05)
    time.sleep(delay)
    workers = descendants(process.pid) or workers
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does
    else:
        os.kill(process.pid, end)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == (-end if end == signal.SIGKILL else 130)
    assert "stopped" in messages or end == signal.SIGKILL
    assert "Traceback" not in messages
    assert (build / "bundle.json").read_bytes() == before
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if alive(pid)] == []
    (source / "large.glb").unlink()
    assert run("build", source, "-o", build).returncode == 0
    assert list(build.glob(".writing-*")) == []
    assert run("validate", build).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_file_that_cannot_be_written_whole_leaves_the_old_bundle(source: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    run("build", source, "-o", build)
    before = files_of(build)
    make.save(make.textured_sphere(40, 60, seed=9), source, "Good Ball")

    def small_files() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = run("build", source, "-o", build, before=small_files)
    assert done.returncode == 1
    assert f"Good Ball.glb: cannot write {build}/o/" in done.stderr
    assert (
        "File too large (its file system, or this shell's ulimit -f, does not allow files of this size)" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert files_of(build)["bundle.json"] == before["bundle.json"]
    assert list(build.glob(".writing-*")) == []
    assert run("validate", build).returncode == 0


@pytest.mark.parametrize("option", [("--memory", "12"), ("--memory", "100M"), ("--timeout", "0"), ("--timeout", "no")])
def test_an_impossible_limit_is_refused(source: Path, option: tuple[str, str]) -> None:
    done = run("build", source, *option)
    assert done.returncode == 2
    assert f"Invalid value for '{option[0]}'" in done.stderr


def test_a_killed_process_fails_its_model_and_the_others_are_built(source: Path, tmp_path: Path) -> None:
    make.save(make.textured_sphere(300, 400), source, "A large one")
    command = [STREAMXR, "build", str(source), "-o", str(tmp_path / "build"), "--jobs", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    # With one job, the only asset process has the first model.
    while not (workers := worker_processes(process.pid)):
        time.sleep(0.02)
    os.kill(workers[0], signal.SIGKILL)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "A large one.glb: the build of this model was killed by SIGKILL" in messages
    assert list(json.loads((tmp_path / "build/bundle.json").read_text())["assets"]) == ["good-ball", "ribbon"]
