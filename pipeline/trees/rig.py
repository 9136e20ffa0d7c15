"""A skinned or morphed mesh at rest, with the artist's own vertices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, FloatArray, IntArray
from ..errors import ModelError
from ..gltf.document import Document, Json, item, label
from ..gltf.primitives import (
    ATTRIBUTE_WIDTHS,
    is_triangles,
    needs_tangents,
    primitive_kind,
    read_attributes,
    read_targets,
    read_triangles,
)
from ..gltf.skinning import DeformableVertices, read_deformable
from ..gltf.texture_uses import texels_per_uv
from ..mesh.surface import PrimitiveKind, Source, Surface
from ..mesh.topology import non_degenerate, unique_rows
from ..settings import Settings
from .gather import merged_attributes, stack_attribute
from .moving_parts import BoundGeometry
from .scene import DeformingMesh, Scene
from .skin_weights import skin_sets

MAX_CUSTOM_WIDTH = 4  # components of an application's own attribute that Draco holds
# Attributes that a simplified surface takes from its source's surface, by name without the set's number. The others
# belong to the rig, or to an application.
SURFACE_ATTRIBUTES = ("NORMAL", "TANGENT", "TEXCOORD", "COLOR")


@dataclass(frozen=True)
class RestPrimitive:
    """A primitive as the artist made it, with vertices welded if they agree in everything.

    attributes: (n, k) by name; targets: the deltas (n, 3) of each morph target by name; triangles: (m, 3).
    """

    kind: PrimitiveKind
    attributes: dict[str, AnyArray]
    targets: tuple[dict[str, AnyArray], ...]
    triangles: IntArray

    @property
    def vertices(self) -> int:
        return len(self.attributes["POSITION"])

    @property
    def position_deltas(self) -> list[AnyArray]:
        """(n, 3) of each morph target; zero if it moves no positions."""
        return [t.get("POSITION", np.zeros_like(self.attributes["POSITION"])) for t in self.targets]


@dataclass(frozen=True)
class Rig:
    """The vertices of all primitives of a mesh, one primitive after the other.

    corners: the vertex (m, 3) at each corner.
    """

    primitives: tuple[RestPrimitive, ...]
    vertices: DeformableVertices
    corners: IntArray


def read_rest_primitives(
    document: Document, mesh: DeformingMesh, settings: Settings, scene: Scene
) -> tuple[list[RestPrimitive], str]:
    """Every triangle primitive of a mesh, and the mesh's name in errors.

    Raises ModelError for broken attributes, morph targets and weights.
    """
    holder: Json = item(document.json, "meshes", mesh.mesh, "meshes")
    mesh_place = label("mesh", mesh.mesh, holder)
    if mesh.nodes == (scene.moving,) and scene.bound is not None:
        return _bound_primitives(document, scene.bound, settings), mesh_place
    primitives: list[RestPrimitive] = []
    for number, primitive in enumerate(holder["primitives"]):
        if not is_triangles(primitive):
            continue
        place = f"{mesh_place}, primitive {number}"
        attributes = read_attributes(document, primitive, place)
        keeps_tangents = needs_tangents(document, primitive.get("material"))
        attributes = {n: v for n, v in attributes.items() if _is_kept(n, v) and (n != "TANGENT" or keeps_tangents)}
        triangles = read_triangles(document, primitive, len(attributes["POSITION"]), place)
        targets = read_targets(document, primitive, len(attributes["POSITION"]), place)
        if primitives and len(targets) != len(primitives[0].targets):
            raise ModelError(
                f"has {len(targets)} morph targets, another primitive {len(primitives[0].targets)}", place=place
            )
        _check_joints(document, attributes, mesh, place)
        attributes = _with_paired_sets(attributes, place)
        merged = scene.merged.get((mesh.mesh, number))
        if merged is not None:
            attributes = merged_attributes(attributes, merged, len(attributes["POSITION"]))
        kind = primitive_kind(document, primitive, attributes)
        if merged is not None:
            kind = replace(kind, merged=merged.index, deep_colors="COLOR_0" in attributes)
        kind = replace(kind, texels=texels_per_uv(document, kind.material, settings))
        welded = _welded(RestPrimitive(kind, attributes, tuple(targets), triangles))
        if len(welded.triangles) == 0:
            raise ModelError("has no triangle with an area", place=place, remedy="remove it and export again")
        primitives.append(welded)
    return primitives, mesh_place


def _bound_primitives(document: Document, bound: BoundGeometry, settings: Settings) -> list[RestPrimitive]:
    """The primitives of the mesh that draws moving parts; none without a triangle with an area."""
    primitives = []
    for kind, attributes, triangles in bound.primitives():
        kind = replace(kind, texels=texels_per_uv(document, kind.material, settings))
        welded = _welded(RestPrimitive(kind, attributes, (), triangles))
        primitives += [welded] if len(welded.triangles) else []
    return primitives


def read_rig(primitives: Sequence[RestPrimitive], joints: int, place: str) -> Rig:
    """The rig of all primitives of a mesh. joints: as for `read_deformable`."""
    starts = np.cumsum([0, *(p.vertices for p in primitives)])
    vertices = [read_deformable(p.attributes, p.position_deltas, joints, place) for p in primitives]
    corners = [p.triangles + start for p, start in zip(primitives, starts, strict=False)]
    return Rig(tuple(primitives), stack_vertices(vertices), np.concatenate(corners))


def rest_source(rig: Rig) -> Source:
    """All primitives as one surface at rest; the kind of a triangle is the index of its primitive."""
    primitives, corners = rig.primitives, rig.corners
    positions, inverse = unique_rows(rig.vertices.positions)
    kinds = np.repeat(np.arange(len(primitives)), [len(p.triangles) for p in primitives])
    names = sorted({n for p in primitives for n in p.attributes if n.split("_")[0] in SURFACE_ATTRIBUTES})
    attributes: dict[str, FloatArray] = {name: stack_rest_attribute(name, primitives) for name in names}
    uv = attributes.pop("TEXCOORD_0")[corners] if "TEXCOORD_0" in attributes else np.zeros((len(corners), 3, 2))
    return Source(Surface(positions, inverse[corners], kinds, uv), corners, attributes)


def stack_rest_attribute(name: str, primitives: Sequence[RestPrimitive]) -> FloatArray:
    """The values of an attribute at all vertices of a rig; see `stack_attribute`."""
    stacked = stack_attribute(name, [p.attributes for p in primitives], [p.vertices for p in primitives])
    values: FloatArray = stacked.astype(np.float64)
    return values


def stack_vertices(parts: Sequence[DeformableVertices]) -> DeformableVertices:
    """The vertices of all parts, one part after the other."""
    width = max(p.joints.shape[1] for p in parts)
    padding = [((0, 0), (0, width - p.joints.shape[1])) for p in parts]
    return DeformableVertices(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([np.pad(p.joints, pad) for p, pad in zip(parts, padding, strict=True)]),
        np.concatenate([np.pad(p.weights, pad) for p, pad in zip(parts, padding, strict=True)]),
        np.concatenate([p.deltas for p in parts], axis=1),
    )


def _is_kept(name: str, values: AnyArray) -> bool:
    """Whether glTF defines the attribute, or it is an application's own and Draco holds it."""
    return name.split("_")[0] in ATTRIBUTE_WIDTHS or (name.startswith("_") and values.shape[1] <= MAX_CUSTOM_WIDTH)


