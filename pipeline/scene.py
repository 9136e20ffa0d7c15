"""Take a document apart: which geometry becomes which tree of gaze regions, and which deforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from json import dumps as json_text
from typing import Any, Literal

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from .document import Document, Json, integer, item, items, label, numbers, read_accessor, texture_slots
from .errors import ModelError
from .links import check_links
from .pose import Motion, node_matrix, read_body, read_drawing, sample_motion
from .sizes import check_sizes
from .surface import AnyArray, FloatArray, IntArray, PrimitiveKind, Source, Surface, part, unique_rows

TreeKind = Literal["static", "rigid", "skinned", "morphed"]

# A mesh that several nodes share is stored once when flattening its copies would add more triangles than
# a region holds; below that one request for all of them is cheaper than a tree of its own.
SHARED_TRIANGLES = 4096
FAR_STEPS = 256  # of float32 across a mesh: fewer show
MAX_EXTENT = 1e9  # metres: float32 has 64 m steps out there, and squares of distances stay finite
MANY_POSITIONS = 5_000_000  # of all poses of all instances of a mesh: a second's work for its bounds
MAX_NODE_DEPTH = 1000  # viewers follow the hierarchy by recursion
POINTS_AND_LINES = (0, 1, 2, 3)
POINTER = "KHR_animation_pointer"
TRANSFORM = "KHR_texture_transform"
VARIANTS = "KHR_materials_variants"
VISIBILITY = "KHR_node_visibility"
INDIFFERENT = {"KHR_lights_punctual"}  # extensions of a node that say nothing of its mesh
# Components of each attribute that glTF knows, by its name without the set's number.
SHAPES = {
    "POSITION": (3,),
    "NORMAL": (3,),
    "TANGENT": (4,),
    "TEXCOORD": (2,),
    "COLOR": (3, 4),
    "JOINTS": (4,),
    "WEIGHTS": (4,),
}


@dataclass(frozen=True)
class TreeSource:
    """The geometry of one tree before it is built.

    nodes: source nodes that draw it; empty for the flattened static geometry.
    mesh: the source mesh it stands for; None for the flattened static geometry.
    scale: largest scale from the tree's space to the asset's.
    """

    kind: TreeKind
    nodes: tuple[int, ...]
    mesh: int | None
    scale: float
    kinds: tuple[PrimitiveKind, ...]
    source: Source


@dataclass(frozen=True)
class DeformingMesh:
    """A skinned or morphed mesh: its tiers are whole meshes."""

    kind: Literal["skinned", "morphed"]
    nodes: tuple[int, ...]
    mesh: int
    triangles: int


@dataclass(frozen=True)
class Scene:
    """What an asset draws. `flattened` are the nodes whose triangles went into the static tree; `low` and `high`
    bound it in every pose."""

    trees: tuple[TreeSource, ...]
    deforming: tuple[DeformingMesh, ...]
    flattened: frozenset[int]
    world: dict[int, FloatArray]
    motion: Motion
    low: FloatArray
    high: FloatArray
    notes: tuple[str, ...] = ()


@dataclass
class _Gathered:
    """Corner-attributed triangles on their way into one Source."""

    kinds: list[PrimitiveKind] = field(default_factory=list)
    positions: list[FloatArray] = field(default_factory=list)
    kind_of: list[IntArray] = field(default_factory=list)
    corners: list[dict[str, FloatArray]] = field(default_factory=list)


def read_scene(document: Document, keep_nodes: str = "") -> Scene:
    """Sort the meshes of the default scene into trees and deforming meshes.

    keep_nodes: patterns of node names, one a line. Nodes that match, that have extras, or that an animation
        moves are not flattened, so that an application still finds what they draw.

    Raises ModelError for cyclic nodes, broken references and unusable geometry.
    """
    json = document.json
    check_links(json)
    check_sizes(document)
    nodes = items(json, "nodes")
    world = _world_matrices(json)
    motion = sample_motion(document, world)
    addressable = _moving(json, nodes) | _kept(json, nodes, keep_nodes)
    users: dict[int, list[int]] = {}
    for index in world:
        if nodes[index].get("mesh") is not None:
            item(json, "meshes", nodes[index]["mesh"], label("node", index, nodes[index]))
            users.setdefault(nodes[index]["mesh"], []).append(index)

    trees: list[TreeSource] = []
    deforming: list[DeformingMesh] = []
    flattened: set[int] = set()
    static = _Gathered()
    for mesh, drawn_by in sorted(users.items()):
        primitives = _primitives(document, mesh)
        if not any(_is_triangles(p) for _, p in primitives):
            continue
        skinned = tuple(n for n in drawn_by if nodes[n].get("skin") is not None)
        if skinned:
            deforming.append(DeformingMesh("skinned", tuple(drawn_by), mesh, _count_triangles(json, primitives)))
            continue
        if any(p.get("targets") for _, p in primitives):
            deforming.append(DeformingMesh("morphed", tuple(drawn_by), mesh, _count_triangles(json, primitives)))
            continue
        gathered = _Gathered()
        for place, primitive in primitives:
            if _is_triangles(primitive):
                _read_primitive(document, primitive, place, gathered)
        count = sum(len(k) for k in gathered.kind_of)
        shared = len(drawn_by) > 1 and count * (len(drawn_by) - 1) > SHARED_TRIANGLES
        if shared or any(n in addressable or _is_far(gathered, world[n]) for n in drawn_by):
            source, kinds = _weld(gathered)
            if len(source.surface.triangles):
                trees.append(TreeSource("rigid", tuple(drawn_by), mesh, motion.scale(drawn_by), kinds, source))
            continue
        for node in drawn_by:
            _transform_into(static, gathered, world[node])
            flattened.add(node)
    if static.positions:
        source, kinds = _weld(static)
        if len(source.surface.triangles):
            trees.insert(0, TreeSource("static", (), None, 1.0, kinds, source))
    if not trees and not deforming and not users:
        raise ModelError("there is no mesh in its default scene", remedy="export at least one object")
    low, high = _bounds(document, trees, deforming, users, motion)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and np.abs([low, high]).max() < MAX_EXTENT):
        raise ModelError(
            f"reaches {np.abs([low, high]).max():.3g} m from its origin", remedy="check the scale of its nodes"
        )
    notes = tuple(_left_out(json, users))
    return Scene(tuple(trees), tuple(deforming), frozenset(flattened), world, motion, low, high, notes)


def _left_out(json: Json, users: dict[int, list[int]]) -> list[str]:
    """What the artist should know of what the default scene does not draw."""
    count = len(items(json, "meshes")) - len(users)
    if not count:
        return []
    noun, them = ("mesh is", "it") if count == 1 else ("meshes are", "them")
    return [f"{count:,} {noun} left out: the default scene does not draw {them}"]


def read_triangles(document: Document, primitive: Json, vertices: int, place: str) -> IntArray:
    """The (m, 3) vertex indices of a primitive, strips and fans expanded."""
    if primitive.get("indices") is None:
        indices = np.arange(vertices, dtype=np.int64)
    else:
        values = read_accessor(document, primitive["indices"], f"{place}, indices")
        if values.shape[1] != 1 or values.dtype.kind != "u":
            raise ModelError("indices must be unsigned scalars", place=place)
        indices = values.reshape(-1).astype(np.int64)
    if len(indices) and int(indices.max()) >= vertices:
        bad = int(np.argmax(indices >= vertices))
        raise ModelError(
            f"index {int(indices[bad]):,} (number {bad:,}) is past the end of its {vertices:,} vertices",
            place=place,
            remedy="the mesh is damaged: export it again",
        )
    mode = primitive.get("mode", 4)
    if mode == 4:
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == 5:  # strip: every other triangle is wound the other way
        strip = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
        strip[1::2] = strip[1::2][:, [1, 0, 2]]
        return strip
    return np.stack([np.full(len(indices) - 2, indices[0]), indices[1:-1], indices[2:]], axis=1)


def _count_triangles(json: Json, primitives: Sequence[tuple[str, Json]]) -> int:
    """About how many triangles there are: what shares of the base are reckoned by."""
    total = 0
    for place, primitive in primitives:
        if not _is_triangles(primitive):
            continue
        named = primitive.get("attributes")
        corners = primitive.get("indices", named.get("POSITION") if isinstance(named, dict) else None)
        total += integer(item(json, "accessors", corners, place), "count", place) // 3
    return total


def _is_triangles(primitive: Json) -> bool:
    return primitive.get("mode", 4) not in POINTS_AND_LINES


def _primitives(document: Document, mesh: int) -> list[tuple[str, Json]]:
    holder = item(document.json, "meshes", mesh, "meshes")
    place = label("mesh", mesh, holder)
    primitives = holder.get("primitives")
    if not isinstance(primitives, list) or not all(isinstance(p, dict) for p in primitives):
        raise ModelError("primitives must be an array of objects", place=place)
    result = []
    for index, primitive in enumerate(primitives):
        if primitive.get("mode", 4) not in range(7):
            raise ModelError(f"mode {primitive['mode']!r} does not exist", place=f"{place}, primitive {index}")
        if primitive.get("material") is not None:
            item(document.json, "materials", primitive["material"], f"{place}, primitive {index}")
        _check_variants(document, primitive, f"{place}, primitive {index}")
        result.append((f"{place}, primitive {index}" if len(primitives) > 1 else place, primitive))
    return result


def _check_variants(document: Document, primitive: Json, place: str) -> None:
    extensions = primitive.get("extensions")
    variants = extensions.get(VARIANTS) if isinstance(extensions, dict) else None
    for mapping in items(variants, "mappings", place) if isinstance(variants, dict) else []:
        item(document.json, "materials", mapping.get("material"), f"{place}, {VARIANTS}")


def _read_primitive(document: Document, primitive: Json, place: str, into: _Gathered) -> None:
    attributes = read_attributes(document, primitive, place)
    positions = attributes.pop("POSITION").astype(np.float64)
    triangles = read_triangles(document, primitive, len(positions), place)
    known = {"NORMAL", "COLOR_0"} | ({"TANGENT"} if needs_tangents(document, primitive.get("material")) else set())
    kept = {n: v for n, v in attributes.items() if n in known or n.startswith("TEXCOORD_")}
    kind = primitive_kind(document, primitive, {"POSITION": positions, **kept})
    if kind not in into.kinds:
        into.kinds.append(kind)
    into.positions.append(positions[triangles])
    into.kind_of.append(np.full(len(triangles), into.kinds.index(kind), np.int64))
    into.corners.append({name: values.astype(np.float64)[triangles] for name, values in kept.items()})


def primitive_kind(document: Document, primitive: Json, attributes: dict[str, AnyArray]) -> PrimitiveKind:
    """The kind of a primitive of which these attributes are kept."""
    return PrimitiveKind(
        primitive.get("material"),
        tuple(sorted(attributes)),
        carried(primitive),
        _uv_scale(document, primitive.get("material")),
        "COLOR_0" in attributes and deep_colors(attributes["COLOR_0"]),
    )


def carried(primitive: Json) -> str:
    """What a primitive says besides its geometry, as JSON: extras, and extensions such as material variants."""
    said = {key: primitive[key] for key in ("extensions", "extras") if primitive.get(key)}
    return json_text(said, sort_keys=True) if said else ""


def deep_colors(colors: AnyArray) -> bool:
    """Whether bytes would lose more of the colours (0…1) than float32 does."""
    codes = colors.astype(np.float64) * 255
    return bool(np.abs(codes - np.rint(codes)).max(initial=0.0) > 1e-3)


def needs_tangents(document: Document, material: Any) -> bool:
    """Whether a material has a direction on the surface but no normal map, from whose UV a runtime could derive it."""
    if material is None:
        return False
    holder = item(document.json, "materials", material, "materials")
    clearcoat = (holder.get("extensions") or {}).get("KHR_materials_clearcoat")
    directed = "KHR_materials_anisotropy" in (holder.get("extensions") or {})
    directed |= isinstance(clearcoat, dict) and "clearcoatNormalTexture" in clearcoat
    return directed and "normalTexture" not in holder


def _uv_scale(document: Document, material: Any) -> float:
    """How many times the pictures of a material fit into one unit of TEXCOORD_0, by area: the least of them all,
    since that one needs the most texels."""
    if material is None:
        return 1.0
    scales = []
    for _, info in texture_slots(item(document.json, "materials", material, "materials")):
        extensions = info.get("extensions")
        transform = extensions.get(TRANSFORM) if isinstance(extensions, dict) else None
        scale = transform.get("scale", [1, 1]) if isinstance(transform, dict) else [1, 1]
        u, v = numbers(scale, 2, label("material", material, {}) + f", {TRANSFORM}, scale")
        scales.append(abs(u * v) ** 0.5)
    return min((s for s in scales if s > 0), default=1.0)


def read_attributes(document: Document, primitive: Json, place: str) -> dict[str, AnyArray]:
    """The vertex attributes of a primitive, normalised ones as floats; all of one length and of glTF's shapes."""
    named = primitive.get("attributes")
    if not isinstance(named, dict) or "POSITION" not in named:
        raise ModelError("has no POSITION", place=place)
    result: dict[str, AnyArray] = {}
    for name in sorted(named):
        values = read_accessor(document, named[name], f"{place}, {name}")
        if name == "COLOR_0" and values.dtype.kind == "u":
            values = values.astype(np.float32) / np.iinfo(values.dtype).max
        result[name] = values
    count = len(result["POSITION"])
    for name, values in result.items():
        if len(values) != count:
            raise ModelError(f"{name} has {len(values):,} values for {count:,} vertices", place=place)
        shape = SHAPES.get(name.split("_")[0])
        if shape is not None and values.shape[1] not in shape:
            raise ModelError(f"{name} must be a VEC{' or VEC'.join(map(str, shape))}", place=place)
        if name.startswith("JOINTS_") and values.dtype.kind != "u":
            raise ModelError(f"{name} must be unsigned integers", place=place)
    return result


