"""Refinement of skinned and morphed assets while they move."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from servers import script, serve
from visit import Visit

HERE = Path(__file__).parent
MAKE = """
import sys, pathlib, gltf_maker as make
for name, maker in (("arm", make.bending_arm()), ("ball", make.morphing_ball())):
    make.save(maker, pathlib.Path(sys.argv[1]), name)
"""
# (asset, tier, drawn triangles), in the order of frames.
DRAWN = """() => window.streamxr.frames.flatMap(({ regions }) =>
    regions.map(({ asset, tier, triangles }) => [asset, tier, triangles]))"""
# Rotations of the bones, and morph weights, of the drawn meshes.
MOVED = """() => {
    const found = {};
    for (const asset of window.streamxr.streamxr.shown) asset.traverse((object) => {
        if (!object.isMesh || !object.parent) return;
        if (object.isSkinnedMesh) found.bones = object.skeleton.bones.map((bone) => bone.quaternion.toArray());
        else if (object.morphTargetInfluences) found.weights = [...object.morphTargetInfluences];
    });
    return found;
}"""


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Visit]:
    folder = tmp_path_factory.mktemp("moving")
    subprocess.run([sys.executable, "-c", MAKE, folder], cwd=HERE.parent / "pipeline", check=True)
    bundle = folder / "bundle"
    command = [script("streamxr"), "build", folder, "-o", bundle, "--base-triangles", "300"]
    subprocess.run(command, check=True)
    with serve(bundle) as site:
        visit = Visit(browser, site, "camera=0,1,3,0,1,0")
        visit.settle()
        yield visit
        visit.close()


def test_every_tier_up_to_the_finest_is_drawn(visit: Visit) -> None:
    assert visit.crashes == []
    for asset, finest in (("arm", 3_540), ("ball", 3_120)):
        drawn = [(tier, round(count)) for name, tier, count in visit.page.evaluate(DRAWN) if name == asset]
        assert drawn[0][1] < 600, "the base comes first"
        assert drawn[-1] == (2, finest)


def test_bones_and_weights_go_on_moving_the_finest_tier(visit: Visit) -> None:
    before = visit.page.evaluate(MOVED)
    visit.wait("(before) => JSON.stringify((" + MOVED + ")()) !== JSON.stringify(before)", before)
    after = visit.page.evaluate(MOVED)
    assert before["bones"] != after["bones"]
    assert before["weights"] != after["weights"]
