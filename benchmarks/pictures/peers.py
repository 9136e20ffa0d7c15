"""Candidates that other tools make of a source, at a number of triangles or of bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flat import FlatMesh
from search import best_share

if TYPE_CHECKING:
    from opengl_decimate import CollapseSequence

HERE = Path(__file__).parent
NODE = ["node", "--max-old-space-size=8192", str(HERE / "peers.mjs")]
# With -se 1 the ratio alone decides.
GLTFPACK = [str(HERE / "node_modules" / ".bin" / "gltfpack"), "-se", "1"]
RECIPE = ("peers.py", "search.py", "flat.py", "peers.mjs", "flat.mjs", "package-lock.json")
# By attribute: the weight of meshoptimizer's metric. Of 0.1, 0.2, 0.5, 1 and 10 it gives the least ΔE on most models,
# and with Prune it looks better than without.
MESHOPT = {"weights": {"NORMAL": 0.2, "TEXCOORD_0": 0.2, "COLOR_0": 0.2}, "flags": ["Permissive", "Prune"]}
SECONDS = 900  # a tool that takes longer has failed


class PeerError(Exception):
    """A tool cannot make a candidate."""


@dataclass(frozen=True)
class Goal:
    """At most so many triangles or, with pictures of `pixels`, so many bytes."""

    triangles: int | None = None
    bytes: int | None = None
    pixels: int | None = None

    def first_share(self, source: Source) -> float:
        # A triangle takes some 10 bytes in a compressed file.
        wanted = self.triangles if self.triangles is not None else (self.bytes or 0) / 20
        return wanted / max(source.triangles, 1)

    def amount(self, path: Path) -> int:
        return glb_triangles(path) if self.triangles is not None else path.stat().st_size

    def limit(self) -> int:
        found = self.triangles if self.triangles is not None else self.bytes
        assert found is not None
        return found


class Source:
    """A source GLB, and what the tools need of it, in a scratch folder."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        self.scratch = scratch
        self.triangles = glb_triangles(path)
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    @cached_property
    def flat(self) -> Path:
        target = self.scratch / "source.flat"
        node("flatten", self.path, target)
        FlatMesh.read(target).welded().write(target)
        return target

    @cached_property
    def sequence(self) -> tuple[FlatMesh, CollapseSequence]:
        """The flat mesh, and opengl_decimate's recorded collapse of it."""
        from opengl_decimate import SimplifyOptions, collapse_sequence

        mesh = FlatMesh.read(self.flat)
        # A corner takes the attributes that are nearest, so a large value keeps materials apart.
        carried = {**mesh.attributes, "_MATERIAL": mesh.materials[:, None].astype(np.float32) * 100}
        # Recomputed normals give the least ΔE; other metrics, border weights and limits of flips change little.
        options = SimplifyOptions(target_ratio=1.0, recompute_normals=True)
        return mesh, collapse_sequence(carried, mesh.triangles.reshape(-1), options)

    def shrunk(self, pixels: int) -> Path:
        target = self.scratch / f"source-{pixels}.glb"
        if not target.exists():
            node("shrink", self.path, target, pixels)
        return target


Make = Callable[[Source, Goal, float, Path], None]


def gltfpack(*options: str) -> Make:
    def make(source: Source, goal: Goal, share: float, target: Path) -> None:
        packed = ["-noq"] if goal.pixels is None else ["-cc"]
        model = source.path if goal.pixels is None else source.shrunk(goal.pixels)
        run([*GLTFPACK, *options, *packed, "-si", f"{share:.8f}", "-i", model, "-o", target])

    return make


def gltf_transform(source: Source, goal: Goal, share: float, target: Path) -> None:
    model = source.path if goal.pixels is None else source.shrunk(goal.pixels)
    node("gltf-transform", model, target, repr(share))
    _pack(goal, target)


def meshoptimizer(source: Source, goal: Goal, share: float, target: Path) -> None:
    flat = target.with_suffix(".flat")
    node("meshopt", source.flat, flat, round(share * source.triangles), json.dumps(MESHOPT))
    _assemble(source, goal, flat, target)