def _check_joints(document: Document, attributes: dict[str, AnyArray], mesh: DeformingMesh, place: str) -> None:
    """Raise ModelError if a vertex refers to a joint that the skin of one of the mesh's nodes lacks."""
    for node in mesh.nodes:
        skin = item(document.json, "nodes", node, f"node {node}").get("skin")
        if skin is not None:
            read_deformable(attributes, (), len(item(document.json, "skins", skin, place)["joints"]), place)


def _with_paired_sets(attributes: dict[str, AnyArray], place: str) -> dict[str, AnyArray]:
    """The attributes without JOINTS that lack WEIGHTS, and the reverse. Raises ModelError unless both are VEC4."""
    sets = skin_sets(attributes)
    if any(attributes[f"{n}_{s}"].shape[1] != 4 for s in sets for n in ("JOINTS", "WEIGHTS")):
        raise ModelError("JOINTS and WEIGHTS must be VEC4", place=place)
    return {
        name: values
        for name, values in attributes.items()
        if not name.startswith(("JOINTS_", "WEIGHTS_")) or name.split("_")[1] in sets
    }


def _welded(primitive: RestPrimitive) -> RestPrimitive:
    """Weld vertices that agree in everything; drop unused vertices, and triangles that use one vertex twice."""
    attributes, targets = primitive.attributes, primitive.targets
    columns = [*attributes.values(), *(v for t in targets for v in t.values())]
    rows, inverse = unique_rows(np.concatenate([c.astype(np.float64) for c in columns], axis=1))
    triangles = inverse[primitive.triangles]
    triangles = triangles[non_degenerate(triangles)]
    used, compact = np.unique(triangles, return_inverse=True)
    split = np.split(rows[used], np.cumsum([c.shape[1] for c in columns])[:-1], axis=1)
    restored = iter(s.astype(c.dtype) for s, c in zip(split, columns, strict=True))
    return RestPrimitive(
        primitive.kind,
        {name: next(restored) for name in attributes},
        tuple({name: next(restored) for name in t} for t in targets),
        compact.reshape(-1, 3),
    )
