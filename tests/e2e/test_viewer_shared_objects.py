"""Shared objects: several browsers and a real relay."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers import free_port, running, script
from test_viewer_gaze import HERE, IWER
from test_viewer_presence import SEES, query
from visit import Visit

Open = Callable[..., Visit]

SMALL = (320, 200)  # up to three pages draw at once, on a CPU

SHOWN = "() => window.streamxr?.sharedObjects().length === 1 && streamxr.sharedObjects()[0].model"
HELD = "() => streamxr.sharedObjects()[0].object.owner !== null"
FREE = "() => streamxr.sharedObjects()[0].object.owner === null"
AT = """(place) => {
    const object = window.streamxr?.sharedObjects()[0];
    return object !== undefined && Math.hypot(...object.position.toArray().map((x, i) => x - place[i])) < 0.005;
}"""
MOVED = "(from) => Math.hypot(...streamxr.sharedObjects()[0].position.toArray().map((x, i) => x - from[i])) > 0.1"
# The centre of the object, in world space.
CENTRE = """() => {
    const model = [...streamxr.streamxr.shown].find(({ parent }) => parent?.parent?.name === "shared objects");
    const { min, max } = model.state.entry.bounds;
    const centre = model.parent.position.clone().set(...min.map((low, i) => (low + max[i]) / 2));
    return model.localToWorld(centre);
}"""
ON_SCREEN = f"""() => {{
    const {{ demo }} = streamxr;
    const {{ x, y }} = ({CENTRE})().project(demo.camera);
    const {{ clientWidth, clientHeight }} = demo.renderer.domElement;
    return [((x + 1) / 2) * clientWidth, ((1 - y) / 2) * clientHeight];
}}"""
# Moves the right controller to the object. The headset's origin is where the camera was, 2 m in front of the scene's.
REACH = f"""() => {{
    const {{ x, y, z }} = ({CENTRE})();
    headset.device.controllers.right.position.set(x, y, z - 2);
}}"""


def place(page: Visit) -> list[float]:
    return list(page.page.evaluate("() => streamxr.sharedObjects()[0].position.toArray()"))


def eye(page: Visit) -> Any:
    return page.page.evaluate("() => streamxr.demo.camera.position.toArray()")


def test_others_see_an_object_move_and_it_stays_where_it_is_released(visit: Open, relay: str) -> None:
    ada = visit(query(relay, "Ada", "0,1.4,2,0,0.5,0", room="shelf"), size=SMALL)
    ben = visit(query(relay, "Ben", "0.8,1.4,2,0,0.5,0", room="shelf"), size=SMALL)
    ada.wait(SEES, "Ben")
    ada.page.get_by_role("button", name="Add a copy").click()
    for page in (ada, ben):
        page.wait(SHOWN)
    start, camera = place(ben), eye(ada)

    x, y = ada.page.evaluate(ON_SCREEN)
    mouse = ada.page.mouse
    mouse.move(x, y)
    mouse.down()
    ben.wait(HELD)
    mouse.move(x - 60, y - 10, steps=4)
    ben.wait(MOVED, start)
    # Ben needs a still target: wait until the object has reached the place to which Ada moved it.
    ada.see_frames(2)
    ben.wait(AT, place(ada))
    ben.see_frames(2)

    # Ben tries to grab the object that Ada holds, and reads who holds it.
    bx, by = ben.page.evaluate(ON_SCREEN)
    ben.page.mouse.move(bx, by)
    ben.page.mouse.down()
    ben.wait("() => document.querySelector('#notices')?.textContent.includes('Ada holds it')")
    ben.page.mouse.up()

    mouse.up()
    ben.wait(FREE)
    released = place(ada)
    ben.wait(AT, released)
    assert eye(ada) == camera, "dragging an object does not move the camera"

    # It stays there after Ada leaves.
    assert ada.crashes == []
    ada.close()
    cleo = visit(query(relay, "Cleo", "0,1.4,2,0,0.5,0", room="shelf"), size=SMALL)
    cleo.wait(SHOWN)
    cleo.wait(AT, released)
    assert ben.crashes == cleo.crashes == []


def test_in_a_headset_a_controller_squeezes_an_object_and_carries_it(visit: Open, relay: str) -> None:
    headset = "\n".join([IWER.read_text(), (HERE / "headset.js").read_text()])
    dora = visit(query(relay, "Dora", "0,1.6,2,0,0.5,0", room="cave"), script=headset, size=SMALL)
    dora.page.get_by_role("button", name="Add a copy").click()
    dora.wait(SHOWN)
    dora.page.get_by_role("button", name="Enter VR").click()
    dora.wait("() => streamxr.demo.renderer.xr.isPresenting")
    start = place(dora)
    dora.page.evaluate(REACH)
    dora.see_frames(2)
    dora.page.evaluate("headset.device.controllers.right.updateButtonValue('squeeze', 1)")
    dora.wait(HELD)
    dora.page.evaluate("headset.device.controllers.right.position.x += 0.3")
    dora.wait(MOVED, start)
    dora.page.evaluate("headset.device.controllers.right.updateButtonValue('squeeze', 0)")
    dora.wait(FREE)
    assert [round(now - then, 2) for now, then in zip(place(dora), start, strict=True)] == [0.3, 0.0, 0.0]
    assert dora.crashes == []


def test_a_token_in_the_address_opens_the_room_and_a_viewer_cannot_add_objects(visit: Open, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a-secret-of-at-least-thirty-two-characters")
    port = free_port()
    serve = [script("streamxr-relay"), "serve", "--host", "127.0.0.1", "--port", str(port), "--metrics-port", "0"]
    sign = [script("streamxr-relay"), "token", "--room", "hall", "--sub", "ada", "--role", "viewer"]
    token = subprocess.run(
        [*sign, "--token-secret-file", secret], capture_output=True, text=True, check=True
    ).stdout.strip()
    with running([*serve, "--token-secret-file", str(secret)], f"http://127.0.0.1:{port}/healthz"):
        address = query(f"ws://127.0.0.1:{port}", "Ada", "0,1.4,2,0,0.5,0")
        ada = visit(f"{address}&token={token}", size=SMALL)
        ada.wait("() => document.querySelector('#people').textContent === 'In the room: only you'")
        assert ada.page.get_by_role("button", name="Add a copy").count() == 0
        ada.close()
        eve = visit(address, size=SMALL)
        eve.wait("() => document.querySelectorAll('#notices .notice').length > 0")
        assert "token" in eve.notices()[0]
