"""Animations with keyframe files of their own, on the page and in the element."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route
from servers import Site, script, serve
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.accessors import read_accessor
from visit import Visit, new_context

Open = Callable[..., Visit]

HERE = Path(__file__).parent
# More keyframes than fit the base; those of the ball move its morph targets.
MAKE = """
import sys, pathlib, numpy as np, gltf_maker as make
folder = pathlib.Path(sys.argv[1])
make.save(make.dancing_arm(4000, 3000), folder, "arm")
ball = make.morphing_ball()
times = (np.arange(6000) / 30).astype("<f4")
sampler = ball.json["animations"][0]["samplers"][0]
sampler["input"] = ball.accessor(times, min=[0.0], max=[float(times[-1])])
sampler["output"] = ball.accessor(np.tile(np.linspace(0, 1, 6000)[:, None], 3).reshape(-1).astype("<f4"))
make.save(ball, folder, "ball")
"""
# By asset: rotations of the bones, and morph weights. Without duplicates: during a fade a mesh is drawn in two tiers.
POSES = """() => Object.fromEntries([...streamxr.streamxr.shown].map((asset) => {
    const found = new Map();
    const add = (pose) => found.set(JSON.stringify(pose), pose);
    asset.traverse((object) => {
        if (object.isSkinnedMesh) add(object.skeleton.bones.map((bone) => bone.quaternion.toArray()));
        else if (object.isMesh && object.morphTargetInfluences) add([...object.morphTargetInfluences]);
    });
    return [asset.name, [...found.values()]];
}))"""
# Stops the animation of an asset at a time: (name, seconds).
STOP_AT = """([name, seconds]) => {
    const { mixer } = [...streamxr.streamxr.shown].find((asset) => asset.name === name);
    mixer.timeScale = 1;
    mixer.setTime(seconds);
    mixer.timeScale = 0;
}"""
STAGE_OF = """([name, animation]) => streamxr.session.streamer.assets.find(({ id }) => id === name)
    .animations[animation].loadState"""


@dataclass(frozen=True)
class Bundle:
    """A served bundle, and the keyframe files of its assets."""

    site: Site
    arm: list[str]
    ball: list[str]


@pytest.fixture(scope="module")
def dancers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("dancers")
    subprocess.run([sys.executable, "-c", MAKE, folder], cwd=HERE.parent / "pipeline", check=True)
    bundle = folder / "bundle"
    subprocess.run([script("streamxr"), "build", folder, "-o", bundle, "--base-triangles", "300"], check=True)
    with serve(bundle) as site:
        yield Bundle(site, keyframes(bundle, "arm"), keyframes(bundle, "ball"))


def keyframes(bundle: Path, asset: str) -> list[str]:
    entry = json.loads((bundle / "bundle.json").read_text())["assets"][asset]
    manifest = json.loads((bundle / entry["manifest"]["uri"]).read_text())
    return [animation["keyframes"]["uri"] for animation in manifest["animations"]]


class Gate:
    """Delays requests until it is opened."""

    def __init__(self) -> None:
        self.held: list[Route] = []
        self.is_open = False

    def __call__(self, route: Route) -> None:
        if self.is_open:
            route.continue_()
        else:
            self.held.append(route)

    def open(self) -> None:
        self.is_open = True
        for route in self.held:
            route.continue_()


def test_a_model_is_at_rest_until_its_keyframes_have_arrived_and_then_moves(visit: Open, dancers: Bundle) -> None:
    gate = Gate()
    page = visit("assets=arm&camera=0,1,3,0,1,0&hud=1", at=dancers.site, routes={f"**/{dancers.arm[0]}": gate})
    page.wait("() => window.streamxr?.streamxr.shown.size === 1")
    page.see_frames(5)
    rest = page.page.evaluate(POSES)
    page.see_frames(5)
    assert page.page.evaluate(POSES) == rest
    assert page.page.evaluate(STAGE_OF, ["arm", 0]) == "loading"
    gate.open()
    page.wait("(rest) => JSON.stringify((" + POSES + ")()) !== JSON.stringify(rest)", rest)
    page.settle()
    assert not any(url.endswith(dancers.arm[1]) for url in page.requested), "the second animation is not played"
    page.page.locator("#hud").get_by_text("motion").wait_for()
    assert page.crashes == []


def test_keyframes_arrive_before_the_first_refinement(visit: Open) -> None:
    page = visit("assets=koi&camera=0,0.5,0.9,0,0.15,0")
    page.settle()
    files = page.page.evaluate("""() => streamxr.requests.flatMap(({ url }) =>
        [...streamxr.session.streamer.assets[0].files].filter(({ download }) => url.endsWith(download.uri))
            .map(({ download }) => download.key))""")
    animations = [key for key in files if "/animation/" in key]
    assert animations == ["koi/animation/0"]
    tiers = [files.index(key) for key in files if "/tree/" in key]
    assert files.index("koi/animation/0") < min(tiers)


def test_no_refinement_is_requested_before_the_drawing_code_has_arrived(visit: Open, dancers: Bundle) -> None:
    """A refinement would delay that code."""
    gate = Gate()
    page = visit("assets=arm&camera=0,1,3,0,1,0", at=dancers.site, routes={"**/viewer/main-*.js": gate})
    page.wait("""() => ["/o/", "/a/"].every((folder) => performance.getEntriesByType("resource")
        .some(({ name, responseEnd }) => name.includes(folder) && responseEnd > 0))""")
    page.page.wait_for_timeout(500)
    assert sum("/o/" in url for url in page.requested) == 1, "the base"
    gate.open()
    page.wait("() => window.streamxr")
    page.settle()
    assert sum("/o/" in url for url in page.requested) > 2
    assert page.crashes == []


def test_at_a_keyframe_bones_and_weights_have_the_values_of_the_source(visit: Open, dancers: Bundle) -> None:
    page = visit("assets=arm,ball&camera=0,1,3,0,1,0", at=dancers.site)
    page.settle()
    key = 1234
    for asset in ("arm", "ball"):
        page.page.evaluate(STOP_AT, [asset, key / 30])
    page.see_frames(2)
    poses = page.page.evaluate(POSES)
    source = read_model(dancers.site.folder.parent / "arm.glb")
    samplers = source.json["animations"][0]["samplers"]
    elbow, wrist = (read_accessor(source, sampler["output"], "").tolist()[key] for sampler in samplers)
    for bones in poses["arm"]:
        assert bones[1] == pytest.approx(elbow, abs=1e-3)
        assert bones[2] == pytest.approx(wrist, abs=1e-3)
    for weights in poses["ball"]:
        assert weights == pytest.approx([key / 5999] * 3, abs=1e-3)


@pytest.fixture(scope="module")
def broken(dancers: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same bundle without the arm's first keyframe file."""
    folder = tmp_path_factory.mktemp("broken") / "bundle"
    shutil.copytree(dancers.site.folder, folder)
    (folder / dancers.arm[0]).unlink()
    with serve(folder) as site:
        yield site


