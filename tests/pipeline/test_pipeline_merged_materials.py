"""Materials that differ in factors only become one, with colours of vertices and a palette."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import crate_maker
import DracoPy
import gltf_maker as make
import numpy as np
import pytest
from builds import Built, build_file, draco_stream
from command import run
from streamxr.pipeline.formats.model import read_model
from streamxr.pipeline.gltf.document import DRACO
from streamxr.pipeline.gltf.draco import choose_grid, encode_primitive
from streamxr.pipeline.pictures.color import encode_srgb
from streamxr.pipeline.settings import Settings
from streamxr.pipeline.trees.merged_materials import MANY, NAME, STEPS, MergedMaterials, merge_materials
from streamxr.pipeline.trees.scene import read_scene
from streamxr.pipeline.views.drawable import drawable_source
from streamxr.pipeline.views.materials import PLAIN, flat_materials

Build = Callable[..., Built]
BOXES, SIDE = 2000, 13
HALF_A_CODE = 0.5 + 1e-9
SQUARES = 6  # along each side of a board
CELLS = 8  # along each side of a square


def paint(number: int, color: np.ndarray, **pbr: Any) -> make.Json:
    factors = {"baseColorFactor": [*color.tolist(), 1.0], "metallicFactor": 0.0, **pbr}
    return {"name": f"paint {number}", "pbrMetallicRoughness": factors}


def colors_of(count: int) -> np.ndarray:
    """Linear colours (count, 3) of random sRGB values, dark ones included."""
    codes = np.random.default_rng(4).random((count, 3))
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def boxes(count: int) -> make.Maker:
    """Boxes on a lattice, each a mesh with a material of its own."""
    maker = make.Maker()
    for number, color in enumerate(colors_of(count)):
        maker.material(**paint(number, color))
        place = np.array([number % SIDE, number // SIDE % SIDE, number // SIDE**2], np.float64)
        crate_maker.add_box(maker, place, np.full(3, 0.6), number)
    return maker


def board() -> make.Maker:
    """A bent plane of squares that touch, each with a material of its own."""
    maker = make.Maker()
    for number, color in enumerate(colors_of(SQUARES**2)):
        maker.material(**paint(number, color))
    row, column = np.divmod(np.arange((CELLS + 1) ** 2), CELLS + 1)
    first = (np.arange(CELLS)[:, None] * (CELLS + 1) + np.arange(CELLS)).reshape(-1)
    a, b, c, d = first, first + 1, first + CELLS + 1, first + CELLS + 2
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    primitives = []
    for number in range(SQUARES**2):
        x, z = column + CELLS * (number % SQUARES), row + CELLS * (number // SQUARES)
        positions = np.stack([x, 2 * np.sin(x / 9) * np.cos(z / 9), z], axis=1)
        primitives.append(maker.primitive(positions, triangles, number))
    maker.node(mesh=maker.mesh(*primitives))
    return maker


def primitives_in(content: bytes) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """For each mesh of a GLB, the corners (m, 3, 3) and their colours (m, 3, 3), as sRGB codes, of each primitive."""
    document, chunk = make.unpack(content)
    meshes = []
    for mesh in document["meshes"]:
        found = []
        for primitive in mesh["primitives"]:
            if "COLOR_0" not in primitive["attributes"] or "extensions" not in primitive:
                continue
            stream = draco_stream(document, chunk, primitive)
            assert stream is not None
            decoded = DracoPy.decode(stream)
            key = primitive["extensions"][DRACO]["attributes"]["COLOR_0"]
            raw = np.asarray(decoded.get_attribute_by_unique_id(key)["data"]).reshape(len(decoded.points), -1)
            faces = np.asarray(decoded.faces).reshape(-1, 3)
            found.append((np.asarray(decoded.points)[faces], 255 * encode_srgb(raw[:, :3] / 65535.0)[faces]))
        meshes.append(found)
    return meshes


def refinements(built: Built) -> list[bytes]:
    (tree,) = built.manifest["trees"]
    return [(built.root / r["refinement"]["uri"]).read_bytes() for r in tree["regions"] if r["refinement"]]


def merged_of(maker: make.Maker, folder: Path, keep_nodes: str = "") -> MergedMaterials:
    return merge_materials(read_model(make.save(maker, folder, "model")), keep_nodes)


def names_in(document: make.Json) -> list[str]:
    return [material.get("name", "") for material in document["materials"]]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("many")
    return build_file(make.save(boxes(BOXES), folder, "boxes"), folder / "build", Settings(leaf_triangles=3000))


def test_two_thousand_materials_fit_into_the_base(many: Built) -> None:
    assert many.manifest["base"]["bytes"] <= 60_000
    assert NAME in names_in(many.base[0])
    assert not any("paint" in name for name in names_in(many.base[0]))
    assert any(f"{BOXES:,} materials" in note for note in many.report.notes)


def test_two_thousand_materials_are_one_primitive_in_each_region(many: Built) -> None:
    (tree,) = many.manifest["trees"]
    assert tree["primitives"][0] == {"material": 0, "attributes": ["COLOR_0", "POSITION"]}
    assert len(tree["regions"]) > 4
    assert all(region["primitives"] == [0] for region in tree["regions"][1:])
    assert all(len(mesh) == 1 for content in refinements(many) for mesh in primitives_in(content))


def test_the_finest_tier_has_the_colours_of_the_source_within_half_a_code(many: Built) -> None:
    expected = 255 * encode_srgb(colors_of(BOXES))
    corners, codes = zip(*(p for c in refinements(many)[-1:] for m in primitives_in(c) for p in m), strict=True)
    place = np.floor(np.concatenate(corners).mean(axis=1) + 0.2).astype(np.int64)
    number = place[:, 0] + SIDE * place[:, 1] + SIDE**2 * place[:, 2]
    gap = np.abs(np.concatenate(codes) - expected[number][:, None])
    assert len(np.unique(number)) > BOXES / 20
    assert gap.max() <= HALF_A_CODE


def test_gpu_bytes_count_two_bytes_for_each_deep_colour() -> None:
    corners = np.eye(3)
    grid = choose_grid(corners.min(axis=0), corners.max(axis=0), 1.0, 14)
    attributes = {"POSITION": corners, "COLOR_0": corners * 0.3}
    encoded = encode_primitive(attributes, np.array([[0, 1, 2]]), grid, Settings(), deep_colors=True)
    assert encoded.gpu_bytes == 3 * (3 * 4 + 3 * 2) + 3 * 2


def test_no_triangle_of_any_tier_mixes_colours(build: Build) -> None:
    built = build(board(), settings=Settings(leaf_triangles=800, base_triangles=300))
    palette = 255 * encode_srgb(colors_of(SQUARES**2))
    meshes = [m for c in [*refinements(built), make.pack(*built.base)] for m in primitives_in(c)]
    assert len(meshes) >= 5
    for codes in (codes for mesh in meshes for _, codes in mesh):
        assert (codes == codes[:, :1]).all()
        nearest = np.abs(codes[:, 0][:, None] - palette).max(axis=2).min(axis=1)
        assert nearest.max() <= HALF_A_CODE


def test_merged_materials_leave_the_finest_geometry_as_it_is(build: Build) -> None:
    settings = Settings(leaf_triangles=800, base_triangles=300)
    kept = Settings(leaf_triangles=800, base_triangles=300, keep_materials=True)
    one, other = build(board(), "one", settings), build(board(), "other", kept)
    regions = [b.manifest["trees"][0]["regions"] for b in (one, other)]
    finest = [[region["triangles"] for region in each if not region["children"]] for each in regions]
    assert len(finest[0]) == 4
    assert finest[0] == finest[1]
    assert one.manifest["base"]["bytes"] < other.manifest["base"]["bytes"]
    assert names_in(other.base[0]) == [f"paint {number}" for number in range(SQUARES**2)]


def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    path = make.save(board(), tmp_path, "board")
    first, second = (build_file(path, tmp_path / name, Settings(leaf_triangles=800)) for name in ("a", "b"))
    assert first.report.entry == second.report.entry


def test_few_materials_keep_their_names(tmp_path: Path) -> None:
    assert merged_of(boxes(MANY - 1), tmp_path).primitives == {}
    few = merged_of(boxes(MANY - 1), tmp_path).document.json
    assert names_in(few) == [f"paint {number}" for number in range(MANY - 1)]
    assert names_in(merged_of(boxes(MANY), tmp_path).document.json) == [NAME]


def has_a_picture(maker: make.Maker) -> None:
    texture = {"index": maker.picture(make.noise(8))}
    maker.json["materials"][3]["pbrMetallicRoughness"]["baseColorTexture"] = texture


def has_extras(maker: make.Maker) -> None:
    maker.json["materials"][3]["extras"] = {"part": 7}


def has_an_extension(maker: make.Maker) -> None:
    maker.json["materials"][3]["extensions"] = {"KHR_materials_clearcoat": {"clearcoatFactor": 1}}


def is_blended(maker: make.Maker) -> None:
    maker.json["materials"][3]["alphaMode"] = "BLEND"


def has_no_twin(maker: make.Maker) -> None:
    maker.json["materials"][3]["emissiveFactor"] = [1, 0, 0]


def is_a_variant(maker: make.Maker) -> None:
    variants = {"KHR_materials_variants": {"mappings": [{"material": 3, "variants": [0]}]}}
    maker.json["meshes"][5]["primitives"][0] |= {"extensions": variants, "material": 3}


def has_a_variant(maker: make.Maker) -> None:
    worn = {"mappings": [{"material": maker.material(name="worn", extras={}), "variants": [0]}]}
    maker.json["meshes"][3]["primitives"][0]["extensions"] = {"KHR_materials_variants": worn}


def is_animated(maker: make.Maker) -> None:
    times = maker.accessor(np.array([0, 1], "<f4"))
    values = maker.accessor(np.zeros((2, 4), "<f4"))
    pointer = {"pointer": "/materials/3/pbrMetallicRoughness/baseColorFactor"}
    target = {"path": "pointer", "extensions": {"KHR_animation_pointer": pointer}}
    sampler = {"input": times, "output": values}
    maker.json["animations"] = [{"samplers": [sampler], "channels": [{"sampler": 0, "target": target}]}]


def is_on_a_named_node(maker: make.Maker) -> None:
    maker.json["nodes"][3]["name"] = "door"


def is_on_a_node_with_extras(maker: make.Maker) -> None:
    maker.json["nodes"][3]["extras"] = {"part": 7}


def is_on_a_morphed_mesh(maker: make.Maker) -> None:
    primitive = maker.json["meshes"][3]["primitives"][0]
    primitive["targets"] = [{"POSITION": primitive["attributes"]["POSITION"]}]


def is_on_lines(maker: make.Maker) -> None:
    maker.json["meshes"][3]["primitives"][0]["mode"] = 1


def is_on_a_primitive_with_extras(maker: make.Maker) -> None:
    maker.json["meshes"][3]["primitives"][0]["extras"] = {"face": 1}


@pytest.mark.parametrize(
    "change",
    [
        has_a_picture,
        has_extras,
        has_an_extension,
        is_blended,
        has_no_twin,
        is_a_variant,
        has_a_variant,
        is_animated,
        is_on_a_named_node,
        is_on_a_node_with_extras,
        is_on_a_morphed_mesh,
        is_on_lines,
        is_on_a_primitive_with_extras,
    ],
)
def test_a_material_with_another_use_stays_and_all_indices_follow(
    change: Callable[[make.Maker], None], tmp_path: Path
) -> None:
    maker = boxes(MANY + 4)
    before = maker.json["materials"][3]
    change(maker)
    merged = merged_of(maker, tmp_path, "door")
    materials = merged.document.json["materials"]
    assert before in materials
    assert names_in(merged.document.json)[0] == NAME
    assert len(materials) == (3 if change is has_a_variant else 2)
    old = maker.json["materials"]
    for mesh, (was, now) in enumerate(zip(maker.json["meshes"], merged.document.json["meshes"], strict=True)):
        for number, (one, other) in enumerate(zip(was["primitives"], now["primitives"], strict=True)):
            if (mesh, number) in merged.primitives:
                assert merged.primitives[mesh, number].index == one["material"]
                assert materials[other["material"]]["name"] == NAME
            else:
                assert materials[other["material"]] == old[one["material"]]
            for a, b in zip(_mapped(one), _mapped(other), strict=True):
                assert materials[b] == old[a]
    for was, now in zip(_pointed(maker.json), _pointed(merged.document.json), strict=True):
        assert materials[now] == old[was]


def _mapped(primitive: make.Json) -> list[int]:
    variants = primitive.get("extensions", {}).get("KHR_materials_variants", {})
    return [mapping["material"] for mapping in variants.get("mappings", [])]


def _pointed(document: make.Json) -> list[int]:
    targets = [c["target"] for a in document.get("animations", []) for c in a["channels"]]
    pointers = [t["extensions"]["KHR_animation_pointer"]["pointer"] for t in targets if "extensions" in t]
    return [int(pointer.split("/")[2]) for pointer in pointers]


def test_no_material_is_merged_beside_an_extension_that_may_refer_to_it(tmp_path: Path) -> None:
    maker = boxes(MANY)
    maker.json["extensions"] = {"VRM": {"materialProperties": []}}
    merged = merged_of(maker, tmp_path)
    assert len(names_in(merged.document.json)) == MANY
    assert any("VRM" in note for note in merged.notes)


def test_materials_that_differ_in_emission_or_shine_are_groups(tmp_path: Path) -> None:
    maker = boxes(MANY)
    for number, material in enumerate(maker.json["materials"]):
        material["pbrMetallicRoughness"]["roughnessFactor"] = [0.3, 0.7][number % 2]
        material["emissiveFactor"] = [[0, 0, 0], [0, 1, 0]][number // 2 % 2]
    materials = merged_of(maker, tmp_path).document.json["materials"]
    found = {(m["pbrMetallicRoughness"]["roughnessFactor"], tuple(m.get("emissiveFactor", [0] * 3))) for m in materials}
    assert found == {(r, e) for r in (0.3, 0.7) for e in ((0, 0, 0), (0, 1, 0))}
    assert len({m["name"] for m in materials}) == 4


def test_many_combinations_of_shine_and_emission_are_texels_of_a_palette(tmp_path: Path) -> None:
    maker = boxes(400)
    rng = np.random.default_rng(8)
    factors = rng.random((400, 5))
    factors[:200, 2:] = 0
    for material, (metal, rough, *light) in zip(maker.json["materials"], factors.tolist(), strict=True):
        material["pbrMetallicRoughness"] |= {"metallicFactor": metal, "roughnessFactor": rough}
        material["emissiveFactor"] = light
    merged = merged_of(maker, tmp_path)
    (tree,) = read_scene(merged.document, "", merged.primitives).trees
    (material,) = flat_materials(merged.document, [0])
    uv = tree.source.surface.uv[np.unique(tree.source.surface.kinds, return_index=True)[1], 0]
    shown = material.at(uv)
    order = [kind.merged for kind in tree.kinds]
    assert shown.surface[:, [2, 1]] == pytest.approx(factors[order, :2], abs=0.51 / 255)
    assert 255 * encode_srgb(shown.emission) == pytest.approx(255 * encode_srgb(factors[order, 2:]), abs=0.51)


def test_a_palette_is_one_level_without_a_filter(build: Build) -> None:
    maker = boxes(500)
    for number, material in enumerate(maker.json["materials"]):
        material["pbrMetallicRoughness"]["roughnessFactor"] = number / 500
    built = build(maker)
    document, _ = built.base
    (picture,) = built.manifest["textures"]
    assert [level["uri"] for level in picture["levels"]] == [None]
    (sampler,) = document["samplers"]
    assert (sampler["magFilter"], sampler["minFilter"]) == (9728, 9728)
    assert built.manifest["trees"][0]["regions"][-1]["metresPerUv"] is None


def test_equal_extensions_are_kept_and_different_ones_are_groups(tmp_path: Path) -> None:
    maker = boxes(MANY)
    for number, material in enumerate(maker.json["materials"]):
        material["extensions"] = {"KHR_materials_ior": {"ior": [1.3, 1.5][number % 2]}}
    materials = merged_of(maker, tmp_path).document.json["materials"]
    assert [m["extensions"]["KHR_materials_ior"]["ior"] for m in materials] == [1.3, 1.5]


def test_factors_of_extensions_are_rounded_if_there_are_too_many_groups(tmp_path: Path) -> None:
    maker = boxes(400)
    for number, material in enumerate(maker.json["materials"]):
        coat = {"clearcoatFactor": number / 400, "clearcoatRoughnessFactor": 0.25}
        material["extensions"] = {"KHR_materials_clearcoat": coat}
    merged = merged_of(maker, tmp_path)
    assert len(merged.document.json["materials"]) == STEPS + 1
    assert any("rounded" in note for note in merged.notes)
    for (mesh, _), was in merged.primitives.items():
        now = merged.document.json["materials"][merged.document.json["meshes"][mesh]["primitives"][0]["material"]]
        coat = now["extensions"]["KHR_materials_clearcoat"]
        assert abs(coat["clearcoatFactor"] - was.index / 400) <= 0.5 / STEPS
        assert coat["clearcoatRoughnessFactor"] == 0.25


def test_equal_materials_become_one_without_colours(tmp_path: Path) -> None:
    maker = boxes(MANY)
    for material in maker.json["materials"]:
        material["pbrMetallicRoughness"]["baseColorFactor"] = [0.2, 0.4, 0.6, 1.0]
    merged = merged_of(maker, tmp_path)
    assert [m["pbrMetallicRoughness"]["baseColorFactor"] for m in merged.document.json["materials"]] == [
        [0.2, 0.4, 0.6, 1.0]
    ]
    (tree,) = read_scene(merged.document, "", merged.primitives).trees
    assert {kind.attributes for kind in tree.kinds} == {("POSITION",)}


def test_own_colours_of_vertices_are_multiplied(tmp_path: Path) -> None:
    maker = boxes(MANY)
    accessor = maker.accessor(np.tile(np.array([[255, 51, 0, 128]], "<u1"), (36, 1)), normalized=True)
    maker.json["meshes"][3]["primitives"][0]["attributes"]["COLOR_0"] = accessor
    merged = merged_of(maker, tmp_path)
    (tree,) = read_scene(merged.document, "", merged.primitives).trees
    of = tree.source.surface.kinds == 3
    assert tree.source.corners("COLOR_0")[of] == pytest.approx(
        np.broadcast_to(colors_of(MANY)[3] * [1.0, 0.2, 0.0], (12, 3, 3))
    )


def test_a_merged_black_material_is_drawn_black(tmp_path: Path) -> None:
    maker = boxes(MANY)
    maker.json["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [0, 0, 0, 1]
    merged = merged_of(maker, tmp_path)
    (tree,) = read_scene(merged.document, "", merged.primitives).trees
    drawn = drawable_source(tree.source, tree.kinds, [PLAIN] * len(tree.kinds))
    assert (drawn.colors[tree.source.surface.kinds == 0][:, :, :3] == 0).all()


def test_keep_materials_keeps_every_name(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    make.save(boxes(MANY), tmp_path / "src", "boxes")
    for option, expected in (((), 1), (("--keep-materials",), MANY)):
        build = tmp_path / f"build-{expected}"
        done = run("build", tmp_path / "src", "-o", build, "-j", 1, *option)
        assert done.returncode == 0, done.stderr
        (manifest,) = (build / "a" / "boxes").glob("manifest-*")
        assert manifest.read_text().count('"doubleSided"') == expected
