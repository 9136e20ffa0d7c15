"""Build models in this process, and check the bundles with other tools: Khronos, the viewer's parser, Draco."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import DracoPy
import gltf_maker as make
import numpy as np
from streamxr.pipeline.asset import build_asset
from streamxr.pipeline.asset_report import AssetReport
from streamxr.pipeline.bundle.files import Bundle
from streamxr.pipeline.bundle.validate import decode_refinement, decode_stream
from streamxr.pipeline.gltf.document import DRACO
from streamxr.pipeline.jobs.tasks import start_locally
from streamxr.pipeline.mesh.surface import Surface, merge
from streamxr.pipeline.settings import Settings

HERE = Path(__file__).parent
# The bundles that tests have built from sound models and that `bundle_faults` has not checked yet.
BUNDLES: set[Path] = set()


@dataclass(frozen=True)
class Built:
    """A built asset: its folder, report and manifest."""

    root: Path
    report: AssetReport
    manifest: dict[str, Any]

    @property
    def base(self) -> tuple[dict[str, Any], bytes]:
        return make.unpack((self.root / self.manifest["base"]["uri"]).read_bytes())


def build_file(path: Path, root: Path, settings: Settings | None = None, *, sound: bool = True) -> Built:
    """Build one model into the bundle at `root`. sound: whether all files must be valid glTF."""
    bundle = Bundle(root)
    asset = path.stem.lower()
    report = build_asset(path, path.name, asset, bundle, settings or Settings(), start_locally)
    bundle.write_catalogue("test", {**bundle.read_catalogue()["assets"], asset: report.entry})
    if sound:
        BUNDLES.add(root)
    return Built(root, report, json.loads((root / report.entry["manifest"]["uri"]).read_text()))


def bundle_faults() -> list[str]:
    """The faults that other tools find in the files of BUNDLES, which is empty then.

    The Khronos validator reads every GLB, DracoPy and Draco's JavaScript decoder (the viewer's) must decode every
    stream to the same bits, and the viewer's parser reads every catalogue and manifest. The parser is stricter than
    the schema: indices in range, tiers and levels that grow, unit axes.
    """
    roots = sorted(BUNDLES)
    BUNDLES.clear()
    files = [glb for root in roots for glb in sorted((root / "o").rglob("*.glb"))]
    if not roots:
        return []
    with ThreadPoolExecutor() as tools:
        invalid = tools.submit(khronos_errors, files)
        refused = tools.submit(viewer_refusals, roots)
        _, different = decoders_differ(files)
        return [
            *(f"{file}: the Khronos validator finds {errors}" for file, errors in invalid.result().items()),
            *(f"{file}: the viewer's parser says {error}" for file, error in refused.result().items()),
            *(f"{file}: DracoPy and Draco's JavaScript decoder differ" for file in different),
        ]


def khronos_errors(files: Sequence[Path]) -> dict[str, list[str]]:
    """Errors that the Khronos validator finds, by file."""
    return _run_node("khronos.mjs", files)


def viewer_refusals(bundles: Sequence[Path]) -> dict[str, str]:
    """The errors of the viewer's parser for catalogues and manifests, by file."""
    return _run_node("viewer_parser.mjs", bundles)


def decoded_regions(built: Built, tree: dict[str, Any]) -> dict[int, Surface]:
    """Every region of a tree as a decoder sees it; the root is in the base."""
    document, chunk = built.base
    mesh = document["meshes"][document["nodes"][tree["nodes"][0]]["mesh"]]
    kinds = tree["regions"][0]["primitives"]
    streams = [s for p in mesh["primitives"] if (s := draco_stream(document, chunk, p)) is not None]
    surfaces = {0: merge([decode_stream(s, k) for s, k in zip(streams, kinds, strict=True)])}
    for region in tree["regions"]:
        if region["refinement"]:
            content = (built.root / region["refinement"]["uri"]).read_bytes()
            surfaces |= dict(zip(region["children"], decode_refinement(content, tree, region["children"]), strict=True))
    return surfaces


def draco_stream(document: dict[str, Any], chunk: bytes, primitive: dict[str, Any]) -> bytes | None:
    extension = primitive.get("extensions", {}).get(DRACO)
    if extension is None:
        return None
    view = document["bufferViews"][extension["bufferView"]]
    return chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]


def decoders_differ(files: Sequence[Path]) -> tuple[int, list[Path]]:
    """The number of Draco streams in GLB files, and the files that two decoders decode differently.

    DracoPy and Draco's JavaScript decoder must agree in every bit of positions and triangles.
    """
    owners: list[Path] = []
    python_hashes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            document, chunk = make.unpack(path.read_bytes())
            for primitive in (p for mesh in document.get("meshes", []) for p in mesh["primitives"]):
                stream = draco_stream(document, chunk, primitive)
                if stream is None:
                    continue
                (Path(folder) / f"{len(owners)}.drc").write_bytes(stream)
                owners.append(path)
                decoded = DracoPy.decode(stream)
                bits = np.asarray(decoded.points, "<f4").tobytes() + np.asarray(decoded.faces, "<u4").tobytes()
                python_hashes.append(hashlib.sha256(bits).hexdigest())
        names = "\n".join(str(Path(folder) / f"{number}.drc") for number in range(len(owners)))
        command = ["node", str(HERE / "draco_positions.mjs")]
        done = subprocess.run(command, input=names, capture_output=True, text=True, timeout=250, check=True)
    javascript_hashes = done.stdout.split()
    assert len(javascript_hashes) == len(python_hashes)
    hashes = zip(owners, python_hashes, javascript_hashes, strict=True)
    return len(python_hashes), [owner for owner, python, javascript in hashes if python != javascript]


def _run_node(script: str, paths: Sequence[Path]) -> Any:
    """The JSON that a script of this folder prints for paths on its standard input."""
    command = ["node", str(HERE / script)]
    done = subprocess.run(command, input="\n".join(map(str, paths)), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, f"{done.stderr}\n(needs Node.js and `npm ci` in viewer/)"
    return json.loads(done.stdout)