def opengl_decimate(source: Source, goal: Goal, share: float, target: Path) -> None:
    mesh, sequence = source.sequence
    result = sequence.at(target_count=round(share * source.triangles))
    attributes = {name: np.asarray(result.attributes[name], np.float32) for name in mesh.attributes}
    corners = np.asarray(result.indices, np.uint32).reshape(-1, 3)
    materials = np.round(result.attributes["_MATERIAL"][:, 0] / 100).astype(np.int32)
    flat = target.with_suffix(".flat")
    FlatMesh(attributes, materials, corners).write(flat)
    _assemble(source, goal, flat, target)


def _assemble(source: Source, goal: Goal, flat: Path, target: Path) -> None:
    model = source.path if goal.pixels is None else source.shrunk(goal.pixels)
    node("assemble", model, flat, target)
    _pack(goal, target)


def _pack(goal: Goal, target: Path) -> None:
    if goal.pixels is not None:
        node("draco", target, target)


PEERS: dict[str, Make] = {
    "gltfpack": gltfpack(),
    "gltfpack -sp -sv": gltfpack("-sp", "-sv"),
    "glTF-Transform": gltf_transform,
    "meshoptimizer": meshoptimizer,
    "opengl_decimate": opengl_decimate,
}
QUICK = ("gltfpack", "gltfpack -sp -sv")


def candidate(name: str, source: Source, goal: Goal, kept: Path) -> Path:
    """The GLB by which a tool comes closest to a goal; from the folder `kept` if it was made before.

    Raises PeerError if the tool fails.
    """
    parts = [recipe(), source.sha256, name, repr(goal)]
    target = kept / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.glb"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=source.scratch) as folder:
        made: dict[float, Path] = {}

        def amount_of(share: float) -> int:
            made[share] = Path(folder) / f"{len(made)}.glb"
            PEERS[name](source, goal, share, made[share])
            return goal.amount(made[share])

        try:
            share = best_share(amount_of, goal.limit(), goal.first_share(source))
        except (MemoryError, ValueError, IndexError, OSError) as error:
            raise PeerError(f"{type(error).__name__}: {error}") from error
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".part")
        shutil.copyfile(made[share], unfinished)
        unfinished.replace(target)
    return target


@cache
def recipe() -> str:
    """A hash of everything that decides what the tools make, but for their inputs."""
    contents = b"\0".join((HERE / name).read_bytes() for name in RECIPE)
    return hashlib.sha256(contents + version("opengl-decimate").encode()).hexdigest()


def versions() -> dict[str, str]:
    found: dict[str, str] = node("versions")
    return {**found, "opengl_decimate": version("opengl-decimate")}


def node(*arguments: str | Path | int) -> Any:
    """The JSON that a command of peers.mjs prints. Raises PeerError if it fails."""
    return json.loads(run([*NODE, *arguments]))


def run(command: Sequence[str | Path | int]) -> str:
    """The output of a command. Raises PeerError if it fails."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"took longer than {SECONDS} s") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next((line for line in lines if "Error" in line), lines[-1] if lines else "no output")
        raise PeerError(f"exit status {done.returncode}: {reason.strip()[:200]}")
    return done.stdout


def glb_json(path: Path) -> Any:
    content = path.read_bytes()
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def glb_triangles(path: Path) -> int:
    """The drawn triangles of a GLB: those of a mesh count once for each node."""
    document = glb_json(path)
    accessors = document.get("accessors", [])

    def of_primitive(primitive: Any) -> int:
        index = primitive.get("indices", primitive["attributes"]["POSITION"])
        count: int = accessors[index]["count"]
        mode = primitive.get("mode", 4)
        return count // 3 if mode == 4 else max(count - 2, 0) if mode > 4 else 0

    meshes = [sum(map(of_primitive, mesh["primitives"])) for mesh in document.get("meshes", [])]
    return sum(meshes[node["mesh"]] for node in document.get("nodes", []) if "mesh" in node)
