"""Bytes, time and peak memory of a whole build, compared with levels of detail by glTF-Transform."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peers
from measured_models import Model, write_glb
from table import Table

STREAMXR = Path(sys.executable).parent / "streamxr"
BASE_TRIANGLES = {"helmet": 462, "dragon": 13_614}  # they give a build about four tiers
LEVELS = (2048, 1024, 512, 256)  # pixels, finest first
OUR_SPEED, DEFAULT_SPEED = 3, 5  # of Draco: 10 − our compression level, and glTF-Transform's default
MEGABYTE = 1 << 20
SIZES = (100_000, 300_000, 1_000_000, 4_000_000)


@dataclass(frozen=True)
class Cost:
    """The cost of one command. wall, cpu: seconds; memory: peak of all its processes in bytes, 0 if not watched."""

    wall: float
    cpu: float
    memory: int
    output: str


def measure(command: list[str | Path], *, watched: bool = False) -> Cost:
    """Run a command.

    watched: sample the memory of all its processes ten times a second. Each sample stops a process for some
    milliseconds, so times of a watched run do not count.
    """
    before = os.times()
    start = time.perf_counter()
    # Python keeps compiled modules, as it does for users, whatever this shell's environment says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, sum(proportional_memory(pid) for pid in process_tree(process.pid)))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    if watched:
        watcher.start()
    output, _ = process.communicate()
    wall = time.perf_counter() - start
    if watched:
        watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall, cpu, peak, output)


def process_tree(root: int) -> list[int]:
    """The process ids of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def proportional_memory(pid: int) -> int:
    """The proportional set size in bytes: a page that several processes share counts once in their sum."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def build(model: Path, bundle: Path, *options: str, watched: bool = False) -> tuple[Cost, dict[str, Any]]:
    shutil.rmtree(bundle, ignore_errors=True)
    command: list[str | Path] = [STREAMXR, "build", model, "-o", bundle, "--force", "--json", "--jobs", "2", *options]
    cost = measure(command, watched=watched)
    report: dict[str, Any] = json.loads(cost.output)["assets"][0]
    return cost, report


def tables(models: dict[str, Model], scratch: Path, *, repetitions: int) -> list[Table]:
    size_rows, time_rows = [], []
    for name, base_triangles in BASE_TRIANGLES.items():
        if name in models:
            sizes, times = _compare(models[name], base_triangles, scratch, repetitions)
            size_rows.append([name, *sizes])
            time_rows.append([name, *times])
    return [
        Table("Bytes of all files, KB",
              ["model", "ours", "peer at Draco speed 5", "ratio", "peer at 3", "ratio", "our base", "our triangles",
               "peer triangles"], size_rows,
              "Ours holds one more level of each picture, in the base. 5 is the default Draco speed of glTF-Transform; "
              "3 is ours."),
        Table(f"Time and memory, {repetitions} interleaved runs",
              ["model", "our wall s", "peer wall s", "ratio", "our CPU s", "peer CPU s", "our peak MB", "peer peak MB"],
              time_rows,
              "Wall time: median (least–most). Memory: the peak of one more run, as the proportional set size of all "
              "processes."),
    ]  # fmt: skip


def _compare(model: Model, base_triangles: int, scratch: Path, repetitions: int) -> tuple[list[str], list[str]]:
    """The cells of the two tables for one model.

    Runs are interleaved, so that other load on the machine affects both tools. One more run measures memory.
    """
    costs = []
    for run in range(repetitions + 1):
        watched = run == repetitions
        ours, report = build(model.path, scratch / "bundle", "--base-triangles", str(base_triangles), watched=watched)
        counts = [t["triangles"] for t in report["tiers"] if t["triangles"]][::-1][:4]
        counts += [counts[-1]] * (4 - len(counts))
        peer = measure(lods(model.path, counts, scratch, OUR_SPEED), watched=watched)
        costs.append((ours, peer))
    levels = json.loads(peer.output)
    at_our_speed = sum(level["bytes"] for level in levels)
    at_default = sum(
        level["bytes"] for level in json.loads(measure(lods(model.path, counts, scratch, DEFAULT_SPEED)).output)
    )
    total, tiers = report["bytes"], report["tiers"]
    sizes = [
        kilobytes(total), kilobytes(at_default), f"{total / at_default:.2f}", kilobytes(at_our_speed),
        f"{total / at_our_speed:.2f}", kilobytes(tiers[0]["bytes"]),
        " / ".join(f"{n:,}" for n in counts), " / ".join(f"{x['triangles']:,}" for x in levels),
    ]  # fmt: skip
    walls = [[c.wall for c in tool] for tool in zip(*costs[:-1], strict=True)]
    cpus = [statistics.median(c.cpu for c in tool) for tool in zip(*costs[:-1], strict=True)]
    ratio = statistics.median(walls[0]) / statistics.median(walls[1])
    times = [
        *(spread(w) for w in walls), f"{ratio:.2f}", *(f"{c:.1f}" for c in cpus),
        *(f"{c.memory / MEGABYTE:,.0f}" for c in costs[-1]),
    ]  # fmt: skip
    return sizes, times


def lods(model: Path, counts: list[int], scratch: Path, speed: int) -> list[str | Path]:
    """The command that makes one level of detail for each of `counts` triangles, finest first."""
    levels = [
        {"ratio": n / counts[0], "pixels": p, "bits": 14, "speed": speed} for n, p in zip(counts, LEVELS, strict=True)
    ]
    return [*peers.NODE, "lods", model, scratch / "lods", json.dumps(levels)]


def scaling(scratch: Path, *, quick: bool) -> Table:
    """Time and memory for a textured torus with more and more triangles."""
    rows = []
    first = 0.0
    for size in SIZES[:2] if quick else SIZES:
        path = scratch / f"torus-{size}.glb"
        torus(path, size)
        cost, _ = build(path, scratch / "bundle", watched=True)
        unit = cost.wall / (size * np.log(size)) * 1e9
        first = first or unit
        rows.append([f"{size:,}", f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{unit:.0f}", f"{unit / first:.2f}",
                     f"{cost.memory / MEGABYTE:,.0f}"])  # fmt: skip
        path.unlink()
    head = ["triangles", "wall s", "CPU s", "ns / (n ln n)", "relative to the first", "peak MB"]
    return Table("Growth: a bumpy torus with texture coordinates", head, rows)


def torus(path: Path, triangles: int) -> None:
    around = round((triangles / 2 * 2) ** 0.5)
    across = round(triangles / 2 / around)
    u, v = np.meshgrid(np.linspace(0, 1, around + 1), np.linspace(0, 1, across + 1), indexing="ij")
    a, b = 2 * np.pi * u, 2 * np.pi * v
    r = 0.35 + 0.03 * np.sin(11 * a) * np.cos(7 * b) + 0.004 * np.sin(97 * a) * np.cos(61 * b)
    positions = np.stack([(1 + r * np.cos(b)) * np.cos(a), r * np.sin(b), (1 + r * np.cos(b)) * np.sin(a)], -1)
    positions[-1], positions[:, -1] = positions[0], positions[:, 0]
    tangents = np.gradient(positions, axis=0), np.gradient(positions, axis=1)
    normals = np.cross(tangents[1], tangents[0])
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    p = i * (across + 1) + j
    index = np.concatenate([np.stack([p, p + 1, p + across + 1], -1).reshape(-1, 3),
                            np.stack([p + 1, p + across + 2, p + across + 1], -1).reshape(-1, 3)])  # fmt: skip
    named = {"POSITION": positions, "NORMAL": normals, "TEXCOORD_0": np.stack([u, v], -1)}
    write_glb(path, {k: x.reshape(-1, x.shape[2]).astype("<f4") for k, x in named.items()}, index)


def kilobytes(count: int) -> str:
    return f"{count / 1000:,.1f}"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"
