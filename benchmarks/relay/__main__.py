"""Compare the relay with other servers; write results.json, the relay's section of docs/benchmarks.md and its chart.

    python benchmarks/relay             everything: about an hour on an idle machine of two cores
    python benchmarks/relay --quick     short runs of few sizes: three minutes; nothing is written
    python benchmarks/relay --report    no measurement: section and chart from results.json

Server and load generator have one core each. `npm ci` in this folder installs the other servers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent)]

import report  # noqa: E402
from load_generator import LoadSettings, resident_bytes  # noqa: E402
from reporting import processor  # noqa: E402
from servers import CONTENDERS, Contender, running  # noqa: E402

LOAD_CORE = "1"
RESULTS = HERE / "results.json"
PEOPLE = (25, 50, 75, 100, 150, 200, 300, 500, 700, 800, 1000, 1200, 1400, 1600, 1800, 2000)
QUICK_PEOPLE = (25, 100, 500)
FULL_UP_TO = 150  # participants up to which the relay's default is full mode, so that both modes would be the same
OUT_AFTER = 2  # sizes over the limit in a row after which a server is not measured at larger ones
PARTS = ("sizes", "rooms", "slow", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few sizes and short runs; nothing is written")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="only this part; the results of the others are kept"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="runs of every size (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="seconds that are measured of every run (default: 6)"
    )
    parser.add_argument("--note", default="", help="a remark on the machine, for the report")
    parser.add_argument("--report", action="store_true", help="write the report from results.json without measuring")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and not options.quick else {}
    if not options.report:
        if not (HERE / "node_modules").is_dir():
            sys.exit(f"the other servers are not installed: run `npm ci` in {HERE}")
        repetitions, seconds = (1, 2.0) if options.quick else (options.repetitions, options.seconds)
        results["machine"] = {
            "cores": os.cpu_count(),
            "processor": processor(),
            "python": platform.python_version(),
            "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
            "note": options.note,
            "seconds": seconds,
            "repetitions": repetitions,
        }
        for part in options.only or PARTS:
            results[part] = MEASURES[part](repetitions, seconds, options.quick)
            if not options.quick:
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))
    if not options.quick:
        report.write(results)


def sizes(repetitions: int, seconds: float, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """One room of more and more people, each server in turn, until it fails at OUT_AFTER sizes in a row."""
    results: dict[str, list[dict[str, Any]]] = {contender.key: [] for contender in CONTENDERS}
    failures = dict.fromkeys(results, 0)
    for people in QUICK_PEOPLE if quick else PEOPLE:
        runs: dict[str, list[dict[str, Any]]] = {key: [] for key in results}
        for _ in range(repetitions):
            for contender in CONTENDERS:
                same_as_full = contender.key == "cells" and people <= FULL_UP_TO
                if failures[contender.key] < OUT_AFTER and not same_as_full:
                    load = LoadSettings(contender.protocol, 0, people, measure_s=seconds)
                    runs[contender.key].append(run(contender, load))
        for key, runs_of_server in runs.items():
            if runs_of_server:
                median = median_run(runs_of_server)
                results[key].append(median)
                failures[key] = 0 if report.is_good(key, median) else failures[key] + 1
    return results


def rooms(repetitions: int, seconds: float, quick: bool) -> dict[str, dict[str, Any]]:
    """A thousand people in a hundred rooms."""
    runs: dict[str, list[dict[str, Any]]] = {c.key: [] for c in CONTENDERS if c.key != "cells"}
    for _ in range(repetitions):
        for contender in CONTENDERS:
            if contender.key in runs:
                people, rooms = (200, 20) if quick else (1000, 100)
                load = LoadSettings(contender.protocol, 0, people, rooms=rooms, measure_s=seconds)
                runs[contender.key].append(run(contender, load))
    return {key: median_run(runs_of_server) for key, runs_of_server in runs.items()}


def slow(repetitions: int, seconds: float, quick: bool) -> dict[str, Any]:
    """150 people in one room, with and without one client that reads nothing and one that reads 50 KB/s."""
    ours = CONTENDERS[0]
    without, beside = [], []
    for _ in range(repetitions):
        without.append(run(ours, LoadSettings(ours.protocol, 0, 150, measure_s=seconds)))
        beside.append(run(ours, LoadSettings(ours.protocol, 0, 150, measure_s=seconds, stalled=1, slow=1)))
    long = LoadSettings(ours.protocol, 0, 150, measure_s=5.0 if quick else 60.0, stalled=1, slow=1)
    return {"without": median_run(without), "beside": median_run(beside), "minute": run(ours, long)}


def memory(_repetitions: int, seconds: float, quick: bool) -> dict[str, Any]:
    """Memory of the server per connection in bytes: idle in rooms of ten, and moving in one room."""
    ours = CONTENDERS[0]
    people = 200 if quick else 1000
    result: dict[str, Any] = {"people": people}
    for name, load in (
        ("idle", LoadSettings(ours.protocol, 0, people, rooms=people // 10, idle=True, measure_s=2.0)),
        ("loaded", LoadSettings(ours.protocol, 0, people, measure_s=seconds)),
    ):
        measured = run(ours, load)
        result[name] = (measured["memory_bytes"][-1] - measured["memory_before"]) / people
    return result


MEASURES = {"sizes": sizes, "rooms": rooms, "slow": slow, "memory": memory}


def run(contender: Contender, load: LoadSettings) -> dict[str, Any]:
    """Start a server, put a load on it, and return the result. A load that fails is a result, too."""
    with running(contender) as server:
        warm_up(contender, server.port)
        before = resident_bytes(server.pid)
        settings = asdict(load) | {"port": server.port, "pid": server.pid}
        result = generate_load(settings, load.measure_s + 120.0)
    result["memory_before"] = before
    print_result(contender, load, result)
    return result


def generate_load(settings: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """The measurements of a load generator, or the reason of its failure."""
    command = ["taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "load_generator.py"), json.dumps(settings)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        reason = f"not done after {timeout_s:.0f} s"
    else:
        if not done.returncode:
            result: dict[str, Any] = json.loads(done.stdout)
            return result
        reason = " ".join(done.stderr.strip().splitlines()[-1:])
    return {"people": settings["people"], "rooms": settings["rooms"], "failed": reason}


def warm_up(contender: Contender, port: int) -> None:
    """Make some connections before the measurement, so that one-time costs do not count.

    They have rooms of their own, since the relay keeps the seats and last poses of lost connections for a while.
    """
    settings = asdict(LoadSettings(contender.protocol, port, 20, rooms=2, prefix="warm", warm_s=0.2, measure_s=0.3))
    command = [sys.executable, str(HERE / "load_generator.py"), json.dumps(settings)]
    subprocess.run(command, capture_output=True, check=False)
    time.sleep(0.3)


def median_run(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median run by p99, with the least and the largest p99 of all runs."""
    ordered = sorted(runs, key=lambda r: r.get("p99_ms", float("inf")))
    p99 = [r.get("p99_ms", float("inf")) for r in ordered]
    return ordered[len(ordered) // 2] | {
        "p99_least_ms": p99[0],
        "p99_most_ms": p99[-1],
        "cpu_us_per_pose": statistics.median(r.get("cpu_us_per_pose", 0.0) for r in ordered),
    }


def print_result(contender: Contender, load: LoadSettings, result: dict[str, Any]) -> None:
    label = f"{contender.key:9} {load.people:5} people {load.rooms:4} rooms"
    if "failed" in result:
        print(f"{label}  failed: {result['failed']}", file=sys.stderr, flush=True)
    else:
        print(
            f"{label}  p50 {result.get('p50_ms', 0):6.1f}  p99 {result.get('p99_ms', 0):7.1f} ms"
            f"  delivered {result['delivered_share']:4.2f}  {result['cpu_us_per_pose']:6.3f} us/pose"
            f"  server {result['cpu_share']:4.2f}  load {result['load_cpu_share']:4.2f} cores",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
