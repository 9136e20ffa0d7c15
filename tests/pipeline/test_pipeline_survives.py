"""Extensions, extras and other properties survive flattening, and keep their meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import DracoPy
import gltf_maker as make
import numpy as np
import pytest
from builds import Built, decoded_regions, draco_stream, khronos_errors
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.settings import Settings

Build = Callable[..., Built]

MATERIALS: dict[str, dict[str, Any]] = {
    "KHR_materials_anisotropy": {"anisotropyStrength": 0.5, "anisotropyTexture": {"index": 0}},
    "KHR_materials_clearcoat": {"clearcoatFactor": 1, "clearcoatNormalTexture": {"index": 0}},
    "KHR_materials_diffuse_transmission": {"diffuseTransmissionColorTexture": {"index": 0}},
    "KHR_materials_dispersion": {"dispersion": 0.1},
    "KHR_materials_emissive_strength": {"emissiveStrength": 4},
    "KHR_materials_ior": {"ior": 1.33},
    "KHR_materials_iridescence": {"iridescenceThicknessTexture": {"index": 0}},
    "KHR_materials_pbrSpecularGlossiness": {"specularGlossinessTexture": {"index": 0}},
    "KHR_materials_sheen": {"sheenColorTexture": {"index": 0}, "sheenRoughnessFactor": 0.3},
    "KHR_materials_specular": {"specularColorTexture": {"index": 0}},
    "KHR_materials_transmission": {"transmissionTexture": {"index": 0}},
    "KHR_materials_unlit": {},
    "KHR_materials_volume": {"thicknessTexture": {"index": 0}, "attenuationDistance": 2},
}


def without_index(properties: dict[str, Any]) -> dict[str, Any]:
    return {k: without_index(v) if isinstance(v, dict) else v for k, v in properties.items() if k != "index"}


@pytest.mark.parametrize("name", MATERIALS)
def test_a_material_extension_passes_through_with_its_pictures(build: Build, name: str) -> None:
    maker = make.textured_sphere(6, 8)
    maker.json["materials"][1] |= {"extensions": {name: MATERIALS[name]}, "normalTexture": {"index": 0}}
    maker.json["extensionsUsed"] = [name]
    built = build(maker)
    document, _ = built.base
    kept = document["materials"][1]["extensions"][name]
    assert without_index(kept) == without_index(MATERIALS[name])
    for slot, info in kept.items():
        if slot.endswith("Texture"):
            assert document["textures"][info["index"]]["extensions"]["EXT_texture_webp"]["source"] < len(
                document["images"]
            )
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


@pytest.mark.parametrize("mirrored", [False, True])
def test_tangents_are_kept_if_a_material_needs_them_and_has_no_normal_map(build: Build, mirrored: bool) -> None:
    """Brushed metal: without tangents the file would not be valid."""
    maker = make.Maker()
    positions, normals, uv, triangles = make.bumpy_sphere(30, 40)
    around = np.stack([normals[:, 2], 0 * normals[:, 0], -normals[:, 0]], axis=1)
    around /= np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
    around[np.linalg.norm(around, axis=1) < 0.5] = [1, 0, 0]
    tangents = np.concatenate([around, np.ones_like(around[:, :1])], axis=1).astype("<f4")
    maker.material(extensions={"KHR_materials_anisotropy": {"anisotropyStrength": 0.9}})
    primitive = maker.primitive(positions, triangles, 0, NORMAL=normals, TEXCOORD_0=uv, TANGENT=tangents)
    maker.node(mesh=maker.mesh(primitive), scale=[-1 if mirrored else 1, 1, 1])
    maker.json["extensionsUsed"] = ["KHR_materials_anisotropy"]
    built = build(maker, settings=Settings(base_triangles=600))
    (tree,) = built.manifest["trees"]
    assert len(tree["regions"]) > 1
    assert "TANGENT" in tree["primitives"][0]["attributes"]
    document, chunk = built.base
    (primitive,) = document["meshes"][0]["primitives"]
    decoded = DracoPy.decode(draco_stream(document, chunk, primitive))
    key = primitive["extensions"]["KHR_draco_mesh_compression"]["attributes"]["TANGENT"]
    kept = np.asarray(decoded.get_attribute_by_unique_id(key)["data"]).reshape(-1, 4)
    assert set(np.round(kept[:, 3], 5).tolist()) == {-1.0 if mirrored else 1.0}
    assert np.abs(np.linalg.norm(kept[:, :3], axis=1) - 1).max() < 0.003
    points = np.asarray(decoded.points)
    expected = np.stack([points[:, 2], 0 * points[:, 0], -points[:, 0]], axis=1) * (-1 if mirrored else 1)
    away = np.linalg.norm(expected, axis=1) > 0.3  # from the poles, where the direction is undefined
    cosine = (kept[:, :3] * expected).sum(axis=1)[away] / np.linalg.norm(expected, axis=1)[away]
    assert np.median(cosine) > 0.99
    assert khronos_errors(sorted((built.root / "o").rglob("*.glb"))) == {}


def with_variants() -> make.Maker:
    """Two halves of one material; one half has a variant."""
    maker = make.textured_sphere(8, 12)
    maker.json["extensions"] = {"KHR_materials_variants": {"variants": [{"name": "worn"}]}}
    maker.json["extensionsUsed"] = ["KHR_materials_variants"]
    first, second = maker.json["meshes"][0]["primitives"]
    second["material"] = first["material"]
    first["extensions"] = {"KHR_materials_variants": {"mappings": [{"material": 1, "variants": [0]}]}}
    first["extras"] = {"part": "lid"}
    maker.json["nodes"][0].pop("extras")
    return maker


def test_material_variants_survive_flattening(build: Build) -> None:
    maker = with_variants()
    built = build(maker)
    (tree,) = built.manifest["trees"]
    assert tree["kind"] == "static"
    document, _ = built.base
    primitives = document["meshes"][document["nodes"][tree["nodes"][0]]["mesh"]]["primitives"]
    found = [p["extensions"].get("KHR_materials_variants") for p in primitives]
    assert found == [{"mappings": [{"material": 1, "variants": [0]}]}, None]
    assert [p.get("extras") for p in primitives] == [{"part": "lid"}, None]
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


def test_a_variant_of_a_missing_material_is_refused(build: Build) -> None:
    maker = with_variants()
    maker.json["meshes"][0]["primitives"][0]["extensions"]["KHR_materials_variants"]["mappings"][0]["material"] = 9
    with pytest.raises(ModelError, match=r"KHR_materials_variants.*materials\[9\]"):
        build(maker)


@pytest.mark.parametrize(
    ("kind", "component", "tolerance"), [("f4", 5123, 1 / 4095), ("u2", 5123, 1 / 4095), ("u1", 5121, 0)]
)
def test_vertex_colours_keep_their_depth_and_alpha(build: Build, kind: str, component: int, tolerance: float) -> None:
    maker = make.Maker()
    positions, _, _, triangles = make.bumpy_sphere(12, 16)
    shade = (positions[:, :1] + 1.1) / 60  # dark: 8 bits of linear light would leave nine steps
    colors = np.concatenate([np.repeat(shade, 3, axis=1), np.full_like(shade, 0.5)], axis=1)
    stored = colors.astype("<f4") if kind == "f4" else np.rint(colors * np.iinfo(kind).max).astype(f"<{kind}")
    expected = stored if kind == "f4" else stored / np.iinfo(kind).max
    primitive = maker.primitive(positions, triangles, COLOR_0=stored)
    if kind != "f4":
        maker.json["accessors"][primitive["attributes"]["COLOR_0"]]["normalized"] = True
    maker.node(mesh=maker.mesh(primitive))
    built = build(maker)
    document, chunk = built.base
    (built_primitive,) = (p for mesh in document["meshes"] for p in mesh["primitives"])
    accessor = document["accessors"][built_primitive["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["normalized"], accessor["type"]) == (component, True, "VEC4")
    decoded = DracoPy.decode(draco_stream(document, chunk, built_primitive))
    key = built_primitive["extensions"]["KHR_draco_mesh_compression"]["attributes"]["COLOR_0"]
    kept = np.asarray(decoded.get_attribute_by_unique_id(key)["data"]).reshape(-1, 4)
    kept = kept / (255 if component == 5121 else 65535)
    nearest = np.linalg.norm(np.asarray(decoded.points)[:, None] - positions[None], axis=2).argmin(axis=1)
    assert np.abs(kept - expected[nearest]).max() <= tolerance * 0.55 + 1e-6
    assert khronos_errors([built.root / built.manifest["base"]["uri"]]) == {}


def test_a_mesh_that_an_extension_may_hide_stays_with_its_node(build: Build) -> None:
    maker = make.textured_sphere(8, 12)
    maker.json["nodes"][0].pop("extras")
    inner = maker.node(root=False, mesh=0, name="inner")
    maker.node(children=[inner], name="cover", extensions={"KHR_node_visibility": {"visible": False}})
    maker.json["extensionsUsed"] = ["KHR_node_visibility"]
    built = build(maker)
    assert [(t["kind"], t["nodes"]) for t in built.manifest["trees"]] == [("rigid", [0, inner])]
    assert built.base[0]["nodes"][2]["extensions"] == {"KHR_node_visibility": {"visible": False}}


def test_a_node_kept_by_name_keeps_its_descendants(build: Build) -> None:
    maker = make.textured_sphere(8, 12)
    maker.json["nodes"][0].pop("extras")
    leaf = maker.node(root=False, mesh=maker.mesh(*maker.json["meshes"][0]["primitives"]), name="leaf")
    maker.node(children=[leaf], name="door left")
    trees = build(maker, settings=Settings(keep_nodes="door*")).manifest["trees"]
    assert [(t["kind"], t["nodes"]) for t in trees if t["kind"] == "rigid"] == [("rigid", [leaf])]


def test_extras_of_a_mesh_survive(build: Build) -> None:
    maker = make.textured_sphere(8, 12)
    maker.json["nodes"][0].pop("extras")
    maker.json["meshes"][0]["extras"] = {"price": 3}
    built = build(maker)
    (tree,) = built.manifest["trees"]
    document, _ = built.base
    assert tree["nodes"] == [0]
    assert document["meshes"][document["nodes"][0]["mesh"]]["extras"] == {"price": 3}


def test_animation_pointers_follow_their_targets(build: Build) -> None:
    maker = make.morphing_quad()
    still = maker.primitive(*make.bumpy_sphere(6, 8)[::3])
    maker.json["meshes"].insert(0, {"primitives": [still]})
    maker.json["nodes"][0]["mesh"] = 1
    maker.node(mesh=0, name="flattened")
    turned = maker.node(mesh=maker.mesh(still), name="turned")
    times = maker.accessor(np.array([0, 1], "<f4"), min=[0], max=[1])
    weights = maker.accessor(np.array([0, 0, 1, 1], "<f4"))
    turns = maker.accessor(np.array([[0, 0, 0, 1], [0, 1, 0, 0]], "<f4"))

    def channel(sampler: int, pointer: str) -> dict[str, Any]:
        target = {"path": "pointer", "extensions": {"KHR_animation_pointer": {"pointer": pointer}}}
        return {"sampler": sampler, "target": target}

    maker.json["animations"] = [
        {
            "samplers": [{"input": times, "output": weights}, {"input": times, "output": turns}],
            "channels": [channel(0, "/meshes/1/weights"), channel(1, f"/nodes/{turned}/rotation")],
        }
    ]
    maker.json["extensionsUsed"] = ["KHR_animation_pointer"]
    built = build(maker)
    document, _ = built.base
    pointers = [
        c["target"]["extensions"]["KHR_animation_pointer"]["pointer"] for c in document["animations"][0]["channels"]
    ]
    assert pointers == ["/meshes/0/weights", f"/nodes/{turned}/rotation"]
    assert "targets" in document["meshes"][0]["primitives"][0]
    assert [t["nodes"] for t in built.manifest["trees"] if t["kind"] == "rigid"] == [[turned]]


def test_xmp_and_extras_of_the_document_survive(build: Build) -> None:
    maker = make.textured_sphere(6, 8)
    packets = {"packets": [{"@context": {"dc": "http://purl.org/dc/elements/1.1/"}, "dc:creator": "Ada"}]}
    maker.json["extensions"] = {"KHR_xmp_json_ld": packets}
    maker.json["asset"]["extensions"] = {"KHR_xmp_json_ld": {"packet": 0}}
    maker.json["extensionsUsed"] = ["KHR_xmp_json_ld", "ACME_unknown"]
    maker.json["extensions"]["ACME_unknown"] = {"kept": True}
    maker.json["scenes"][0]["extras"] = {"mood": "dusk"}
    maker.json["materials"][0]["extras"] = [1, 2]
    maker.json["extras"] = {"whole": 1}
    document, _ = build(maker).base
    assert document["extensions"] == maker.json["extensions"]
    assert document["asset"]["extensions"] == {"KHR_xmp_json_ld": {"packet": 0}}
    assert document["scenes"][0]["extras"] == {"mood": "dusk"}
    assert document["materials"][0]["extras"] == [1, 2]
    assert document["extras"] == {"whole": 1}


def test_metres_per_uv_include_the_texture_transform(build: Build) -> None:
    """Compressors store UV as integers, with a transform that scales them back."""

    def measured(name: str, factor: float) -> float:
        maker = make.textured_sphere(12, 16, two_materials=False)
        positions, normals, uv, triangles = make.bumpy_sphere(12, 16)
        stored = (uv * factor).astype("<f4")
        maker.json["meshes"][0]["primitives"] = [
            maker.primitive(positions, triangles, 0, NORMAL=normals, TEXCOORD_0=stored)
        ]
        info = maker.json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
        info["extensions"] = {"KHR_texture_transform": {"scale": [1 / factor, 1 / factor]}}
        maker.json["extensionsUsed"] = ["KHR_texture_transform"]
        value: float = build(maker, name).manifest["trees"][0]["regions"][0]["metresPerUv"]
        return value

    assert measured("quantised", 4095) == pytest.approx(measured("plain", 1), rel=1e-3)


def test_a_mesh_that_the_default_scene_does_not_draw_is_reported(build: Build) -> None:
    maker = make.textured_sphere(6, 8)
    maker.mesh(*maker.json["meshes"][0]["primitives"], name="spare")
    assert build(maker).report.notes == ("1 mesh is left out: the default scene does not draw it",)


def test_the_node_of_an_instance_leads_to_its_regions(build: Build) -> None:
    maker = make.textured_sphere(50, 60, two_materials=False)
    maker.node(mesh=0, name="second", translation=[3, 0, 0])
    built = build(maker)
    (tree,) = (t for t in built.manifest["trees"] if 1 in t["nodes"])
    names = [built.base[0]["nodes"][n]["name"] for n in tree["nodes"]]
    assert names == ["ball", "second"]
    assert len(decoded_regions(built, tree)) == len(tree["regions"]) > 1
