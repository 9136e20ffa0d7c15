"""What must be true of every file of every bundle that the other tests built."""

from __future__ import annotations

from pathlib import Path

from builds import BUNDLES, Built, decoders_differ, khronos_errors, viewer_refusals


def test_every_glb_passes_the_khronos_validator(tree: Built) -> None:
    assert tree.root in BUNDLES
    assert khronos_errors(every_glb()) == {}


def test_dracos_own_decoder_sees_the_same_bits_in_every_file(tree: Built) -> None:
    """So what is shown of borders with one decoder holds with the other, which is the viewer's."""
    assert tree.root in BUNDLES
    streams, different = decoders_differ(every_glb())
    assert streams > 20
    assert different == []


def test_the_viewer_takes_every_catalogue_and_manifest(tree: Built) -> None:
    """Its parser is stricter than the schema: indices in range, tiers and levels that grow, unit axes …"""
    assert tree.root in BUNDLES
    assert viewer_refusals(sorted(BUNDLES)) == {}


def every_glb() -> list[Path]:
    return [glb for root in sorted(BUNDLES) for glb in sorted((root / "o").rglob("*.glb"))]
