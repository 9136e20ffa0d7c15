"""The page behind nginx with the configuration of deploy/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Site
from stack import Stack, running_stack
from visit import Visit

PROTOCOLS = """() => performance.getEntriesByType("resource")
    .filter(({ name }) => name.includes("/o/"))
    .map(({ nextHopProtocol }) => nextHopProtocol)"""
COARSEST = """() => Math.min(...streamxr.session.streamer.assets.flatMap(({ trees }) =>
    trees.flatMap(({ tree, cut }) => [...cut.drawn].map((region) => tree.regions[region].tier))))"""


@pytest.fixture(scope="module")
def stack(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), bundle) as stack:
        yield stack


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_all_detail_in_view_arrives_over(visit: Callable[..., Visit], stack: Stack, protocol: str) -> None:
    site = stack.secure_site if protocol == "h2" else stack.site
    page = visit("assets=lantern&camera=0,0.7,1,0,0.5,0", at=Site(f"{site}/", Path()))
    page.settle()
    assert set(page.page.evaluate(PROTOCOLS)) == {protocol}
    assert page.page.evaluate(COARSEST) > 0
    assert page.page.evaluate("streamxr.session.failures") == []
    assert page.crashes == []
