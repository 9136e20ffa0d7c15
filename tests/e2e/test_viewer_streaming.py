"""One visit to a sculpture over a slow network: its frames and its requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from playwright.sync_api import Browser
from servers import Site
from visit import Link, Visit

ASSET = "sculpture"
LINK = Link(mbit_per_s=5, latency_ms=40)


@dataclass(frozen=True)
class Arrival:
    """The records from the first request until all detail is drawn, with a camera at rest."""

    manifest: dict[str, Any]
    base: str
    frames: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    requested: dict[str, int]
    crashes: list[str]

    @cached_property
    def drawn(self) -> list[dict[str, Any]]:
        """The frames from the first one that shows the asset.

        A base may be drawn before its manifest has arrived; then it counts as the roots of all trees.
        """
        first = next(i for i, frame in enumerate(self.frames) if frame["regions"])
        return [{**frame, "regions": list(self._regions(frame))} for frame in self.frames[first:]]

    def _regions(self, frame: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for region in frame["regions"]:
            if region["tree"] >= 0:
                yield region
            else:
                yield from ({**region, "tree": tree} for tree in range(len(self.manifest["trees"])))

    def leaves(self) -> Iterator[tuple[int, list[int]]]:
        """For each leaf, its tree and the path from it to the root."""
        for index, tree in enumerate(self.manifest["trees"]):
            regions = tree["regions"]
            for leaf, region in enumerate(regions):
                if not region["children"]:
                    path, parent = [leaf], region["parent"]
                    while parent is not None:
                        path.append(parent)
                        parent = regions[parent]["parent"]
                    yield index, path

    def requests_for(self, *endings: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["url"].endswith(endings)]


@pytest.fixture(scope="module")
def arrival(browser: Browser, site: Site) -> Arrival:
    # Enough pixels that all tiers except the finest have an error of more than one pixel.
    visit = Visit(browser, site, f"assets={ASSET}", link=LINK, size=(960, 540))
    try:
        visit.settle()
        catalogue = json.loads((site.folder / "bundle.json").read_text())["assets"][ASSET]
        return Arrival(
            manifest=json.loads((site.folder / catalogue["manifest"]["uri"]).read_text()),
            base=catalogue["base"]["uri"],
            frames=visit.frames(),
            requests=visit.requests(),
            requested=dict(visit.requested),
            crashes=visit.crashes,
        )
    finally:
        visit.close()


def test_the_sample_is_a_tree_of_several_levels(arrival: Arrival) -> None:
    depth = max(len(path) for _, path in arrival.leaves())
    assert depth >= 2
    assert sum(1 for _ in arrival.leaves()) >= 4


def test_the_base_is_drawn_before_any_refinement(arrival: Arrival) -> None:
    first = arrival.drawn[0]
    assert {region["tier"] for region in first["regions"]} == {0}
    assert {picture["level"] for picture in first["pictures"]} == {0}


def test_the_first_picture_is_complete_and_textured(arrival: Arrival) -> None:
    first = next(frame for frame in arrival.frames if frame["regions"])
    trees = arrival.manifest["trees"]
    expected = sum(len(tree["regions"][0]["primitives"]) * len(tree["nodes"]) for tree in trees)
    assert sum(region["primitives"] for region in first["regions"]) == expected
    shown = {tree["primitives"][kind]["material"] for tree in trees for kind in tree["regions"][0]["primitives"]}
    used = {texture for material in shown for texture in arrival.manifest["materials"][material]["textures"]}
    assert used
    assert {picture["image"] for picture in first["pictures"]} == used


def test_no_finer_file_is_requested_before_the_last_byte_of_the_base(arrival: Arrival) -> None:
    (base,) = arrival.requests_for(arrival.base)
    finer = [request for request in arrival.requests_for(".glb", ".webp") if not request["url"].endswith(arrival.base)]
    assert finer
    assert min(request["start"] for request in finer) >= base["end"]


def test_the_base_does_not_wait_for_the_manifest(arrival: Arrival) -> None:
    (base,) = arrival.requests_for(arrival.base)
    (manifest,) = (request for request in arrival.requests if "/manifest-" in request["url"])
    assert base["start"] < manifest["end"]


def test_each_frame_shows_a_region_or_its_refinement_or_complementary_shares_of_both(arrival: Arrival) -> None:
    for frame in arrival.drawn:
        shares = {(region["tree"], region["region"]): region["share"] for region in frame["regions"]}
        for tree, path in arrival.leaves():
            covering = {region: shares[tree, region] for region in path if (tree, region) in shares}
            assert sum(covering.values()) == pytest.approx(1), (
                f"leaf {path[0]} of tree {tree} is drawn by {covering} at {frame['first']} ms"
            )


def test_tiers_fade_into_each_other(arrival: Arrival) -> None:
    fading = [frame for frame in arrival.drawn if any(0 < region["share"] < 1 for region in frame["regions"])]
    assert fading


def test_the_error_only_decreases_while_the_camera_is_at_rest(arrival: Arrival) -> None:
    before: dict[tuple[int, int], float] = {}
    levels: dict[int, int] = {}
    for frame in arrival.drawn:
        errors = {(region["tree"], region["region"]): region["error"] for region in frame["regions"]}
        for tree, path in arrival.leaves():
            error = next(errors[tree, region] for region in path if (tree, region) in errors)
            assert error <= before.get((tree, path[0]), error)
            before[tree, path[0]] = error
        for picture in frame["pictures"]:
            assert picture["level"] >= levels.get(picture["image"], 0)
            levels[picture["image"]] = picture["level"]


def test_a_picture_is_shown_at_one_level_at_a_time(arrival: Arrival) -> None:
    for frame in arrival.drawn:
        images = [picture["image"] for picture in frame["pictures"]]
        assert len(images) == len(set(images))


def test_the_finest_tier_is_reached(arrival: Arrival) -> None:
    finest = {(tree, path[0]) for tree, path in arrival.leaves()}
    shown = {(region["tree"], region["region"]) for region in arrival.drawn[-1]["regions"]}
    assert shown == finest


def test_pictures_are_refined_too(arrival: Arrival) -> None:
    assert max(picture["level"] for picture in arrival.drawn[-1]["pictures"]) > 0


def test_no_file_is_fetched_twice(arrival: Arrival) -> None:
    assert {url: times for url, times in arrival.requested.items() if times > 1} == {}


def test_no_request_fails(arrival: Arrival) -> None:
    assert arrival.crashes == []
    assert [request for request in arrival.requests if request["status"] != 200 or request["broken"]] == []