def read_targets(document: Document, primitive: Json, vertices: int, place: str) -> list[dict[str, AnyArray]]:
    """The morph targets of a primitive: float32 deltas (n, 3) by attribute name, tangents left out."""
    listed = primitive.get("targets", [])
    if not isinstance(listed, list):
        raise ModelError("targets must be an array", place=place)
    result = []
    for target in listed:
        if not isinstance(target, dict):
            raise ModelError("a morph target must be an object", place=place)
        deltas = {}
        for name, index in sorted(target.items()):
            if name == "TANGENT":
                continue
            values = read_accessor(document, index, f"{place}, morph target {name}").astype(np.float32)
            if len(values) != vertices or values.shape[1] != SHAPES.get(name.split("_")[0], (0,))[0]:
                raise ModelError(f"morph target {name} does not fit its {vertices:,} vertices", place=place)
            if np.abs(values).max(initial=0.0) > MAX_EXTENT:
                raise ModelError(f"morph target {name} moves past any real size", place=place)
            deltas[name] = values
        result.append(deltas)
    return result


def _is_far(mesh: _Gathered, matrix: FloatArray) -> bool:
    """Whether a node puts a mesh so far out that float32 positions there would lose its shape."""
    corners = np.concatenate([p.reshape(-1, 3) for p in mesh.positions])
    if len(corners) == 0:
        return False

    def steps(positions: FloatArray) -> float:
        extent = float(np.ptp(positions, axis=0).max())
        return extent / max(float(np.abs(positions).max()) * 2.0**-23, 1e-300)

    there = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return 0 < steps(there) < FAR_STEPS and steps(there) < 0.5 * steps(corners)


