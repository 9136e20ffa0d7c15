"""`make release`: build the wheel and the npm package into .cache/release/, and check both in empty environments.

The wheel is installed with its extras into a new virtual environment, at the versions of requirements.lock, and builds
and serves a model from there. The npm package is installed into an empty folder, where a program imports it and
type-checks against it. CONTRIBUTING.md lists the steps of a release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEWER = ROOT / "viewer"
RELEASE = ROOT / ".cache" / "release"
READY_SECONDS = 60
# A pyramid with a square base, in metres.
MODEL = """\
v 0 0 0\nv 1 0 0\nv 1 0 1\nv 0 0 1\nv 0.5 1 0.5
f 1 2 3 4\nf 2 1 5\nf 3 2 5\nf 4 3 5\nf 1 4 5
"""
NPM_FIELDS = ("name", "version", "description", "license", "type", "exports", "files", "engines", "peerDependencies")


def main() -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    run(sys.executable, "scripts/version.py")
    shutil.rmtree(RELEASE, ignore_errors=True)
    RELEASE.mkdir(parents=True)
    step("building the wheel")
    wheel = build_wheel(RELEASE)
    run(sys.executable, "-m", "pytest", "-q", "tests/pipeline/test_pipeline_wheel.py", f"--wheel={wheel}")
    step("building the npm package")
    package = build_package(RELEASE)
    with tempfile.TemporaryDirectory(prefix="streamxr-release-") as folder:
        check_wheel(wheel, version, Path(folder, "python"))
        check_package(package, Path(folder, "node"))
    step(f"{version} is ready in {RELEASE.relative_to(ROOT)}:")
    for file in sorted(RELEASE.iterdir()):
        print(f"  {file.name}  {file.stat().st_size / 1e6:.2f} MB")
    if f"## {version}" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        print(f"CHANGELOG.md has no section {version} yet: it needs one before the tag")
    return 0


def build_wheel(folder: Path) -> Path:
    # setuptools keeps files here that the tree has no more, and would put them into the wheel.
    shutil.rmtree(ROOT / ".cache" / "wheel", ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    return wheel


def build_package(folder: Path) -> Path:
    """Pack the built viewer with licence and description. The tree's own package.json is private, so that it cannot be
    published by accident and without these files."""
    with tempfile.TemporaryDirectory(prefix="streamxr-npm-") as staging:
        content = json.loads((VIEWER / "package.json").read_text("utf-8"))
        chosen = {field: content[field] for field in NPM_FIELDS}
        Path(staging, "package.json").write_text(json.dumps(chosen, indent=2) + "\n", "utf-8")
        shutil.copy(ROOT / "LICENSE", staging)
        # Links into the repository lead nowhere in the package.
        readme = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", (ROOT / "docs" / "web.md").read_text("utf-8"))
        Path(staging, "README.md").write_text(readme, "utf-8")
        shutil.copytree(VIEWER / "dist", Path(staging, "dist"))
        run("npm", "pack", "--silent", "--pack-destination", str(folder), cwd=Path(staging))
    (package,) = folder.glob("*.tgz")
    return package


def check_wheel(wheel: Path, version: str, folder: Path) -> None:
    """Install the wheel into a new virtual environment, and build, check and serve a model with it."""
    step("installing the wheel into an empty environment")
    folder.mkdir()
    run(sys.executable, "-m", "venv", str(folder / "venv"))
    bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = (str(bin_folder / "python"), "-m", "pip", "--disable-pip-version-check")
    locked = re.findall(
        r"^[\w.\-\[\]]+==[^\s\\]+(?: ; [^\\\n]+)?", (ROOT / "requirements.lock").read_text("utf-8"), re.M
    )
    (folder / "constraints.txt").write_text("\n".join(locked), "utf-8")
    run(*pip, "install", "-q", "-c", str(folder / "constraints.txt"), f"{wheel}[pipeline,publish,relay]", cwd=folder)
    run(*pip, "check", cwd=folder)

    step("building and serving a model with the wheel")
    (folder / "models").mkdir()
    (folder / "models" / "pyramid.obj").write_text(MODEL, "utf-8")
    # Without the caches and settings of this user, and without this checkout.
    own = ("NUMBA_", "PYTHON", "STREAMXR_", "VIRTUAL_ENV", "XDG_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    clean |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    streamxr, relay = str(bin_folder / "streamxr"), str(bin_folder / "streamxr-relay")
    for command in (streamxr, relay):
        answer = run(command, "--version", cwd=folder, env=clean)
        expect(answer.strip().endswith(f"version {version}"), f"{command} --version answers {answer!r}")
    run(streamxr, "build", "models", "--output", "build", cwd=folder, env=clean)
    run(streamxr, "validate", "build", cwd=folder, env=clean)
    with serving((streamxr, "serve", "build", "--port", "0", "--quiet"), folder, clean) as address:
        page = fetch(address)
        expect("<!doctype html>" in page.lower(), "streamxr serve does not send the page at /")
        expect("pyramid" in json.loads(fetch(f"{address}bundle.json"))["assets"], "the catalogue has no asset pyramid")
        for script in re.findall(r"""(?:src|href)=["']?(viewer/[\w./-]+)""", page):
            expect(len(fetch(address + script)) > 0, f"the page needs {script}, which is empty")
    with serving((relay, "serve", "--port", "0"), folder, clean) as address:
        expect(len(fetch(f"{address}healthz")) > 0, "the relay does not answer at /healthz")


def check_package(package: Path, folder: Path) -> None:
    """Install the npm package into an empty folder, import it there, and compile a program that uses it."""
    step("installing the npm package into an empty folder")
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    locked = json.loads((VIEWER / "package-lock.json").read_text("utf-8"))["packages"]
    peers = [f"{name}@{locked[f'node_modules/{name}']['version']}" for name in ("three", "@types/three", "typescript")]
    run("npm", "install", "--silent", "--no-audit", "--no-fund", str(package), *peers, cwd=folder)
    (folder / "check.mjs").write_text(
        """\
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
const { StreamXR, joinRoom } = await import("streamxr-viewer");
if (typeof StreamXR !== "function" || typeof joinRoom !== "function") throw new Error("an export is missing");
const element = fileURLToPath(import.meta.resolve("streamxr-viewer/element")); // needs a browser to run
if (!readFileSync(element, "utf8").includes("streamxr-viewer")) throw new Error("the element is missing");
if (!existsSync("node_modules/streamxr-viewer/LICENSE")) throw new Error("the licence is missing");
""",
        "utf-8",
    )
    run("node", "check.mjs", cwd=folder)
    shutil.copy(VIEWER / "examples" / "module.ts", folder / "main.ts")
    options = ("--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "--strict", "--noEmit")
    run("npx", "--no-install", "tsc", *options, "--types", "three", "main.ts", cwd=folder)


@contextmanager
def serving(command: tuple[str, ...], folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run a server and yield the address that it prints."""
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"(?:http|ws)://([\w.]+:\d+)/", line)
        expect(found is not None, f"{command[0]} printed no address: {line!r}")
        yield f"http://{found[1]}/" if found else ""
    finally:
        process.terminate()
        process.communicate(timeout=READY_SECONDS)


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=READY_SECONDS) as response:
        text: str = response.read().decode("utf-8", "replace")
    return text


def run(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output; end the release with the output if it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise SystemExit(f"make release: failed: {' '.join(command)}")
    return done.stdout


def expect(holds: bool, complaint: str) -> None:
    if not holds:
        raise SystemExit(f"make release: {complaint}")


def step(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
