"""Checks of every file of every bundle that the other tests have built."""

from __future__ import annotations

from pathlib import Path

from builds import BUNDLES, Built, decoders_differ, khronos_errors, viewer_refusals


def test_every_glb_passes_the_khronos_validator(tree: Built) -> None:
    assert tree.root in BUNDLES
    assert khronos_errors(every_glb()) == {}


def test_dracopy_and_dracos_javascript_decoder_agree_in_every_bit(tree: Built) -> None:
    """Other tests check borders with DracoPy; the viewer uses the JavaScript decoder."""
    assert tree.root in BUNDLES
    streams, different = decoders_differ(every_glb())
    assert streams > 20
    assert different == []


def test_the_viewers_parser_accepts_every_catalogue_and_manifest(tree: Built) -> None:
    """The parser is stricter than the schema: indices in range, tiers and levels that grow, unit axes …"""
    assert tree.root in BUNDLES
    assert viewer_refusals(sorted(BUNDLES)) == {}


def every_glb() -> list[Path]:
    return [glb for root in sorted(BUNDLES) for glb in sorted((root / "o").rglob("*.glb"))]