def test_a_model_without_its_keyframes_is_at_rest_in_full_detail(visit: Open, dancers: Bundle, broken: Site) -> None:
    page = visit("assets=arm&camera=0,1,3,0,1,0&hud=1", at=broken)
    page.settle()
    pose = page.page.evaluate(POSES)
    page.see_frames(5)
    assert page.page.evaluate(POSES) == pose
    failures = page.page.evaluate("streamxr.session.failures.map(({ download }) => download.uri)")
    assert failures == [dancers.arm[0]]
    tiers = "[...streamxr.session.streamer.assets[0].trees[0].cut.drawn]"
    assert page.page.evaluate(tiers) == [2]
    page.page.locator("#hud .alarm").get_by_text("animation dance 0").wait_for()
    assert page.crashes == []


REQUEST = """async (name) => {
    const asset = [...streamxr.streamxr.shown][0];
    return asset.animation(name).then(
        (clip) => [clip.name, clip.tracks.length, asset.animations.includes(clip)],
        (error) => error.message);
}"""


def test_a_page_can_request_any_animation_and_receives_it_or_an_error(visit: Open, broken: Site) -> None:
    page = visit("assets=arm&camera=0,1,3,0,1,0", at=broken)
    page.wait("() => window.streamxr?.streamxr.shown.size === 1")
    assert page.page.evaluate("[...streamxr.streamxr.shown][0].animationNames") == ["dance 0", "dance 1"]
    assert page.page.evaluate(REQUEST, "dance 1") == ["dance 1", 2, True]
    assert "no animation" in page.page.evaluate(REQUEST, "dance 7")
    page.settle()
    assert "cannot be loaded" in page.page.evaluate(REQUEST, "dance 0")


def test_an_element_plays_the_named_animation_and_fetches_no_other(browser: Browser, dancers: Bundle) -> None:
    context = new_context(browser, (320, 240))
    page: Page = context.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    html = """<!doctype html><script type="module" src="viewer/streamxr-viewer.js"></script>
        <streamxr-viewer src="bundle.json" asset="arm" animation="dance 1"></streamxr-viewer>"""
    page.route("**/one.html", lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(dancers.site.url + "one.html")
    is_turned: Any = """() => {
        const model = document.querySelector("streamxr-viewer").model;
        if (!model?.mixer) return null;
        let wrist = null;
        model.traverse((object) => { if (object.name === "wrist") wrist = object; });
        return Math.abs(wrist.quaternion.w) < 0.9999;
    }"""
    page.wait_for_function(is_turned)
    names = page.evaluate("document.querySelector('streamxr-viewer').model.animations.map(({ name }) => name)")
    assert names == ["dance 1"]
    assert any(url.endswith(dancers.arm[1]) for url in requested)
    assert not any(url.endswith(dancers.arm[0]) for url in requested)
    context.close()