def _transform_into(into: _Gathered, mesh: _Gathered, matrix: FloatArray) -> None:
    """Append a mesh in asset space: rotated normals, and windings turned where the node mirrors."""
    linear = matrix[:3, :3]
    determinant = float(np.linalg.det(linear))
    turn = np.array([0, 2, 1] if determinant < 0 else [0, 1, 2])
    # The cofactor matrix carries normals also where the node flattens an axis and has no inverse.
    cofactor = np.stack([np.cross(linear[(k + 1) % 3], linear[(k + 2) % 3]) for k in range(3)])
    cofactor = -cofactor if determinant < 0 else cofactor
    for positions, kind_of, corners in zip(mesh.positions, mesh.kind_of, mesh.corners, strict=True):
        moved = positions @ linear.T + matrix[:3, 3]
        # Positions are float32 in every file: rounding now keeps all later comparisons exact.
        with np.errstate(over="ignore"):  # what overflows is refused with the bounds
            into.positions.append(moved.astype(np.float32).astype(np.float64)[:, turn])
        kinds = []
        for kind in mesh.kinds:
            if kind not in into.kinds:
                into.kinds.append(kind)
            kinds.append(into.kinds.index(kind))
        into.kind_of.append(np.array(kinds, np.int64)[kind_of])
        turned = {name: values[:, turn] for name, values in corners.items()}
        if "NORMAL" in turned:
            normals = turned["NORMAL"] @ cofactor.T
            length = np.linalg.norm(normals, axis=2, keepdims=True)
            turned["NORMAL"] = normals / np.where(length > 0, length, 1.0)
        if "TANGENT" in turned:
            along = turned["TANGENT"][..., :3] @ linear.T
            along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-30)
            side = turned["TANGENT"][..., 3:] * (-1.0 if determinant < 0 else 1.0)
            turned["TANGENT"] = np.concatenate([along, side], axis=2)
        into.corners.append(turned)


