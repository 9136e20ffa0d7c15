"""Items 7 and 8: bytes, wall time and peak memory of a whole build beside glTF-Transform's levels of detail."""

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
from subjects import Model, write_glb
from table import Table

STREAMXR = Path(sys.executable).parent / "streamxr"
BASE = {"helmet": 462, "dragon": 13_614}  # triangles: with these a build has about four tiers
LEVELS = (2048, 1024, 512, 256)  # pixels, finest first
OUR_SPEED, ITS_SPEED = 3, 5  # Draco's: 10 less our compression level, and glTF-Transform's default
MEGABYTE = 1 << 20
SIZES = (100_000, 300_000, 1_000_000, 4_000_000)


@dataclass(frozen=True)
class Effort:
    """What a command took: wall and processor seconds, and the largest sum of its processes' own memory, in bytes (0
    where nobody looked)."""

    wall: float
    cpu: float
    memory: int
    output: str


def measure(command: list[str | Path], *, watched: bool = False) -> Effort:
    """Run a command. `watched`: looking at the memory of all its processes ten times a second, which stops each of them
    for some milliseconds: not where time matters."""
    before = os.times()
    start = time.perf_counter()
    # As for any user, Python keeps what it compiles of modules, whatever the shell that runs this says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, sum(own_memory(pid) for pid in family(process.pid)))
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
    return Effort(wall, cpu, peak, output)


def family(root: int) -> list[int]:
    """The process and its descendants."""
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


def own_memory(pid: int) -> int:
    """Proportional set size: shared pages count once over all processes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def build(model: Path, bundle: Path, *options: str, watched: bool = False) -> tuple[Effort, dict[str, Any]]:
    shutil.rmtree(bundle, ignore_errors=True)
    command: list[str | Path] = [STREAMXR, "build", model, "-o", bundle, "--force", "--json", "--jobs", "2", *options]
    effort = measure(command, watched=watched)
    report: dict[str, Any] = json.loads(effort.output)["assets"][0]
    return effort, report


def tables(models: dict[str, Model], scratch: Path, *, repetitions: int) -> list[Table]:
    size_rows, time_rows = [], []
    for name, base in BASE.items():
        if name not in models:
            continue
        model, efforts = models[name].path, []
        for run in range(repetitions + 1):  # interleaved, so that both meet the same weather; the last for memory
            watched = run == repetitions
            mine, report = build(model, scratch / "bundle", "--base-triangles", str(base), watched=watched)
            counts = [t["triangles"] for t in report["tiers"] if t["triangles"]][::-1][:4]
            counts += [counts[-1]] * (4 - len(counts))
            theirs = measure(lods(model, counts, scratch, OUR_SPEED), watched=watched)
            efforts.append((mine, theirs))
        levels = json.loads(theirs.output)
        total = sum(level["bytes"] for level in levels)
        usual = sum(x["bytes"] for x in json.loads(measure(lods(model, counts, scratch, ITS_SPEED)).output))
        ours = report["tiers"]
        size_rows.append(
            [name, kilobytes(report["bytes"]), kilobytes(usual), f"{report['bytes'] / usual:.2f}",
             kilobytes(total), f"{report['bytes'] / total:.2f}", kilobytes(ours[0]["bytes"]),
             " / ".join(f"{n:,}" for n in counts), " / ".join(f"{x['triangles']:,}" for x in levels)]
        )  # fmt: skip
        walls = [[e.wall for e in side] for side in zip(*efforts[:-1], strict=True)]
        cpus = [statistics.median(e.cpu for e in side) for side in zip(*efforts[:-1], strict=True)]
        peaks = [e.memory for e in efforts[-1]]
        ratio = statistics.median(walls[0]) / statistics.median(walls[1])
        time_rows.append(
            [name, *(spread(w) for w in walls), f"{ratio:.2f}", *(f"{c:.1f}" for c in cpus),
             *(f"{p / MEGABYTE:,.0f}" for p in peaks)]
        )  # fmt: skip
    return [
        Table("Bytes of everything, KB",
              ["model", "ours", "its at Draco speed 5", "ratio", "its at 3", "ratio", "our base", "our triangles",
               "its triangles"], size_rows,
              "Ours holds one more level of each picture, in the base. 5 is its default speed of Draco, 3 is ours."),
        Table(f"Time and memory, {repetitions} interleaved runs",
              ["model", "our wall s", "its wall s", "ratio", "our CPU s", "its CPU s", "our peak MB", "its peak MB"],
              time_rows, "Wall time: median (least–most). Memory: of one more run; proportional set size, of all."),
    ]  # fmt: skip


def lods(model: Path, counts: list[int], scratch: Path, speed: int) -> list[str | Path]:
    """The command that makes levels of so many triangles, finest first."""
    wanted = [
        {"ratio": n / counts[0], "pixels": p, "bits": 14, "speed": speed} for n, p in zip(counts, LEVELS, strict=True)
    ]
    return [*peers.NODE, "lods", model, scratch / "lods", json.dumps(wanted)]


def scaling(scratch: Path, *, quick: bool) -> Table:
    """Time and memory of a textured torus of growing size."""
    rows = []
    first = 0.0
    for size in SIZES[:2] if quick else SIZES:
        path = scratch / f"torus-{size}.glb"
        torus(path, size)
        effort, _ = build(path, scratch / "bundle", watched=True)
        unit = effort.wall / (size * np.log(size)) * 1e9
        first = first or unit
        rows.append([f"{size:,}", f"{effort.wall:.1f}", f"{effort.cpu:.1f}", f"{unit:.0f}", f"{unit / first:.2f}",
                     f"{effort.memory / MEGABYTE:,.0f}"])  # fmt: skip
        path.unlink()
    head = ["triangles", "wall s", "CPU s", "ns / (n ln n)", "against the first", "peak MB"]
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
