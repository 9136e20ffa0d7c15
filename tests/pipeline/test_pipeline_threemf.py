"""3MF: units, build items, components, colours; hostile packages are refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threemf_maker as make
from builds import build_file, khronos_errors
from streamxr.pipeline.errors import ModelError
from streamxr.pipeline.formats import threemf, zip_package
from streamxr.pipeline.formats.model import read_model, source_sha256
from streamxr.pipeline.gltf.accessors import read_accessor
from streamxr.pipeline.gltf.document import Document
from streamxr.pipeline.trees.scene import read_scene

ITEM = '<item objectid="1"/>'
RED = 'displaycolor="#FF0000"'


def written(folder: Path, content: bytes) -> Path:
    (folder / "a.3mf").write_bytes(content)
    return folder / "a.3mf"


def read(folder: Path, resources: str, build: str = ITEM, attributes: str = 'unit="meter"', **parts: str) -> Document:
    content = make.package({make.ROOT: make.model(resources, build, attributes), **parts})
    return read_model(written(folder, content))


def extent(document: Document) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    (tree,) = read_scene(document).trees
    positions = tree.source.surface.positions
    return positions.min(axis=0), positions.max(axis=0)


def primitives(document: Document) -> list[dict[str, Any]]:
    return [primitive for mesh in document.json["meshes"] for primitive in mesh["primitives"]]


def colors(document: Document, primitive: dict[str, Any]) -> np.ndarray[Any, Any]:
    return read_accessor(document, primitive["attributes"]["COLOR_0"], "COLOR_0")


@pytest.mark.parametrize(
    ("attributes", "metres"),
    [
        ("", 0.001),
        ('unit="micron"', 1e-6),
        ('unit="millimeter"', 0.001),
        ('unit="centimeter"', 0.01),
        ('unit="inch"', 0.0254),
        ('unit="foot"', 0.3048),
        ('unit="meter"', 1.0),
    ],
)
def test_the_unit_of_the_model_scales_it_to_metres(tmp_path: Path, attributes: str, metres: float) -> None:
    path = written(tmp_path, make.simple(attributes=attributes))
    # The unit that the settings give to formats without one does not matter.
    _, high = extent(read_model(path, unit="ft", up="y"))
    assert high == pytest.approx([metres, metres, 0], rel=1e-5, abs=1e-12)


def test_z_points_up(tmp_path: Path) -> None:
    low, high = extent(read(tmp_path, make.shape(1, make.mesh([(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)]))))
    assert (low, high) == (pytest.approx([0, 0, -2], abs=1e-6), pytest.approx([1, 3, 0], abs=1e-6))


def test_each_build_item_places_its_object_with_its_transform(tmp_path: Path) -> None:
    # A quarter turn about z that takes x to y, then a step of 10 along x.
    build = ITEM + '<item objectid="1" transform="0 1 0 -1 0 0 0 0 1 10 0 0" partnumber="same" />'
    document = read(tmp_path, make.shape(1, make.mesh([(0, 0, 0), (2, 0, 0), (0, 1, 0), (0, 0, 1)])), build)
    assert len(document.json["meshes"]) == 1
    low, high = extent(document)
    assert low == pytest.approx([0, 0, -2], abs=1e-6)
    assert high == pytest.approx([10, 1, 0], abs=1e-6)


def test_items_with_one_part_number_are_all_placed(tmp_path: Path) -> None:
    item = '<item objectid="1" partnumber="x" transform="1 0 0 0 1 0 0 0 1 {} 0 0"/>'
    document = read(tmp_path, make.shape(1, make.mesh()), item.format(5) + item.format(9))
    low, high = extent(document)
    assert (low[0], high[0]) == (pytest.approx(5), pytest.approx(10))


def test_an_object_that_no_item_places_is_left_out(tmp_path: Path) -> None:
    document = read(tmp_path, make.shape(1, make.mesh()) + make.shape(2, make.mesh([(9, 9, 9)] * 4)))
    assert [mesh["name"] for mesh in document.json["meshes"]] == ["object 1"]


def test_components_multiply_their_transforms(tmp_path: Path) -> None:
    pair = (
        '<components><component objectid="1" transform="2 0 0 0 2 0 0 0 2 0 0 0"/>'
        '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 100 0 0"/></components>'
    )
    resources = make.shape(1, make.mesh(), 'name="tooth"') + make.shape(2, pair)
    document = read(tmp_path, resources, '<item objectid="2" transform="3 0 0 0 3 0 0 0 3 0 0 0"/>')
    assert [node["name"] for node in document.json["nodes"][1:]] == ["tooth", "tooth"]
    low, high = extent(document)
    assert low == pytest.approx([0, 0, -6], abs=1e-5)
    assert high == pytest.approx([303, 6, 0], abs=1e-5)


def test_objects_of_other_parts_are_read_once_each(tmp_path: Path) -> None:
    """As slicers save: several objects in one part, ids that repeat in each part."""
    path = 'p:path="/3D/Objects/teeth.model"'
    pair = f'<components><component {path} objectid="1"/><component {path} objectid="2"/></components>'
    other = make.model(make.shape(1, make.mesh(), 'name="a"') + make.shape(2, make.mesh(), 'name="b"'), "")
    resources = make.shape(1, pair)
    content = make.package({make.ROOT: make.model(resources, ITEM * 2), "3D/Objects/teeth.model": other})
    document = read_model(written(tmp_path, content))
    assert [mesh["name"] for mesh in document.json["meshes"]] == ["a", "b"]
    assert [node["mesh"] for node in document.json["nodes"][1:]] == [0, 1, 0, 1]
    (tree,) = read_scene(document).trees
    assert len(tree.source.surface.triangles) == 4 * len(make.FACES)


def test_the_root_part_is_the_one_that_the_relationships_name(tmp_path: Path) -> None:
    relationships = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="1" Type="{threemf.MODEL_TYPE}" Target="/Other/Thing.model"/></Relationships>'
    )
    model = make.model(make.shape(1, make.mesh()), ITEM)
    content = make.package({"_rels/.rels": relationships, "other/thing.model": model, make.ROOT: "not XML"})
    assert len(primitives(read_model(written(tmp_path, content)))) == 1


def test_base_materials_become_materials(tmp_path: Path) -> None:
    bases = (
        f'<basematerials id="5"><base name="wax" {RED}/><base name="glass" displaycolor="#0000FF80"/></basematerials>'
    )
    mesh = make.mesh(properties=['pid="5" p1="1"', 'p1="0"', ""])
    document = read(tmp_path, bases + make.shape(1, mesh, 'pid="5" pindex="0"'))
    named = {m["name"]: m for m in document.json["materials"]}
    assert named["wax"]["pbrMetallicRoughness"]["baseColorFactor"] == pytest.approx([1, 0, 0, 1])
    assert named["glass"]["pbrMetallicRoughness"]["baseColorFactor"] == pytest.approx([0, 0, 1, 128 / 255], abs=1e-6)
    assert named["glass"]["alphaMode"] == "BLEND"
    names = [document.json["materials"][p["material"]]["name"] for p in primitives(document)]
    counts = [document.json["accessors"][p["indices"]]["count"] // 3 for p in primitives(document)]
    assert dict(zip(names, counts, strict=True)) == {"wax": 3, "glass": 1}


def test_colour_groups_become_vertex_colours(tmp_path: Path) -> None:
    group = '<m:colorgroup id="7"><m:color color="#FF0000"/><m:color color="#00FF00"/></m:colorgroup>'
    mesh = make.mesh(properties=['pid="7" p1="0" p2="1" p3="1"', 'pid="7" p1="1"'])
    document = read(tmp_path, group + make.shape(1, mesh))
    plain, colored = primitives(document)
    assert "COLOR_0" not in plain["attributes"]
    rows = sorted(map(tuple, colors(document, colored).tolist()))
    assert rows == [(0.0, 1.0, 0.0)] * 5 + [(1.0, 0.0, 0.0)]


def test_translucent_colours_blend(tmp_path: Path) -> None:
    group = '<m:colorgroup id="7"><m:color color="#FF000080"/></m:colorgroup>'
    document = read(tmp_path, group + make.shape(1, make.mesh(), 'pid="7" pindex="0"'))
    (primitive,) = primitives(document)
    assert document.json["materials"][primitive["material"]]["alphaMode"] == "BLEND"
    assert colors(document, primitive)[0] == pytest.approx([1, 0, 0, 128 / 255], abs=1e-6)


def test_pictures_are_left_out_with_a_note(tmp_path: Path) -> None:
    group = '<m:texture2dgroup id="7" texid="3"><m:tex2coord u="0" v="0"/></m:texture2dgroup>'
    document = read(tmp_path, group + make.shape(1, make.mesh(properties=['pid="7" p1="0"'])))
    assert document.notes == (f"{make.ROOT}: left out, as this version does not read it: texture2dgroup",)
    assert len(primitives(document)) == 1


def test_a_3mf_file_becomes_a_bundle(tmp_path: Path) -> None:
    group = '<m:colorgroup id="7"><m:color color="#FF0000"/></m:colorgroup>'
    bases = f'<basematerials id="5"><base name="wax" {RED}/></basematerials>'
    resources = group + bases + make.shape(1, make.mesh(properties=['pid="7" p1="0"', 'pid="5" p1="0"']))
    path = written(tmp_path, make.package({make.ROOT: make.model(resources, ITEM)}))
    built = build_file(path, tmp_path / "build")
    assert built.report.entry["triangles"] == len(make.FACES)
    assert built.manifest["source"]["sha256"] == source_sha256(path)
    assert not khronos_errors([built.root / built.manifest["base"]["uri"]])


@pytest.mark.parametrize(
    ("resources", "build", "message"),
    [
        ("", "", "builds no triangle"),
        (make.shape(1, make.mesh()), "", "builds no triangle"),
        (
            make.shape(1, make.mesh()),
            '<item objectid="2"/>',
            "line 12: names object '2', which 3D/3dmodel.model does not",
        ),
        (make.shape(1, make.mesh()), "<item/>", "item has no objectid"),
        (make.shape(1, make.mesh()) * 2, ITEM, "defines object '1' twice"),
        (make.shape(1, make.mesh(triangles=[(0, 1, 4)])), ITEM, "object '1', triangle 1: names vertex 4 of 4"),
        (make.shape(1, make.mesh(triangles=[(0, 1, -1)])), ITEM, "triangle 1: names vertex -1 of 4"),
        (make.shape(1, make.mesh(triangles=[(0, 1, 10**30)])), ITEM, "triangle cannot be read"),
        (make.shape(1, make.mesh(), f'pid="5" pindex="{10**30}"'), ITEM, "object cannot be read"),
        (make.shape(1, make.mesh([(0, 0, float("nan"))] * 4)), ITEM, "vertex 1 is not a finite position"),
        (make.shape(1, make.mesh([(0, 0, 1e39)] * 4)), ITEM, "vertex 1 is not a finite position"),
        (make.shape(1, "<mesh><vertices><vertex x='0' y='1'/></vertices></mesh>"), ITEM, "vertex has no z"),
        (make.shape(1, "<mesh><vertices><vertex x='a' y='0' z='0'/></vertices></mesh>"), ITEM, "vertex cannot be read"),
        (make.shape(1, make.mesh()), '<item objectid="1" transform="1 0 0"/>', "transform must be 12 finite numbers"),
        (make.shape(1, make.mesh()), f'<item objectid="1" transform="{"nan " * 12}"/>', "must be 12 finite numbers"),
        ('<basematerials id="5"><base name="x" displaycolor="red"/></basematerials>', ITEM, "base cannot be read"),
        ('<m:color color="#FF0000"/>', ITEM, "color cannot be read"),
        (
            f'<basematerials id="5"><base name="x" {RED}/></basematerials>'
            + make.shape(1, make.mesh(properties=['pid="5" p1="1"'])),
            ITEM,
            "triangle 1: names colour 1 of a group of 1",
        ),
        (make.shape(1, '<components><component objectid="1"/></components>'), ITEM, "which is not defined before it"),
        (
            make.shape(1, '<components><component p:path="/3D/lost.model" objectid="1"/></components>'),
            ITEM,
            "3D/lost.model: is not in the package",
        ),
    ],
)
def test_a_damaged_model_is_refused_with_its_place(tmp_path: Path, resources: str, build: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(tmp_path, resources, build)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('unit="parsec"', "has the unit 'parsec', which is not one of micron"),
        ('requiredextensions="b" xmlns:b="urn:beams"', "requires the extension 'urn:beams'"),
        ('requiredextensions="lost"', "requires the extension 'lost'"),
    ],
)
def test_an_unknown_unit_or_required_extension_is_refused(tmp_path: Path, attributes: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(tmp_path, make.shape(1, make.mesh()), ITEM, attributes)


def test_known_required_extensions_are_accepted(tmp_path: Path) -> None:
    assert primitives(read(tmp_path, make.shape(1, make.mesh()), ITEM, 'requiredextensions="m p"'))


def test_parts_with_another_unit_are_refused(tmp_path: Path) -> None:
    content = make.package(
        {
            make.ROOT: make.model("", '<item p:path="/b.model" objectid="1"/>'),
            "b.model": make.model(make.shape(1, make.mesh()), "", 'unit="inch"'),
        }
    )
    with pytest.raises(ModelError, match=f"b.model: has another unit than {make.ROOT}"):
        read_model(written(tmp_path, content))


def test_only_the_root_part_names_other_parts(tmp_path: Path) -> None:
    nested = '<components><component p:path="/c.model" objectid="1"/></components>'
    content = make.package(
        {
            make.ROOT: make.model("", '<item p:path="/b.model" objectid="1"/>'),
            "b.model": make.model(make.shape(1, nested), ""),
        }
    )
    with pytest.raises(ModelError, match=r"has a path, which only 3D/3dmodel.model may have"):
        read_model(written(tmp_path, content))


def test_components_that_multiply_without_end_are_refused(tmp_path: Path) -> None:
    two = '<components><component objectid="{0}"/><component objectid="{0}"/></components>'
    chain = "".join(make.shape(k, two.format(k - 1)) for k in range(2, 32))
    with pytest.raises(ModelError, match=r"places 2,147,483,647 objects, more than 65,536"):
        read(tmp_path, make.shape(1, make.mesh()) + chain, '<item objectid="31"/>')


def test_components_that_nest_without_end_are_refused(tmp_path: Path) -> None:
    one = '<components><component objectid="{}"/></components>'
    chain = "".join(make.shape(k, one.format(k - 1)) for k in range(2, 5000))
    with pytest.raises(ModelError, match="has components nested more than 32 levels deep"):
        read(tmp_path, make.shape(1, make.mesh()) + chain, '<item objectid="4999"/>')


def test_matrices_that_multiply_past_any_number_are_refused(tmp_path: Path) -> None:
    big = " ".join(["1e29 0 0", "0 1e29 0", "0 0 1e29", "0 0 0"])
    one = f'<components><component objectid="{{}}" transform="{big}"/></components>'
    chain = "".join(make.shape(k, one.format(k - 1)) for k in range(2, 16))
    document = read(tmp_path, make.shape(1, make.mesh()) + chain, '<item objectid="15"/>')
    with pytest.raises(ModelError, match="matrix: must be 16 finite numbers"):
        read_scene(document)


# Hostile packages.

ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE model [<!ENTITY a "0"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<model xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><metadata>&c;</metadata></model>"""
EXTERNAL = """<?xml version="1.0"?><!DOCTYPE model SYSTEM "file:///etc/passwd"><model/>"""


