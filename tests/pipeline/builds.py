"""Build models in this process, and hand what was built to the tools that others read it with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gltf_maker as make
from streamxr.pipeline.asset import AssetReport, build_asset
from streamxr.pipeline.bundle import Bundle
from streamxr.pipeline.settings import Settings

HERE = Path(__file__).parent
# Every bundle that the tests built from sound models: test_pipeline_every_bundle.py looks at them all at the end.
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


def in_this_process(_: str, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [function(*task) for task in tasks]


def build_file(path: Path, root: Path, settings: Settings | None = None, *, sound: bool = True) -> Built:
    """Build one model into the bundle at `root`. A model that is not `sound` may make files that are not either."""
    bundle = Bundle(root)
    asset = path.stem.lower()
    report = build_asset(path, path.name, asset, bundle, settings or Settings(), in_this_process)
    bundle.write_catalogue("test", {**bundle.read_catalogue()["assets"], asset: report.entry})
    if sound:
        BUNDLES.add(root)
    return Built(root, report, json.loads((root / report.entry["manifest"]["uri"]).read_text()))


def khronos_errors(files: Sequence[Path]) -> dict[str, list[str]]:
    """Errors that the Khronos validator finds, by file."""
    return _asked("khronos.mjs", files)


def viewer_refusals(bundles: Sequence[Path]) -> dict[str, str]:
    """Why the viewer's own parser refuses a catalogue or a manifest, by file."""
    return _asked("viewer_parser.mjs", bundles)


def _asked(script: str, paths: Sequence[Path]) -> Any:
    command = ["node", str(HERE / script)]
    done = subprocess.run(command, input="\n".join(map(str, paths)), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, f"{done.stderr}\n(needs Node.js and `npm ci` in viewer/)"
    return json.loads(done.stdout)
