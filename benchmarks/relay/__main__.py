"""Measure the relay beside its peers; write results.json, the end of docs/benchmarks.md and its chart.

    python benchmarks/relay             everything: about an hour on a quiet machine of two cores
    python benchmarks/relay --quick     a look at it in three minutes; nothing is written
    python benchmarks/relay --report    tables and chart again, from results.json

Server and load have one core each. Peers come from package-lock.json by `npm ci` in this folder.
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
sys.path.insert(0, str(HERE))

import report  # noqa: E402
from servers import CONTENDERS, Contender, running  # noqa: E402
from swarm import Load, rss_bytes  # noqa: E402

LOAD_CORE = "1"
RESULTS = HERE / "results.json"
PEOPLE = (25, 50, 75, 100, 150, 200, 300, 500, 700, 800, 1000, 1200, 1400, 1600, 1800, 2000)
QUICK_PEOPLE = (25, 100, 500)
FULL_UP_TO = 150  # up to here a relay as it comes sends everything, too
OUT_AFTER = 2  # sizes beyond the limit in a row, and a contender is no longer asked
PARTS = ("sizes", "rooms", "slow", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few sizes, short runs; nothing is written")
    parser.add_argument("--only", choices=PARTS, action="append", help="some parts; the others' results are kept")
    parser.add_argument("--repetitions", type=int, default=3, help="of every run (default: 3)")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured of every run (default: 6)")
    parser.add_argument("--note", default="", help="how the machine was, for the report")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report")
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() and not asked.quick else {}
    if not asked.report:
        if not (HERE / "node_modules").is_dir():
            sys.exit(f"the peers are missing: run `npm ci` in {HERE}")
        repetitions, seconds = (1, 2.0) if asked.quick else (asked.repetitions, asked.seconds)
        results["machine"] = {
            "cores": os.cpu_count(),
            "processor": report.processor(),
            "python": platform.python_version(),
            "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
            "note": asked.note,
            "seconds": seconds,
            "repetitions": repetitions,
        }
        for part in asked.only or PARTS:
            results[part] = MEASURES[part](repetitions, seconds, asked.quick)
            if not asked.quick:
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))
    if not asked.quick:
        report.write(results)


def sizes(repetitions: int, seconds: float, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """One room of growing size, all contenders in turn at each, until they have had enough."""
    found: dict[str, list[dict[str, Any]]] = {contender.key: [] for contender in CONTENDERS}
    beyond = dict.fromkeys(found, 0)
    for people in QUICK_PEOPLE if quick else PEOPLE:
        runs: dict[str, list[dict[str, Any]]] = {key: [] for key in found}
        for _ in range(repetitions):
            for contender in CONTENDERS:
                as_full = contender.key == "cells" and people <= FULL_UP_TO
                if beyond[contender.key] < OUT_AFTER and not as_full:
                    load = Load(contender.wire, 0, people, measure_s=seconds)
                    runs[contender.key].append(run(contender, load))
        for key, several in runs.items():
            if several:
                middle = median_run(several)
                found[key].append(middle)
                beyond[key] = 0 if report.is_good(key, middle) else beyond[key] + 1
    return found


def rooms(repetitions: int, seconds: float, quick: bool) -> dict[str, dict[str, Any]]:
    """A thousand people in a hundred rooms."""
    several = {c.key: [] for c in CONTENDERS if c.key != "cells"}
    for _ in range(repetitions):
        for contender in CONTENDERS:
            if contender.key in several:
                load = Load(contender.wire, 0, 200 if quick else 1000, rooms=20 if quick else 100, measure_s=seconds)
                several[contender.key].append(run(contender, load))
    return {key: median_run(runs) for key, runs in several.items()}


def slow(repetitions: int, seconds: float, quick: bool) -> dict[str, Any]:
    """150 people, with and without one who reads nothing and one who reads 50 KB/s."""
    ours = CONTENDERS[0]
    without, beside = [], []
    for _ in range(repetitions):
        without.append(run(ours, Load(ours.wire, 0, 150, measure_s=seconds)))
        beside.append(run(ours, Load(ours.wire, 0, 150, measure_s=seconds, stalled=1, slow=1)))
    long = Load(ours.wire, 0, 150, measure_s=5.0 if quick else 60.0, stalled=1, slow=1)
    return {"without": median_run(without), "beside": median_run(beside), "minute": run(ours, long)}


def memory(_repetitions: int, seconds: float, quick: bool) -> dict[str, Any]:
    """Bytes of the server per connection: idle in rooms of ten, and in one room where everyone moves."""
    ours = CONTENDERS[0]
    people = 200 if quick else 1000
    result: dict[str, Any] = {"people": people}
    for name, load in (
        ("idle", Load(ours.wire, 0, people, rooms=people // 10, idle=True, measure_s=2.0)),
        ("loaded", Load(ours.wire, 0, people, measure_s=seconds)),
    ):
        measured = run(ours, load)
        result[name] = (measured["memory_bytes"][-1] - measured["memory_before"]) / people
    return result


MEASURES = {"sizes": sizes, "rooms": rooms, "slow": slow, "memory": memory}


def run(contender: Contender, load: Load) -> dict[str, Any]:
    """One server, one load, one result. A load that fails is a result too: nobody could be served."""
    with running(contender) as server:
        warm_up(contender, server.port)
        before = rss_bytes(server.pid)
        asked = asdict(load) | {"port": server.port, "pid": server.pid}
        result = loaded(asked, load.measure_s + 120.0)
    result["memory_before"] = before
    say(contender, load, result)
    return result


def loaded(asked: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """What the swarm measured, or why it could not."""
    command = ["taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "swarm.py"), json.dumps(asked)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        failed = f"not done after {timeout_s:.0f} s"
    else:
        if not done.returncode:
            result: dict[str, Any] = json.loads(done.stdout)
            return result
        failed = " ".join(done.stderr.strip().splitlines()[-1:])
    return {"people": asked["people"], "rooms": asked["rooms"], "failed": failed}


def warm_up(contender: Contender, port: int) -> None:
    """What the first connections alone cost must not count for those that are measured. In rooms of their own: the
    relay keeps the seats of people who vanish for a while, and their last poses."""
    asked = asdict(Load(contender.wire, port, 20, rooms=2, prefix="warm", warm_s=0.2, measure_s=0.3))
    subprocess.run([sys.executable, str(HERE / "swarm.py"), json.dumps(asked)], capture_output=True, check=False)
    time.sleep(0.3)


def median_run(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle by p99, and the extremes beside it."""
    ordered = sorted(runs, key=lambda r: r.get("p99_ms", float("inf")))
    p99 = [r.get("p99_ms", float("inf")) for r in ordered]
    return ordered[len(ordered) // 2] | {
        "p99_least_ms": p99[0],
        "p99_most_ms": p99[-1],
        "cpu_us_per_pose": statistics.median(r.get("cpu_us_per_pose", 0.0) for r in ordered),
    }


def say(contender: Contender, load: Load, result: dict[str, Any]) -> None:
    what = f"{contender.key:9} {load.people:5} people {load.rooms:4} rooms"
    if "failed" in result:
        print(f"{what}  failed: {result['failed']}", file=sys.stderr, flush=True)
    else:
        print(
            f"{what}  p50 {result.get('p50_ms', 0):6.1f}  p99 {result.get('p99_ms', 0):7.1f} ms"
            f"  delivered {result['delivered_share']:4.2f}  {result['cpu_us_per_pose']:6.3f} us/pose"
            f"  server {result['cpu_share']:4.2f}  load {result['load_cpu_share']:4.2f} cores",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    main()
