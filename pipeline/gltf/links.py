"""Check that every index in a document points at an existing object.

The base keeps cameras, skins, animations and whole extensions unchanged, so a bad index that no stage of the pipeline
follows would otherwise reach the viewer.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..errors import EXPORT_AGAIN, ModelError
from .document import Json, item, items, label

# (array, property, target array). The property is an index, or a list of indices if it is in LISTS.
LINKS = (
    ("scenes", "nodes", "nodes"),
    ("nodes", "children", "nodes"),
    ("nodes", "mesh", "meshes"),
    ("nodes", "skin", "skins"),
    ("nodes", "camera", "cameras"),
    ("skins", "joints", "nodes"),
    ("skins", "skeleton", "nodes"),
    ("skins", "inverseBindMatrices", "accessors"),
    ("textures", "sampler", "samplers"),
    ("textures", "source", "images"),
    ("images", "bufferView", "bufferViews"),
    ("accessors", "bufferView", "bufferViews"),
    ("bufferViews", "buffer", "buffers"),
)
LISTS = (("scenes", "nodes"), ("nodes", "children"), ("skins", "joints"))
LIGHTS = "KHR_lights_punctual"


def check_links(json: Json) -> None:
    """Raise ModelError for the first index that is not an integer or points past the end of its array."""
    for key, name, target in LINKS:
        for index, holder in enumerate(items(json, key)):
            place = label(key.removesuffix("s"), index, holder)
            is_list = (key, name) in LISTS
            value: Any = holder.get(name, [] if is_list else None)
            if is_list and not isinstance(value, list):
                raise ModelError(f"{name} must be an array", place=place)
            indices: list[Any] = value if is_list else [] if value is None else [value]
            for each in indices:
                item(json, target, each, f"{place}, {name}")
    _check_hierarchy(items(json, "nodes"))
    if json.get("scene") is not None:
        item(json, "scenes", json["scene"], "scene")
    for index, node in enumerate(items(json, "nodes")):
        _check_light(json, node, label("node", index, node))
    for index, animation in enumerate(items(json, "animations")):
        _check_animation(json, animation, label("animation", index, animation))
    _check_extensions(json)


def _check_hierarchy(nodes: list[Json]) -> None:
    """Raise ModelError if a node has two parents or is its own descendant, even if no scene contains it."""
    children = [child for node in nodes for child in node.get("children", [])]
    wrong = {index for index, parents in Counter(children).items() if parents > 1}
    if not wrong:  # then the nodes that no root leads to are in cycles
        wrong = {*range(len(nodes))}
        stack = [*(wrong - {*children})]
        while stack:
            wrong.remove(index := stack.pop())
            stack += nodes[index].get("children", [])
    if wrong:
        place = label("node", min(wrong), nodes[min(wrong)])
        raise ModelError("is reached twice: nodes form a cycle or share a child", place=place, remedy=EXPORT_AGAIN)


def _check_light(json: Json, node: Json, place: str) -> None:
    extensions = node.get("extensions")
    use = extensions.get(LIGHTS) if isinstance(extensions, dict) else None
    if use is None:
        return
    holder = json.get("extensions")
    lights = holder.get(LIGHTS) if isinstance(holder, dict) else None
    if not isinstance(use, dict) or not isinstance(lights, dict):
        raise ModelError(f"{LIGHTS} must be an object, in the node and in the document", place=place)
    item(lights, "lights", use.get("light"), f"{place}, {LIGHTS}")


def _check_animation(json: Json, animation: Json, place: str) -> None:
    for sampler in items(animation, "samplers", place):
        for key in ("input", "output"):
            item(json, "accessors", sampler.get(key), f"{place}, {key}")
    for channel in items(animation, "channels", place):
        item(animation, "samplers", channel.get("sampler"), f"{place}, a channel")
        target = channel.get("target")
        if not isinstance(target, dict):
            raise ModelError("a channel has no target", place=place)
        if target.get("node") is not None:
            item(json, "nodes", target["node"], f"{place}, a channel")


def _check_extensions(json: Json) -> None:
    """Raise ModelError if an `extensions` property anywhere is not an object."""
    stack: list[tuple[Any, str]] = [(json, "")]
    while stack:
        holder, place = stack.pop()
        if isinstance(holder, list):
            stack.extend((each, f"{place}[{i}]") for i, each in enumerate(holder) if isinstance(each, dict | list))
            continue
        extensions = holder.get("extensions", {})
        if not isinstance(extensions, dict):
            raise ModelError("extensions must be an object", place=place.lstrip("."))
        stack.extend((v, f"{place}.{k}") for k, v in holder.items() if k != "extras" and isinstance(v, dict | list))
