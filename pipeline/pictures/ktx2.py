"""Encode KTX2 pictures, which stay compressed in GPU memory, with an encoder that the user installs.

The encoder is Basis Universal as WebAssembly (npm's ktx2-encoder): one command installs it wherever Node.js runs, and
the same code gives the same bytes on every machine. Colours become ETC1S, which is small; its blocks of one hue in four
shades suit pictures. Normals and data become UASTC, because their channels are independent and such blocks cannot
represent that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ModelError, os_reason
from ..settings import Role

MAX_PIXELS = 12 << 20  # of one picture: the encoder's limit within the memory of WebAssembly
BLOCK = 4  # pixels: the sides of a compressed picture are multiples of it
IDENTIFIER = b"\xabKTX 20\xbb\r\n\x1a\n"
PACKAGE = "ktx2-encoder"
REMEDY = f"install Node.js 18 or newer, then: npm install --global {PACKAGE}"
HERE = Path(__file__).resolve().parent


@cache
def find_encoder() -> tuple[str, str]:
    """The path of Node.js, and the folder of the encoder's package: in this checkout, else installed globally.

    Raises ModelError if one of them is missing.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    package = HERE.parents[1] / "viewer" / "node_modules" / PACKAGE
    if npm is not None and not package.is_dir():
        package = Path(_run([npm, "root", "--global"]).stdout.decode(errors="replace").strip()) / PACKAGE
    if node is not None and package.is_dir():
        return node, str(package)
    raise ModelError("KTX2 pictures need an encoder that is not installed", remedy=REMEDY)


def encode(pixels: npt.NDArray[np.uint8], role: Role) -> bytes:
    """A KTX2 file with all mipmaps. pixels: (h, w, 3 or 4), with sides that are multiples of four.

    Raises ModelError if the encoder is missing or fails.
    """
    node, package = find_encoder()
    height, width, channels = pixels.shape
    opaque = np.full((height, width, 4 - channels), 255, np.uint8)
    command = [node, str(HERE / "ktx2_encoder.mjs"), package, json.dumps([width, height, role])]
    done = _run(command, np.dstack([pixels, opaque]).tobytes())
    if done.returncode != 0 or not done.stdout.startswith(IDENTIFIER):
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise ModelError(f"the KTX2 encoder failed on {width}×{height} pixels: {lines[-1][:200]}", remedy=REMEDY)
    return done.stdout


def _run(command: Sequence[str], content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program of Node.js. Raises ModelError if it cannot be started."""
    try:
        return subprocess.run(command, input=content, capture_output=True, check=False)
    except OSError as error:
        problem = f"cannot run {command[0]} for the KTX2 encoder: {os_reason(error)}"
        raise ModelError(problem, remedy=REMEDY) from None


def gpu_bytes(width: int, height: int, role: Role, alpha: bool) -> int:
    """Bytes in the memory of a headset's GPU, mipmaps included: blocks of ETC2 or ASTC.

    ETC1S without alpha becomes ETC2 RGB with 8 bytes for each block; everything else has 16. (Desktop GPUs without ETC2
    use BC7, which always has 16.)
    """
    block = 8 if role == "color" and not alpha else 16
    total = 0
    while True:
        total += -(-width // BLOCK) * -(-height // BLOCK) * block
        if width == height == 1:
            return total
        width, height = max(1, width // 2), max(1, height // 2)
