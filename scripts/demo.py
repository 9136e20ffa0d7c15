"""`make demo`: make the sample models, build them, and serve bundle, viewer and relay, with company, until Ctrl-C."""

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

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
READY_SECONDS = 30
ROOM = "lobby"
THROWN = "lantern"  # the sample that fits a hand


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets a headset on the same network in")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--relay-port", type=int, default=8787)
    parser.add_argument("--company", type=int, default=8, help="simulated people in the room; 0: nobody")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        for command in (
            [sys.executable, "models/make_samples.py"],
            [str(BIN / "streamxr"), "build", "models/src", "-o", "build"],
        ):
            code = subprocess.call(command, cwd=ROOT)
            if code:
                return code
        return serve(options.host, options.port, options.relay_port, options.company)
    return 130


def serve(host: str, port: int, relay_port: int, company: int) -> int:
    """Run all in sessions of their own, so that Ctrl-C reaches them once and in order."""
    commands = {
        "viewer": [str(BIN / "streamxr"), "serve", "build", "--host", host, "--port", str(port), "--quiet"],
        "relay": [str(BIN / "streamxr-relay"), "serve", "--host", host, "--port", str(relay_port)],
    }
    local = "127.0.0.1" if host == "0.0.0.0" else host
    if company:
        # It tries again until the relay is up.
        address = f"ws://{local}:{relay_port}"
        commands["company"] = [str(BIN / "streamxr-relay"), "simulate", address, "--room", ROOM, "--asset", THROWN]
        commands["company"] += ["--participants", str(company)]
    logs = ROOT / ".cache"
    logs.mkdir(exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    stop = False

    def end(*_: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    try:
        for name, command in commands.items():
            log = (logs / f"demo-{name}.log").open("wb")
            running[name] = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        waiting = {"viewer": f"http://{local}:{port}/", "relay": f"http://{local}:{relay_port}/healthz"}
        limit = time.monotonic() + READY_SECONDS
        while waiting and not stop:
            for name in list(waiting):
                if running[name].poll() is not None or time.monotonic() > limit:
                    print(f"the {name} did not start:", file=sys.stderr)
                    print((logs / f"demo-{name}.log").read_text(errors="replace").strip(), file=sys.stderr)
                    return 1
                with contextlib.suppress(OSError), urllib.request.urlopen(waiting[name], timeout=1):
                    del waiting[name]
            time.sleep(0.05)
        if not stop:
            shown = "localhost" if local == "127.0.0.1" else local
            print(f"\n  http://{shown}:{port}/?room={ROOM}&relay=:{relay_port}\n", flush=True)
            print("Open it in two windows to see each other; h shows what streams. Ctrl-C stops.", flush=True)
        while not stop:
            for name, process in running.items():
                if process.poll() is not None:
                    print(f"the {name} ended with code {process.returncode}: .cache/demo-{name}.log", file=sys.stderr)
                    return 1
            time.sleep(0.2)
        print("\nstopping", flush=True)
        return 0
    finally:
        for process in reversed(running.values()):  # company first, so that it does not wait for the relay
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
        for process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
