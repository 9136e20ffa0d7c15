"""Avatars: several browsers and a real relay."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

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
