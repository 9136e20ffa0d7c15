"""Fuzz the pipeline with mutated models: each mutant must end as a valid bundle or as a clear ModelError, within limits
on time and memory.

The number of a mutant determines it, so that the number reproduces a finding:
`python tests/pipeline/fuzz.py --first 1234 --count 1 --keep DIR`.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import random
import re
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import threemf_maker
from builds import build_file
from fuzz_seeds import Files, seeds
from streamxr.pipeline.bundle.validate import validate
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats.model import SUFFIXES
from streamxr.pipeline.jobs.pool import prepare_process
from streamxr.pipeline.settings import Settings

SECONDS = 200  # for one mutant, on a loaded machine: the slowest known takes 13 on a free one
MEMORY = 3 << 30  # of private memory, including half a gigabyte of the mesh libraries
GLTF = (".glb", ".gltf")
# Values that exporters never write, values that overflow, and values of other types.
HOSTILE: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 4, 5, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63,
    10**30, 10**400, -0.0, 0.5, 3.5, 1e-320, 1e38, 1e39, 1e300, -1e300, "", "0", "x", "x" * 5000, "\x00",
    "../../etc/passwd", "file:///etc/passwd", "http://example.com/a.bin", "data:,",
    "data:application/octet-stream;base64,AAAA", [], {}, [[]], [None], [0, 0], [1, 2], [0] * 3, [1e30] * 3, [0] * 16,
    {"index": 0}, {"": {}}, {"bufferView": 0},
]  # fmt: skip
WORDS = [b"NaN", b"Infinity", b"1e999", b"-1", b"[", b"{}", b"null", b'"', b"\xff", b"\\ud800", b"1" * 400, b",", b"\0"]
XML_VALUES = [
    b"", b"-1", b"0", b"1", b"2", b"4", b"7", b"1e999", b"nan", b"-1e38", b"1e39", b"9" * 20, b"#12", b"&x;", b"<",
    b"\xff", b"/../a", b"/3D/3dmodel.model", b"/3D/Objects/other.model", b"1 0 0 0 1 0 0 0 1 1e30 0 0", b"0 " * 12,
    b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"<components/>", b"<object id='1'>", b"</object>", b"<item objectid='1'/>" * 99,
]  # fmt: skip
NUMBERS = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\0\0\0"]
LINES = [
    b"v 1e999 0 0", b"v nan 0 0", b"f 1 2", b"f 0 1 2", b"f -9 -8 -7", b"f 1//9 2 3", b"f 1 1 1", b"usemtl lost",
    b"mtllib ../../etc/passwd", b"mtllib a.obj", b"v", b"vt", b"o " + b"x" * 9000, b"l 1 2", b"f " + b"1 2 3 " * 3000,
    b"map_Kd /etc/passwd", b"map_Kd", b"newmtl", b"Ns nan", b"Kd 1e999 0", b"d", b"vertex 1 2", b"vertex nan 0 0",
    b"element face 4000000000", b"element vertex -1", b"property list double float x", b"format ascii 1.0",
    b"format binary_big_endian 1.0", b"end_header", b"solid", b"\\", b"\0", b"\xff\xfe",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A mutant that ended neither as a valid bundle nor as a clear error."""

    number: int
    seed: str
    text: str


def mutant(number: int, among: Sequence[tuple[str, Files]]) -> tuple[str, Files]:
    """The name of the mutant's seed, and the files of the mutant, the model first."""
    rng = random.Random(number)
    name, files = among[number % len(among)]
    victim = rng.choice([0, 0, 0, rng.randrange(len(files))])
    result = list(files)
    file, content = files[victim]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _mutated(file, content, rng, among)
    result[victim] = (file, content)
    return name, result


