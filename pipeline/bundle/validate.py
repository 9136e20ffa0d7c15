"""Check a finished bundle: the schema, hash and size of each file, and the decoded borders of regions."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import DracoPy
import numpy as np

from ..errors import ModelError
from ..gltf.document import DRACO, Json
from ..mesh.surface import Surface, merge
from ..mesh.topology import unique_rows
from ..trees.borders import DecodedRegion, cracked_regions
from .files import CATALOGUE, Bundle, check, read_hashed, read_manifest


@dataclass(frozen=True)
class Finding:
    """One defect of a bundle."""

    asset: str
    text: str


@dataclass(frozen=True)
class Validation:
    """The number of assets, files, bytes and region borders that were checked, and the defects."""

    assets: int
    files: int
    bytes: int
    borders: int
    findings: tuple[Finding, ...]


def validate(root: Path, on_asset: Callable[[str], None] = lambda _: None) -> Validation:
    """Check the bundle at `root`. Raises ModelError if its catalogue is missing or damaged."""
    if not (root / CATALOGUE).is_file():
        raise ModelError(f"{root} is not a bundle: it has no {CATALOGUE}", remedy="run streamxr build first")
    catalogue = Bundle(root).read_catalogue()
    findings: list[Finding] = []
    sizes: dict[str, int] = {}
    borders = 0
    for asset, entry in catalogue["assets"].items():
        on_asset(asset)
        try:
            manifest = read_manifest(root, entry["manifest"])
        except ModelError as error:
            findings.append(Finding(asset, str(error)))
            continue
        sizes[entry["manifest"]["uri"]] = entry["manifest"]["bytes"]
        defects, asset_sizes, compared = _validate_asset(root, entry, manifest)
        findings += [Finding(asset, text) for text in defects]
        sizes |= asset_sizes
        borders += compared
    return Validation(len(catalogue["assets"]), len(sizes), sum(sizes.values()), borders, tuple(findings))


def _validate_asset(root: Path, entry: Json, manifest: Json) -> tuple[list[str], dict[str, int], int]:
    """The defects of an asset, the bytes of each file by uri, and the number of regions whose borders were compared."""
    findings: list[str] = []
    sizes: dict[str, int] = {}
    borders = 0

    def load(file: Json) -> bytes | None:
        sizes[file["uri"]] = file["bytes"]
        try:
            return read_hashed(root, file)
        except ModelError as error:
            findings.append(str(error))
            return None

    base = {key: manifest["base"][key] for key in ("uri", "bytes")}
    if (entry["base"], entry["bounds"]) != (base, manifest["bounds"]):
        findings.append("catalogue and manifest have different bases or bounds")
    load(manifest["base"])
    findings += _check_animations(manifest)
    for animation in manifest["animations"]:
        if animation["keyframes"]:
            load(animation["keyframes"])
    if manifest["objects"] and (content := load(manifest["objects"])) is not None:
        findings += _check_objects(content, manifest["objects"])
    for texture in manifest["textures"]:
        for level in texture["levels"]:
            if level["uri"] is not None:
                load(level)
    for number, tree in enumerate(manifest["trees"]):
        surfaces: dict[int, Surface] = {}
        for index, region in enumerate(tree["regions"]):
            findings += _check_structure(tree, number, index, region)
            if region["refinement"] is None or (content := load(region["refinement"])) is None:
                continue
            decoded = decode_refinement(content, tree, region["children"])
            for child, surface in zip(region["children"], decoded, strict=True):
                surfaces[child] = surface
                findings += _check_surface(tree, number, child, surface)
        compared, cracked = _compare_borders(tree, surfaces)
        borders += compared
        findings += [f"tree {number}, region {i}: its border differs from that of its children" for i in cracked]
    return findings, sizes, borders


def _check_animations(manifest: Json) -> list[str]:
    """Rules of keyframe files that the schema cannot express."""
    files = [a["keyframes"] for a in manifest["animations"]]
    findings = []
    if files and files[0] and not all(files):
        findings.append("the base has animations, but not the first one")
    for number, file in enumerate(files):
        if file and len(file["reach"]) != len(manifest["trees"]):
            findings.append(f"animation {number}: its reach does not have one distance for each tree")
    return findings


def _check_objects(content: bytes, file: Json) -> list[str]:
    """Rules of a file of objects: the schema, its count, and the order and parents of its nodes."""
    try:
        document = json.loads(content)
        check(document, "Objects", file["uri"])
    except (ValueError, RecursionError, ModelError) as error:
        return [f"{file['uri']}: is not a list of objects: {error}"]
    nodes = [each["node"] for each in document["objects"]]
    findings = []
    if len(nodes) != file["count"]:
        findings.append(f"{file['uri']}: has {len(nodes)} objects, but {file['count']} in the manifest")
    if any(a >= b for a, b in pairwise(nodes)):
        findings.append(f"{file['uri']}: its nodes are not in the order of their indices")
    children: dict[int | None, list[int]] = {}
    for each in document["objects"]:
        children.setdefault(each["parent"], []).append(each["node"])
    reached = 0
    stack: list[int | None] = [None]
    while stack:
        found = children.pop(stack.pop(), [])
        reached += len(found)
        stack += found
    if reached < len(nodes):
        findings.append(f"{file['uri']}: a parent is none of its nodes, or below itself")
    return findings


def _check_structure(tree: Json, number: int, index: int, region: Json) -> list[str]:
    """Rules of regions that the schema cannot express: links between them, and errors that fall."""
    place = f"tree {number}, region {index}"
    findings = []
    if (region["refinement"] is not None) != bool(region["children"]):
        findings.append(f"{place}: has children but no refinement, or a refinement but no children")
    for child in region["children"]:
        if not index < child < len(tree["regions"]) or tree["regions"][child]["parent"] != index:
            findings.append(f"{place}: child {child} does not have it as its parent")
        elif not tree["regions"][child]["error"] < region["error"]:
            findings.append(f"{place}: the error of child {child} does not fall")
    return findings


def _check_surface(tree: Json, number: int, index: int, surface: Surface) -> list[str]:
    """Compare a decoded region with its triangle count and its bounding sphere."""
    region = tree["regions"][index]
    place = f"tree {number}, region {index}"
    findings = []
    if len(surface.triangles) != region["triangles"]:
        findings.append(f"{place}: has {len(surface.triangles)} triangles, but {region['triangles']} in the manifest")
    if tree["kind"] == "skinned":  # its sphere bounds the animated poses, and its file has the rest pose only
        return findings
    x, y, z, radius = region["sphere"]
    far = float(np.linalg.norm(surface.positions - np.array([x, y, z]), axis=1).max(initial=0.0))
    if far > radius:
        findings.append(f"{place}: reaches {far:g} from the centre of its sphere, past the radius of {radius:g}")
    return findings


def decode_refinement(content: bytes, tree: Json, children: Sequence[int]) -> list[Surface]:
    """The decoded positions and triangles of each child in a refinement."""
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    chunk = content[20 + size + 8 :]
    result = []
    for mesh, child in zip(document["meshes"], children, strict=True):
        parts = []
        kinds = tree["regions"][child]["primitives"]
        for primitive, kind in zip(mesh["primitives"], kinds, strict=True):
            view = document["bufferViews"][primitive["extensions"][DRACO]["bufferView"]]
            parts.append(decode_stream(chunk[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], kind))
        result.append(merge(parts))
    return result


def decode_stream(stream: bytes, kind: int) -> Surface:
    """A Draco stream as a welded surface of one kind; positions are exact float32 values."""
    decoded: Any = DracoPy.decode(stream)
    positions, inverse = unique_rows(np.asarray(decoded.points, np.float32).reshape(-1, 3).astype(np.float64))
    triangles = inverse[np.asarray(decoded.faces).reshape(-1, 3).astype(np.int64)]
    return Surface(positions, triangles, np.full(len(triangles), kind, np.int64), np.zeros((len(triangles), 3, 2)))


def _compare_borders(tree: Json, surfaces: dict[int, Surface]) -> tuple[int, list[int]]:
    """The number of regions whose borders were compared with those of their children, and the regions that differ."""
    regions = tree["regions"]
    tiers: dict[int, list[int]] = {}
    for index, region in enumerate(regions):
        tiers.setdefault(region["tier"], []).append(index)
    compared = 0
    cracked: list[int] = []
    for members in tiers.values():
        children = [c for i in members for c in regions[i]["children"]]
        if len(members) < 2 or not children or not all(i in surfaces for i in [*members, *children]):
            continue
        compared += len(members)
        fine = {i: [DecodedRegion(surfaces[c]) for c in regions[i]["children"]] for i in members}
        cracked += cracked_regions({i: DecodedRegion(surfaces[i]) for i in members}, fine)
    return compared, cracked
