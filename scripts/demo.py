"""`make demo`: serve page, relay and simulated people at once, and stream each sample once it is built.

While the samples are made, the loops of the pipeline are compiled. The page watches the bundle and shows each model
when its build is done. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from streamxr.pipeline import version
from streamxr.pipeline.bundle.files import CATALOGUE, Bundle
from streamxr.pipeline.mesh import code_cache

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SOURCES = ROOT / "models" / "src"
BUNDLE = ROOT / "build"
LOGS = ROOT / ".cache"
READY_SECONDS = 30
ROOM = "lobby"
FIRST = "lantern"  # the sample that is made and built fastest; it also fits a hand, so that people throw it
# Each row is made once the row before it is made, so that the first models do not wait for later ones.
STAGES = ((FIRST,), ("koi", "sculpture"), ("bicycle",))


class StoppedError(Exception):
    """The demo ends: Ctrl-C, or a process that failed. `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Processes:
    """The demo's processes, each in a session of its own, so that Ctrl-C reaches them once and in order."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str | Path) -> None:
        """Start a process whose output goes to a log."""
        with self.log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*map(str, command)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def log(self, name: str) -> Path:
        return LOGS / f"demo-{name}.log"

    def is_running(self, name: str) -> bool:
        """Whether a process still runs. Raises StoppedError if it failed, after its log is printed."""
        process = self._running.get(name)
        if process is None:
            return False
        code = process.poll()
        if code:
            print(f"{name} ended with code {code}:", file=sys.stderr)
            print(self.log(name).read_text(errors="replace").strip()[-4000:], file=sys.stderr)
            raise StoppedError(1)
        return code is None

    def end(self) -> None:
        """End all processes and their children, the simulated people before the relay, which waits for them."""
        for process in reversed(self._running.values()):
            self._signal(process, signal.SIGTERM)
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            self._signal(process, signal.SIGKILL)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


class Clock:
    """Lines on standard output with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", help="default: 127.0.0.1, with --https 0.0.0.0, which lets other devices in")
    parser.add_argument("--port", type=int, help="default: 8080, with --https 8443")
    parser.add_argument("--https", action="store_true", help="encrypt, so that headsets and phones may start VR and AR")
    parser.add_argument("--http-port", type=int, default=8080, help="with --https: the page about its certificate")
    parser.add_argument("--relay-port", type=int, default=8787)
    parser.add_argument("--company", type=int, default=8, help="simulated people in the room; 0: nobody")
    options = parser.parse_args()
    options.host = options.host or ("0.0.0.0" if options.https else "127.0.0.1")
    options.port = options.port or (8443 if options.https else 8080)

    def stop(*_: object) -> None:
        raise StoppedError(0)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    LOGS.mkdir(exist_ok=True)
    processes, clock = Processes(), Clock()
    try:
        serve(options, processes, clock)
        build_samples(processes, clock)
        while processes.is_running("viewer") and processes.is_running("relay"):
            time.sleep(0.2)
        print("a server ended", file=sys.stderr)
        return 1
    except StoppedError as stopped:
        if stopped.code == 0:
            print("\nstopping", flush=True)
        return stopped.code
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        processes.end()


def serve(options: argparse.Namespace, processes: Processes, clock: Clock) -> None:
    """Start the servers on a bundle that may still be empty, and print the address when they answer."""
    host, port, relay_port = options.host, options.port, options.relay_port
    if not (BUNDLE / CATALOGUE).exists():
        bundle = Bundle(BUNDLE)
        bundle.write_site()
        bundle.write_catalogue(f"streamxr {version()}", {})
    local = "127.0.0.1" if host == "0.0.0.0" else host
    view: list[str | Path] = [BIN / "streamxr", "serve", BUNDLE, "--host", host, "--port", str(port), "--quiet"]
    if options.https:  # the page reaches the relay through its own server, and so by its certificate
        view += ["--https", "--http-port", str(options.http_port), "--relay", f"ws://127.0.0.1:{relay_port}"]
    processes.start("viewer", *view)
    relay_host = "127.0.0.1" if options.https else host
    relay: list[str | Path] = [BIN / "streamxr-relay", "serve", "--host", relay_host, "--port", str(relay_port)]
    processes.start("relay", *relay, *(["--trusted-proxy", "127.0.0.1"] if options.https else []))
    if options.company:
        address = f"ws://{'127.0.0.1' if options.https else local}:{relay_port}"  # tried again until the relay is up
        command: list[str | Path] = [BIN / "streamxr-relay", "simulate", address, "--room", ROOM, "--asset", FIRST]
        processes.start("company", *command, "--participants", str(options.company))
    # With --https the page about the certificate answers as soon as the preview does.
    page = f"http://{local}:{options.http_port if options.https else port}/"
    waiting = {"viewer": page, "relay": f"http://{relay_host}:{relay_port}/healthz"}
    limit = time.monotonic() + READY_SECONDS
    while waiting:
        for name in list(waiting):
            if not processes.is_running(name) or time.monotonic() > limit:
                print(f"the {name} did not start:", file=sys.stderr)
                print(processes.log(name).read_text(errors="replace").strip(), file=sys.stderr)
                raise StoppedError(1)
            with contextlib.suppress(OSError), urllib.request.urlopen(waiting[name], timeout=1):
                del waiting[name]
        time.sleep(0.05)
    if options.https:
        address, trust = processes.log("viewer").read_text(errors="replace").splitlines()[:2]
        clock.say(f"serving:\n\n  {address}?room={ROOM}&relay=/relay&watch=1\n\n{trust}\n")
    else:
        shown = "localhost" if local == "127.0.0.1" else local
        clock.say(f"serving:\n\n  http://{shown}:{port}/?room={ROOM}&relay=:{relay_port}&watch=1\n")
    print("Open it in two windows to see each other; h shows what streams. Ctrl-C stops.\n", flush=True)


def build_samples(processes: Processes, clock: Clock) -> None:
    """Make the samples beside compiling the loops, and build them as they come. Models of the user's are built too."""
    make: list[str | Path] = [sys.executable, ROOT / "models" / "make_samples.py"]
    if not all((SOURCES / f"{name}.glb").exists() for stage in STAGES for name in stage):
        clock.say("making the sample models: about 45 s of processor time, once")
    waiting = list(STAGES)
    processes.start("samples", *make, *waiting.pop(0))
    if not code_cache.is_ready():
        clock.say("compiling the mesh loops: about 30 s of processor time, once for each version")
        processes.start("compiler", sys.executable, "-m", "streamxr.pipeline.warm_up")
        processes.start("compiler-from-end", sys.executable, "-m", "streamxr.pipeline.warm_up", "--from-end")
    built: dict[Path, int] = {}
    while True:
        preparing = processes.is_running("samples")
        compiling = [name for name in ("compiler", "compiler-from-end") if processes.is_running(name)]
        if waiting and not preparing and not compiling:
            processes.start("samples", *make, *waiting.pop(0))  # not earlier: it would delay the models before it
            continue
        found = {path: path.stat().st_mtime_ns for path in SOURCES.rglob("*.*") if path.is_file()}
        models = {path: time_ns for path, time_ns in found.items() if path.suffix != ".part"}
        if models != built and not compiling:
            build(processes, clock, sorted({path.stem for path in models} - {path.stem for path in built}))
            built = models
        elif not preparing and not compiling:
            clock.say("all models are built")
            return
        time.sleep(0.1)


def build(processes: Processes, clock: Clock, names: list[str]) -> None:
    """Build all models; those that are up to date are kept."""
    clock.say(f"building {', '.join(names)}")
    processes.start("build", BIN / "streamxr", "build", SOURCES, "-o", BUNDLE)
    while processes.is_running("build"):
        time.sleep(0.05)
    clock.say(f"on the page: {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