def _mutated(file: str, content: bytes, rng: random.Random, among: Sequence[tuple[str, Files]]) -> bytes:
    """The content after one mutation that suits its format."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_flip, _overwrite, _cut]
    if file.endswith(GLTF):
        ways += [_structure] * 12 + [_words] * 2
        if file.endswith(".glb"):
            ways += [_chunk] * 4
    elif file.endswith((".obj", ".mtl", ".ply", ".stl", ".off")):
        ways += [_lines] * 6
    elif file.endswith(".3mf"):
        ways += [_package] * 12
    if rng.random() < 0.03:
        other = rng.choice(among)[1][0][1]
        return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other)) :]
    return rng.choice(ways)(content, rng)


def _flip(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 16) if damaged else 0):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1) & ~3
    piece = rng.choice(NUMBERS) * rng.choice((1, 1, 3, 64))
    return content[:at] + piece + content[at + len(piece) :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] if rng.random() < 0.5 else content[:at] + content[at + rng.randint(1, 64) :]


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(min(len(lines), 40)) if rng.random() < 0.5 else rng.randrange(len(lines))
    way = rng.randrange(4)
    if way == 0:
        lines.insert(at, rng.choice(LINES))
    elif way == 1:
        lines[at] = rng.choice(LINES)
    elif way == 2:
        del lines[at]
    else:
        words = lines[at].split(b" ")
        words[rng.randrange(len(words))] = rng.choice([*WORDS, b"999999999999", b"1e38", b"-2147483648"])
        lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _package(content: bytes, rng: random.Random) -> bytes:
    """Damage a part of a package, and pack it again."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # an earlier mutation damaged the package
        parts = {}
    if not parts:
        return _flip(content, rng)
    name = rng.choice(list(parts))
    parts[name] = rng.choice((_flip, _cut, _lines, *[_attribute] * 6))(parts[name], rng)
    if rng.random() < 0.1:
        parts[rng.choice(("x", "/")) + name] = parts.pop(name)
    return threemf_maker.package(parts)


def _attribute(content: bytes, rng: random.Random) -> bytes:
    """Replace, delete or repeat an attribute or a tag of XML."""
    found = list(re.finditer(rb'[\w:]+="([^"]*)"|<[^>]*>', content))
    if not found:
        return content
    match = rng.choice(found)
    values = [*XML_VALUES, rng.choice(found).group(0), match.group(0) * 2]
    span = match.span(1) if match.group(1) is not None and rng.random() < 0.8 else match.span()
    return content[: span[0]] + rng.choice(values) + content[span[1] :]


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """The JSON text and the binary chunk of a file; the chunk of a .gltf is empty."""
    if content[:4] != b"glTF" or len(content) < 20:
        return content, b""
    size = struct.unpack_from("<I", content, 12)[0]
    return content[20 : 20 + size], content[28 + size :]


def _with_parts(original: bytes, text: bytes, chunk: bytes) -> bytes:
    if original[:4] != b"glTF":
        return text
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(chunk), 0x004E4942) + chunk
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def _words(content: bytes, rng: random.Random) -> bytes:
    text, chunk = _parts(content)
    at = rng.randrange(len(text) + 1)
    return _with_parts(content, text[:at] + rng.choice(WORDS) + text[at + rng.choice((0, 1, 4)) :], chunk)


def _chunk(content: bytes, rng: random.Random) -> bytes:
    text, chunk = _parts(content)
    return _with_parts(content, text, rng.choice((_flip, _overwrite, _cut))(chunk, rng) if chunk else chunk)


def _structure(content: bytes, rng: random.Random) -> bytes:
    """Delete, replace, duplicate, swap or graft a value somewhere in the JSON."""
    text, chunk = _parts(content)
    try:
        document = json.loads(text)
    except ValueError:
        return _flip(content, rng)
    places = list(_places(document))
    if not places:
        return content
    holder, key = rng.choice(places)
    value = holder[key]
    way = rng.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.45:
        holder[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif way < 0.6 and isinstance(value, int | float):
        holder[key] = rng.choice((value + 1, value - 1, -value, value * 2, value * 1000, float(value), str(value)))
    elif way < 0.75:
        other, name = rng.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif way < 0.85 and isinstance(value, list):
        holder[key] = value * rng.choice((2, 50)) if rng.random() < 0.6 else value[: rng.randrange(len(value) + 1)]
    elif isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(value))
    else:
        name = rng.choice([n for h, n in places if isinstance(n, str)] or ["x"])
        holder[name] = copy.deepcopy(value)
    return _with_parts(content, json.dumps(document).encode(), chunk)


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    stack = [holder]
    while stack:
        each = stack.pop()
        for key in list(each) if isinstance(each, dict) else range(len(each)):
            yield each, key
            if isinstance(each[key], dict | list):
                stack.append(each[key])