@pytest.mark.parametrize(
    "xml", [ENTITIES, EXTERNAL, '<!DOCTYPE model [<!ENTITY x SYSTEM "file:///etc/passwd">]><model>&x;</model>']
)
def test_a_document_type_declaration_is_refused(tmp_path: Path, xml: str) -> None:
    with pytest.raises(ModelError, match=r"3D/3dmodel.model: has a document type declaration"):
        read_model(written(tmp_path, make.package({make.ROOT: xml})))


def test_deep_xml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has XML nested more than 100 levels deep"):
        read_model(written(tmp_path, make.package({make.ROOT: "<a>" * 1_000_000})))


@pytest.mark.parametrize(
    "xml", ["", "<model>", "<model></item>", "<model/>garbage", "\0", '<?xml version="1.0" encoding="lost"?><a/>']
)
def test_xml_that_is_not_well_formed_is_refused_with_its_line(tmp_path: Path, xml: str) -> None:
    with pytest.raises(ModelError, match=f"{make.ROOT}(, line 1)?: (is not well-formed XML|cannot be read)"):
        read_model(written(tmp_path, make.package({make.ROOT: xml})))


def test_a_zip_bomb_is_refused_before_it_is_decompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make.package({make.ROOT: b" " * (100 << 20)})
    assert len(content) < 200_000
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it is decompressed"))
    with pytest.raises(ModelError, match="declares 104,857,600 bytes, more than a package of this size holds"):
        read_model(written(tmp_path, content))