def _weld(gathered: _Gathered) -> tuple[Source, tuple[PrimitiveKind, ...]]:
    """One Source out of gathered triangles; those that use one position twice are dropped, and kinds that
    are left without triangles with them."""
    corners = np.concatenate(gathered.positions)
    positions, inverse = unique_rows(corners.reshape(-1, 3))
    kind_of = np.concatenate(gathered.kind_of)
    names = sorted({name for c in gathered.corners for name in c})
    attributes: dict[str, FloatArray] = {}
    for name in names:
        width = max(c[name].shape[2] for c in gathered.corners if name in c)
        attributes[name] = np.concatenate(
            [_padded(c.get(name), len(k), width) for c, k in zip(gathered.corners, gathered.kind_of, strict=True)]
        )
    uv = attributes.pop("TEXCOORD_0", np.zeros((len(kind_of), 3, 2)))
    triangles = inverse.reshape(-1, 3)
    a, b, c = triangles.T
    good = (a != b) & (b != c) & (c != a)
    present, compact = np.unique(kind_of[good], return_inverse=True)
    surface = part(Surface(positions, triangles, kind_of, uv), good)
    surface = Surface(surface.positions, surface.triangles, compact.reshape(-1).astype(np.int64), surface.uv)
    kinds = tuple(gathered.kinds[k] for k in present)
    return Source(surface, {name: values[good] for name, values in attributes.items()}), kinds


