"""`streamxr validate` finds each kind of defect, and the schema agrees with the shared test vectors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gltf_maker as make
import jsonschema
import numpy as np
import pytest
from builds import Built
from streamxr.pipeline.bundle.files import Bundle, load_schema, read_manifest
from streamxr.pipeline.bundle.validate import decode_refinement, validate
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.gltf.draco import Grid, encode_primitive
from streamxr.pipeline.gltf.glb import refinement_glb
from streamxr.pipeline.mesh.surface import PrimitiveKind, merge, part
from streamxr.pipeline.mesh.topology import open_edges, rows_in
from streamxr.pipeline.settings import Settings

VECTORS = Path(__file__).parents[1] / "vectors" / "v1" / "manifest"


@pytest.fixture
def copy(tree: Built, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree.root, tmp_path / "copy"))


def refinement(tree: Built, region: int = 1) -> str:
    uri: str = tree.manifest["trees"][0]["regions"][region]["refinement"]["uri"]
    return uri


def finding_after(copy: Path, tree: Built, damage: Callable[[Path], object]) -> str:
    """The one finding after a refinement was damaged."""
    damage(copy / refinement(tree))
    (finding,) = validate(copy).findings
    assert refinement(tree) in finding.text
    return finding.text


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found(copy: Path, tree: Built) -> None:
    assert "has the hash" in finding_after(copy, tree, flip)


def test_a_missing_file_is_found(copy: Path, tree: Built) -> None:
    assert "is missing" in finding_after(copy, tree, Path.unlink)


def test_a_truncated_file_is_found(copy: Path, tree: Built) -> None:
    assert "bytes instead of" in finding_after(copy, tree, lambda path: path.write_bytes(path.read_bytes()[:99]))


def rewrite(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and write it with the right hashes, as a pipeline with a bug would."""
    bundle = Bundle(root)
    assets = bundle.read_catalogue()["assets"]
    ((asset, entry),) = assets.items()
    manifest = read_manifest(root, entry["manifest"])
    change(manifest)
    entry["manifest"] = bundle.put_manifest(asset, manifest)
    bundle.write_catalogue("test", assets)


def test_a_crack_is_found(copy: Path) -> None:
    """Removes a triangle at the border of the first leaf."""

    def crack(manifest: dict[str, Any]) -> None:
        tree = manifest["trees"][0]
        parent = next(r for r in tree["regions"] if r["tier"] == 2)
        kinds = [PrimitiveKind(k["material"], ("POSITION",)) for k in tree["primitives"]]
        grid = Grid(tuple(tree["grid"]["origin"]), tree["grid"]["range"], tree["grid"]["bits"])
        children = []
        decoded = decode_refinement((copy / parent["refinement"]["uri"]).read_bytes(), tree, parent["children"])
        whole = merge(decoded)
        border = whole.positions[np.unique(open_edges(whole.triangles))]
        for number, surface in enumerate(decoded):
            keep = surface.kinds >= 0
            if number == 0:  # with two vertices on the border
                keep[np.argmax(rows_in(surface.positions, border)[surface.triangles].sum(axis=1) == 2)] = False
            cracked = part(surface, keep)
            primitives = []
            for kind in tree["regions"][parent["children"][number]]["primitives"]:
                own = part(cracked, cracked.kinds == kind)
                primitives.append(
                    (kind, encode_primitive({"POSITION": own.positions}, own.triangles, grid, Settings()))
                )
            children.append(primitives)
            tree["regions"][parent["children"][number]]["triangles"] = len(cracked.triangles)
        content = refinement_glb(children, kinds, ["skin", "metal"])
        parent["refinement"] |= Bundle(copy).put(content, "glb")

    rewrite(copy, crack)
    findings = validate(copy).findings  # for the region with the crack and for its neighbours
    assert 1 <= len(findings) <= 3
    assert all("border differs" in f.text for f in findings)


def test_an_error_that_does_not_fall_is_found(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["trees"][0]["regions"][1]["error"] = 99

    rewrite(copy, change)
    (finding,) = validate(copy).findings
    assert "region 0: the error of child 1 does not fall" in finding.text


def test_a_sphere_that_is_too_small_is_found(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["trees"][0]["regions"][3]["sphere"][3] *= 0.9

    rewrite(copy, change)
    (finding,) = validate(copy).findings
    assert "past the radius of" in finding.text


@pytest.mark.parametrize(("version", "remedy"), [(2, "update StreamXR"), (0, "build again"), ("1", "build again")])
def test_a_bundle_of_another_version_has_one_clear_message(tmp_path: Path, version: object, remedy: str) -> None:
    catalogue = {"format": "streamxr/bundle", "version": version, "news": True}
    (tmp_path / "bundle.json").write_text(json.dumps(catalogue), "utf-8")
    with pytest.raises(ModelError) as raised:
        Bundle(tmp_path).read_catalogue()
    assert raised.value.place == "bundle.json.version"
    assert f"is {version!r}, but this StreamXR reads 1" in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize("path", sorted(VECTORS.glob("valid/*.json")), ids=lambda p: p.stem)
def test_the_schema_accepts_valid_documents(path: Path) -> None:
    jsonschema.Draft202012Validator(load_schema()).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", sorted(VECTORS.glob("invalid/*.json")), ids=lambda p: p.stem)
def test_the_schema_refuses_invalid_documents_where_it_can(path: Path) -> None:
    vector = json.loads(path.read_text())
    valid = jsonschema.Draft202012Validator(load_schema()).is_valid(vector["document"])
    assert valid == (vector.get("schema") is False)


def test_written_manifests_keep_the_stricter_rules_of_the_viewer(tree: Built) -> None:
    for described in tree.manifest["trees"]:
        for region in described["regions"]:
            assert all(described["regions"][c]["tier"] == region["tier"] + 1 for c in region["children"])
    for texture in tree.manifest["textures"]:
        pixels = [level["width"] * level["height"] for level in texture["levels"]]
        assert pixels == sorted(set(pixels))


def test_a_damaged_catalogue_is_named(tmp_path: Path) -> None:
    make.save(make.morphing_quad(), tmp_path, "x")
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(Exception, match=r"bundle\.json: is not JSON"):
        validate(tmp_path)