def test_the_parts_of_a_package_share_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_package, "SMALL_BYTES", 1000)
    monkeypatch.setattr(zip_package, "MAX_RATIO", 0)
    path = '<component p:path="/{}.model" objectid="1"/>'
    other = make.model(make.shape(1, make.mesh()), "").replace("<build></build>", "<build></build>" + " " * 100)
    parts = {f"{k}.model": other for k in range(9)}
    root = make.model(make.shape(1, f"<components>{''.join(path.format(k) for k in range(9))}</components>"), ITEM)
    with pytest.raises(ModelError, match="more than a package of this size holds"):
        read_model(written(tmp_path, make.package({make.ROOT: root, **parts})))


def test_a_part_that_is_longer_than_it_declares_is_refused(tmp_path: Path) -> None:
    content = bytearray(make.package({make.ROOT: b"<model>" + b" " * 100_000 + b"</model>"}))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (20_000).to_bytes(4, "little")
    with pytest.raises(ModelError, match=r"3D/3dmodel.model"):
        read_model(written(tmp_path, bytes(content)))


@pytest.mark.parametrize("size", [0, 1, 21, 100, 400, -1, -10, -60])
def test_a_truncated_package_is_refused(tmp_path: Path, size: int) -> None:
    content = make.simple()
    with pytest.raises(ModelError, match="is not a zip file that can be read"):
        read_model(written(tmp_path, content[:size]))


def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    content = bytearray(make.simple())
    content[60:120] = bytes(60)
    with pytest.raises(ModelError, match=r"3D/3dmodel.model"):
        read_model(written(tmp_path, bytes(content)))


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    content = make.package({make.ROOT: "<a/>", make.ROOT.upper(): "<b/>"})
    with pytest.raises(ModelError, match="is in the package twice"):
        read_model(written(tmp_path, content))


def test_encrypted_and_exotically_compressed_parts_are_refused(tmp_path: Path) -> None:
    content = bytearray(make.simple())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    with pytest.raises(ModelError, match="is encrypted"):
        read_model(written(tmp_path, bytes(content)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(make.ROOT, "<model/>")
    with pytest.raises(ModelError, match="is compressed by a method that OPC does not allow"):
        read_model(written(tmp_path, out.getvalue()))


def test_a_package_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"3D/3dmodel.model: is not in the package"):
        read_model(written(tmp_path, make.package({"word/document.xml": "<a/>"})))