def attempt(files: Files, folder: Path) -> str:
    """The outcome for a model: "built", "refused", or a description of the failure."""
    for name, content in files:
        (folder / name).write_bytes(content)
    try:
        build_file(folder / files[0][0], folder / "build", Settings(leaf_triangles=500), sound=False)
    except ModelError as error:
        return "refused" if error.problem and len(str(error)) < 1000 else f"an unclear error: {str(error)[:300]!r}"
    except Exception:
        return traceback.format_exc()
    found = validate(folder / "build").findings
    return "\n".join(f.text for f in found) or "built"


def fuzz(
    numbers: Sequence[int],
    among: Sequence[tuple[str, Files]],
    *,
    seconds: float = SECONDS,
    check_bounds: bool = False,
    on_outcome: Callable[[int, str], None] = lambda _, __: None,
) -> tuple[Counter[str], list[Finding]]:
    """Try mutants one after the other, in a process with limits.

    A mutant that kills the process or takes too long is a finding; the next mutant gets a new process.
    check_bounds: compile the loops with checks of array bounds, so that an index outside an array is a finding too.
    """
    outcomes: Counter[str] = Counter()
    findings = []
    worker: tuple[SpawnProcess, Connection] | None = None
    try:
        for number in numbers:
            if worker is None:
                worker = _start(among, check_bounds=check_bounds)
            process, pipe = worker
            pipe.send(number)
            text = f"took longer than {seconds} s"
            alive = pipe.poll(seconds)
            if alive:
                try:
                    text = pipe.recv()
                except EOFError:
                    alive = False
                    process.join()
                    text = f"died with {process.exitcode}"
            if not alive:
                process.kill()
                process.join()
                pipe.close()
                worker = None
            on_outcome(number, text)
            outcomes[text if text in ("built", "refused") else "wrong"] += 1
            if text not in ("built", "refused"):
                findings.append(Finding(number, among[number % len(among)][0], text))
    finally:
        if worker is not None:
            worker[1].close()
            worker[0].join()
    return outcomes, findings


def _start(among: Sequence[tuple[str, Files]], *, check_bounds: bool) -> tuple[SpawnProcess, Connection]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, among), daemon=True)
    with patch.dict(os.environ, {"NUMBA_BOUNDSCHECK": "1"} if check_bounds else {}):
        process.start()
    theirs.close()
    return process, ours


def _serve(pipe: Connection, among: Sequence[tuple[str, Files]]) -> None:
    """Receive numbers of mutants, and send their outcomes."""
    prepare_process()
    warnings.simplefilter("error")
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as folder:
            pipe.send(attempt(mutant(number, among)[1], Path(folder)))


def models_below(folder: Path) -> list[tuple[str, Files]]:
    """The models below a folder, without other files that they name."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return [(p.name, [(f"model{p.suffix.lower()}", p.read_bytes())]) for p in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--models", type=Path, help="mutate the models below this folder instead of small ones")
    parser.add_argument("--keep", type=Path, help="write the files of each mutant there")
    parser.add_argument("--check-bounds", action="store_true", help="also find indices outside arrays in the loops")
    arguments = parser.parse_args()
    among = models_below(arguments.models) if arguments.models else seeds()
    numbers = range(arguments.first, arguments.first + arguments.count)
    if arguments.keep:
        for number in numbers:
            folder = arguments.keep / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in mutant(number, among)[1]:
                (folder / name).write_bytes(content)

    def show(number: int, text: str) -> None:
        if text not in ("built", "refused"):
            print(f"--- {number} ({among[number % len(among)][0]})\n{text}", flush=True)

    outcomes, findings = fuzz(numbers, among, check_bounds=arguments.check_bounds, on_outcome=show)
    print(dict(outcomes))
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
