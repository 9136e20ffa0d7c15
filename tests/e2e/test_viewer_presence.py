"""Avatars: several browsers and a real relay."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import quote

from processes import PATIENCE_S
from servers import free_port, running, script
from visit import Visit

Open = Callable[..., Visit]

SEES = "(name) => window.streamxr?.avatars().some((avatar) => avatar.name === name && avatar.visible)"
MOVED = """({ name, from }) => {
    const avatar = streamxr.avatars().find((each) => each.name === name);
    return avatar !== undefined && Math.hypot(...avatar.head.position.toArray().map((x, i) => x - from[i])) > 0.2;
}"""

HEAD = "(name) => streamxr.avatars().find((each) => each.name === name).head.position.toArray()"


def query(relay: str, name: str, camera: str, room: str = "hall") -> str:
    return f"assets=lantern&relay={quote(relay)}&room={room}&name={name}&camera={camera}"


def head_of(page: Visit, name: str) -> list[float]:
    head: list[float] = page.page.evaluate(HEAD, name)
    return head


def orbit(page: Visit) -> None:
    """Turns the view a little with the mouse."""
    mouse = page.page.mouse
    mouse.move(400, 200)
    mouse.down()
    mouse.move(500, 205, steps=6)
    mouse.up()


def test_two_visitors_see_each_other_move(visit: Open, relay: str) -> None:
    ada = visit(query(relay, "Ada", "0,1.6,2,0,0.5,0"))
    ben = visit(query(relay, "Ben", "2,1.5,0,0,0.5,0"))
    ada.wait(SEES, "Ben")
    ben.wait(SEES, "Ada")
    for mover, watcher, name in ((ada, ben, "Ada"), (ben, ada, "Ben")):
        before = head_of(watcher, name)
        orbit(mover)
        watcher.wait(MOVED, {"name": name, "from": before})
    assert ada.crashes == ben.crashes == []


def test_an_avatar_is_at_the_camera_of_its_visitor(visit: Open, relay: str) -> None:
    ada = visit(query(relay, "Ada", "0,1.6,2,0,0.5,0", room="place"))
    ben = visit(query(relay, "Ben", "2,1.5,0.25,0,0.5,0", room="place"))
    ada.wait(SEES, "Ben")
    ada.wait(
        """() => {
            const { x, y, z } = streamxr.avatars()[0].head.position;
            return Math.hypot(x - 2, y - 1.5, z - 0.25) < 0.01;
        }"""
    )
    assert ben.crashes == []


def test_the_avatar_of_a_visitor_who_leaves_disappears(visit: Open, relay: str) -> None:
    ada = visit(query(relay, "Ada", "0,1.6,2,0,0.5,0", room="exit"))
    ben = visit(query(relay, "Ben", "2,1.5,0,0,0.5,0", room="exit"))
    ada.wait(SEES, "Ben")
    ben.close()
    ada.wait("() => streamxr.avatars().length === 0")


def test_visitors_of_other_rooms_have_no_avatar(visit: Open, relay: str) -> None:
    ada = visit(query(relay, "Ada", "0,1.6,2,0,0.5,0", room="one"))
    ben = visit(query(relay, "Ben", "2,1.5,0,0,0.5,0", room="two"))
    cleo = visit(query(relay, "Cleo", "0,1.5,-2,0,0.5,0", room="one"))
    ada.wait(SEES, "Cleo")
    cleo.wait(SEES, "Ada")
    names = "streamxr.avatars().map(({ name }) => name)"
    assert ada.page.evaluate(names) == ["Cleo"]
    assert ben.page.evaluate(names) == []


def test_assets_are_shown_when_the_relay_cannot_be_reached(visit: Open) -> None:
    page = visit(query("ws://127.0.0.1:9", "Ada", "0,1.6,2,0,0.5,0"))
    page.wait("() => window.streamxr?.frames.at(-1)?.regions.length > 0")
    page.wait("() => document.querySelectorAll('#notices .notice').length > 0")
    assert "127.0.0.1:9" in page.notices()[0]


def visits_of(port: int, name: str) -> int:
    """How many visits of desktops have reported a time to the relay whose metrics are on this port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    found = re.search(rf'^streamxr_visit_{name}_seconds_count{{device="desktop"}} (\d+)$', text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_the_operator_sees_what_visitors_got_unless_the_page_does_not_report(visit: Open) -> None:
    port, metrics = free_port(), free_port()
    serve = [script("streamxr-relay"), "serve", "--port", str(port), "--metrics-port", str(metrics)]
    with running(serve, f"http://127.0.0.1:{port}/healthz"):
        address = query(f"ws://127.0.0.1:{port}", "Ada", "0,1.6,2,0,0.5,0")
        quiet = visit(f"{address}&report=0", size=(160, 90))
        ada = visit(address, size=(160, 90))
        for page in (quiet, ada):
            page.settle()
        deadline = time.monotonic() + 2 * PATIENCE_S
        while visits_of(metrics, "full_detail") == 0 and time.monotonic() < deadline:
            ada.see_frames(2)
        assert visits_of(metrics, "full_detail") == 1
        assert visits_of(metrics, "first_visible") == 1
