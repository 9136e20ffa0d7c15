"""The inspector, fades and uploads, all in one visit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from servers import Site
from visit import Link, Visit


@pytest.fixture(scope="module")
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    visit = Visit(browser, site, "assets=lantern&camera=-0.45,0.7,1.5,-0.45,0.5,0", size=(640, 240), pixel_ratio=1)
    visit.settle()
    yield visit
    assert visit.crashes == []
    visit.close()


def pixels(visit: Visit) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(Image.open(io.BytesIO(visit.picture())).convert("RGB")).astype(np.int64)


# Starts a very long fade from the drawn meshes to copies of them.
FADE_INTO_TWIN = """() => {
    const [asset] = streamxr.streamxr.shown;
    const meshes = [...asset.drawn()].map(({ mesh }) => mesh);
    const twins = meshes.map((mesh) => mesh.parent.add(mesh.clone()).children.at(-1));
    asset.fades.lengthMs = 1e9;
    asset.fades.cross([{ meshes: [meshes] }], [{ meshes: [twins] }], () => {});
    window.end = () => {
        asset.fades.lengthMs = 200;
        for (const twin of twins) twin.removeFromParent();
    };
}"""
HALF_WAY = "() => { const [asset] = streamxr.streamxr.shown; asset.fades.clock += 0.5e9; }"
SHARES = """() => {
    const [asset] = streamxr.streamxr.shown;
    return [...asset.fades.running.values()].map(({ parts }) => parts[0].copy.range.toArray());
}"""


def test_a_fade_draws_every_pixel_once_from_one_tier_or_the_other(visit: Visit) -> None:
    whole = pixels(visit)
    visit.page.evaluate(FADE_INTO_TWIN)
    visit.see_frames(2)
    visit.page.evaluate(HALF_WAY)
    visit.see_frames(2)
    new, old = visit.page.evaluate(SHARES)
    assert new[0] == 0
    assert new[1] == old[0] == pytest.approx(0.5, abs=0.01)
    assert old[1] == 1
    # Both draw the same colours, so a missing or blended pixel would change the picture.
    assert (pixels(visit) == whole).all()
    visit.page.evaluate("end()")
    visit.wait("() => ![...streamxr.streamxr.shown][0].fading")


# Uploads a picture in one call, and again in slices; compares two mipmap levels of both.
UPLOAD_TWICE = """async () => {
    const { demo: { renderer, scene }, streamxr: { host: { uploads } } } = window.streamxr;
    const [width, height] = [1024, 1500];
    const noise = new ImageData(width, height);
    noise.data.forEach((_, i) => { noise.data[i] = i % 4 === 3 ? 255 : (i * 7 + (i >> 11) * 3) % 251; });
    const bitmap = await createImageBitmap(noise, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    let map = null;
    scene.traverse(({ material }) => { map ??= material?.map; });
    const make = () => Object.assign(new map.constructor(bitmap), { flipY: false, needsUpdate: true });
    const gl = renderer.getContext();
    const read = (texture) => [0, 3].map((level) => {
        gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
        const { __webglTexture: memory } = renderer.properties.get(texture);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, memory, level);
        const pixels = new Uint8Array((width >> level) * (height >> level) * 4);
        gl.readPixels(0, 0, width >> level, height >> level, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        return pixels;
    });
    const [whole, strips] = [make(), make()];
    renderer.initTexture(whole);
    const expected = read(whole);
    renderer.resetState();
    let slice = 0, largest = 0;
    const { copyTextureToTexture } = renderer;
    renderer.copyTextureToTexture = (source, target, { min, max }, ...rest) => {
        slice += width * (max.y - min.y) * 4;
        copyTextureToTexture.call(renderer, source, target, { min, max }, ...rest);
    };
    uploads.slice = () => {
        slice = 0;
        Object.getPrototypeOf(uploads).slice.call(uploads);
        largest = Math.max(largest, slice);
    };
    await uploads.texture(strips);
    delete uploads.slice;
    renderer.copyTextureToTexture = copyTextureToTexture;
    const same = read(strips).map((pixels, k) => pixels.every((value, i) => value === expected[k][i]));
    renderer.resetState();
    whole.dispose();
    strips.dispose();
    return { same, largest, error: gl.getError() };
}"""


def test_a_large_picture_is_uploaded_in_slices_without_a_difference(visit: Visit) -> None:
    result = visit.page.evaluate(UPLOAD_TWICE)
    assert result["error"] == 0
    assert result["same"] == [True, True]
    assert 0 < result["largest"] <= 2 << 20, "a frame waits for one slice at most"


def test_regions_are_coloured_by_tier_and_by_need(visit: Visit) -> None:
    visit.page.keyboard.press("h")
    visit.page.locator("#hud").get_by_text("Received").wait_for()
    visit.see_frames(2)
    plain = pixels(visit)
    pictures = []
    for key in ("1", "2", "2"):
        visit.page.keyboard.press(key)
        visit.see_frames(2)
        pictures.append(pixels(visit))
    on_screen = visit.page.evaluate("streamxr.demo.renderer.domElement.getBoundingClientRect().width")
    clear = slice(int(on_screen * 0.6), None)  # beside the panel
    changed = [(np.abs(picture - plain).max(axis=2) > 30)[:, clear].sum() for picture in pictures]
    assert changed[0] > 500, "tiers"
    assert changed[1] > 500, "need"
    assert changed[2] == 0, "the same key switches the colours off"


QUEUE = """() => {
    const texts = (selector) => [...document.querySelectorAll(`#hud ${selector}`)].map((cell) => cell.textContent);
    const heads = ["next", "gain", "bytes", "per KB"];
    return texts("th").join() === heads.join() && texts("td")[0].startsWith("lantern");
}"""


def test_the_queue_shows_the_next_files_with_their_gains(visit: Visit) -> None:
    visit.throttle(Link(1, 20))
    visit.page.evaluate("() => { streamxr.streamxr.view.pixelTolerance = 0.05; }")
    visit.wait(QUEUE)
    visit.throttle(Link(50, 0))
    visit.settle()


def test_the_saved_trace_holds_head_network_plans_and_arrivals(visit: Visit) -> None:
    with visit.page.expect_download() as download:
        visit.page.keyboard.press("4")
    trace = json.loads(download.value.path().read_text())
    assert (trace["format"], trace["version"]) == ("streamxr/trace", 1)
    assert [asset["id"] for asset in trace["assets"]] == ["lantern"]
    assert trace["head"]["format"] == "streamxr/head"
    times = [sample[0] for sample in trace["head"]["samples"]]
    assert len(times) > 1
    assert times == sorted(set(times))
    assert all(len(sample) == 8 for sample in trace["head"]["samples"])
    assert trace["network"]["format"] == "streamxr/network"
    assert trace["network"]["samples"][0][0] == 0
    started = {candidate["key"] for plan in trace["plans"] for candidate in plan["start"]}
    arrived = {arrival["key"] for arrival in trace["arrivals"]}
    assert arrived
    assert arrived <= started
