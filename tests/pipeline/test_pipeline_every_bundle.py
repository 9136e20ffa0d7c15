"""What must be true of every file of every bundle that the other tests built."""

from __future__ import annotations

from builds import BUNDLES, Built, khronos_errors, viewer_refusals


def test_every_glb_passes_the_khronos_validator(tree: Built) -> None:
    assert tree.root in BUNDLES
    assert khronos_errors([glb for root in sorted(BUNDLES) for glb in sorted((root / "o").rglob("*.glb"))]) == {}


def test_the_viewer_takes_every_catalogue_and_manifest(tree: Built) -> None:
    """Its parser is stricter than the schema: indices in range, tiers and levels that grow, unit axes …"""
    assert tree.root in BUNDLES
    assert viewer_refusals(sorted(BUNDLES)) == {}