def _padded(values: FloatArray | None, count: int, width: int) -> FloatArray:
    """Corner values of the given width: absent ones are zero, an absent alpha is one."""
    if values is None:
        return np.zeros((count, 3, width))
    if values.shape[2] < width:
        return np.concatenate([values, np.ones((count, 3, width - values.shape[2]))], axis=2)
    return values


def _world_matrices(json: Json) -> dict[int, FloatArray]:
    """World matrices of the nodes of the default scene, in node order."""
    nodes = items(json, "nodes")
    scenes = items(json, "scenes")
    if scenes:
        chosen = json.get("scene", 0)
        scene = item(json, "scenes", chosen, "scene")
        roots = scene.get("nodes", [])
    else:
        children = {c for n in nodes for c in n.get("children", [])}
        roots = [i for i in range(len(nodes)) if i not in children]
    world: dict[int, FloatArray] = {}
    stack: list[tuple[Any, FloatArray, int]] = [(root, np.eye(4), 1) for root in roots]
    while stack:
        index, above, depth = stack.pop()
        node = item(json, "nodes", index, "scene")
        place = label("node", index, node)
        if index in world:
            raise ModelError(
                "is reached twice: nodes form a cycle or share a child", place=place, remedy="export it again"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            world[index] = above @ node_matrix(node, place)
        if not np.abs(world[index]).max() < MAX_EXTENT:  # NaN is not less either
            raise ModelError("is scaled or moved past any real size", place=place, remedy="check its scale")
        if depth > MAX_NODE_DEPTH:
            remedy = "flatten the hierarchy: viewers cannot draw it"
            raise ModelError(f"is more than {MAX_NODE_DEPTH:,} levels deep", place=place, remedy=remedy)
        stack.extend((child, world[index], depth + 1) for child in node.get("children", []))
    return dict(sorted(world.items()))


def _moving(json: Json, nodes: list[Json]) -> set[int]:
    """Nodes that an animation moves, and everything below them."""
    moving: set[int] = set()
    for animation in items(json, "animations"):
        for channel in items(animation, "channels"):
            target = channel["target"]
            if target.get("node") is not None:
                moving.add(target["node"])
            if (node := pointed_at(target, "nodes")) is not None and node < len(nodes):
                moving.add(node)
            if (mesh := pointed_at(target, "meshes")) is not None:
                moving |= {index for index, node in enumerate(nodes) if node.get("mesh") == mesh}
    return _with_descendants(nodes, moving)


def pointed_at(target: Json, key: str) -> int | None:
    """The element of the top-level array `key` that an animation's target points at by KHR_animation_pointer."""
    extensions = target.get("extensions")
    holder = extensions.get(POINTER) if isinstance(extensions, dict) else None
    pointer = holder.get("pointer") if isinstance(holder, dict) else None
    words = pointer.split("/") if isinstance(pointer, str) else []
    return int(words[2]) if len(words) > 3 and words[1] == key and words[2].isdecimal() else None


def _with_descendants(nodes: list[Json], chosen: set[int]) -> set[int]:
    found = set(chosen)
    stack = list(chosen)
    while stack:
        for child in nodes[stack.pop()].get("children", []):
            if child not in found:
                found.add(child)
                stack.append(child)
    return found


def _kept(json: Json, nodes: list[Json], patterns: str) -> set[int]:
    """Nodes that must go on drawing what they draw: those with extras or extensions of their own or of their mesh,
    and, with all below them, those that the artist names or that an extension may hide."""
    wanted = [p for p in patterns.splitlines() if p]
    named = {
        index
        for index, node in enumerate(nodes)
        if VISIBILITY in (node.get("extensions") or {})
        or any(fnmatchcase(str(node.get("name", "")), pattern) for pattern in wanted)
    }
    meshes = items(json, "meshes")
    own = set()
    for index, node in enumerate(nodes):
        mesh = meshes[node["mesh"]] if node.get("mesh") is not None else {}
        if any(h.get("extras") or set(h.get("extensions") or {}) - INDIFFERENT for h in (node, mesh)):
            own.add(index)
    return own | _with_descendants(nodes, named)


def _bounds(
    document: Document,
    trees: list[TreeSource],
    deforming: list[DeformingMesh],
    users: dict[int, list[int]],
    motion: Motion,
) -> tuple[FloatArray, FloatArray]:
    """The box that holds everything in every pose."""
    boxes: list[FloatArray] = []
    kinds = {d.mesh: d.kind for d in deforming}
    for tree in trees:
        positions = tree.source.surface.positions
        if tree.mesh is None:
            boxes += [positions.min(axis=0), positions.max(axis=0)]
        else:
            boxes += _swept(positions, [motion.world[node] for node in tree.nodes])
    for mesh, drawn_by in users.items():
        for place, primitive in _primitives(document, mesh):
            if _is_triangles(primitive) and mesh not in kinds:
                continue
            attributes = read_attributes(document, primitive, place)
            positions = attributes["POSITION"].astype(np.float64)
            if len(positions) == 0:
                continue
            if mesh not in kinds:
                boxes += _swept(positions, [motion.world[node] for node in drawn_by])
                continue
            targets = read_targets(document, primitive, len(positions), place)
            deltas = [t.get("POSITION", np.zeros_like(positions)) for t in targets]
            for node in drawn_by:
                drawing = read_drawing(document, node, motion, place)
                body = read_body(attributes, deltas, drawing.matrices.shape[1], place)
                for pose in drawing.chosen(len(positions)):
                    posed = body.posed(drawing, pose)
                    boxes += [posed.min(axis=0), posed.max(axis=0)]
    if not boxes:
        raise ModelError("holds no geometry", remedy="export at least one object with vertices")
    return np.min(boxes, axis=0), np.max(boxes, axis=0)


def _swept(points: FloatArray, matrices: Sequence[FloatArray]) -> list[FloatArray]:
    """Lowest and highest corners of boxes around points (n, 3) that (t, 4, 4) matrices of each node move."""
    points = _outermost(points)
    if len(points) * sum(map(len, matrices)) > MANY_POSITIONS:
        # The box around the turned box of a mesh is a little large, but takes eight points a node.
        box = np.stack([points.min(axis=0), points.max(axis=0)])
        points = np.stack(np.meshgrid(*box.T), axis=-1).reshape(-1, 3)
    corners = []
    for each in matrices:
        moved = np.einsum("tij,nj->tni", each[:, :3, :3], points) + each[:, None, :3, 3]
        corners += [moved.min(axis=(0, 1)), moved.max(axis=(0, 1))]
    return corners


def _outermost(points: FloatArray) -> FloatArray:
    """The points that can be outermost under an affine map: those of the convex hull, where there is one."""
    if len(points) < 64:
        return points
    try:
        hull: FloatArray = points[ConvexHull(points).vertices]
    except QhullError:  # flat, or thinner than rounding
        return points
    return hull
