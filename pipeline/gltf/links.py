"""Check that every index by which the objects of a document name each other points at something.

The base keeps cameras, skins, animations and whole extensions as they came, so an index that no stage of the
pipeline follows would reach the viewer; here all of them meet the same question first.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..errors import ModelError
from .document import Json, item, items, label

# (array, property, target): scalars and arrays of indices alike.
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
    """Raise ModelError for the first index that is no integer or points past its array's end."""
    for key, name, target in LINKS:
        for index, holder in enumerate(items(json, key)):
            place = label(key.removesuffix("s"), index, holder)
            several = (key, name) in LISTS
            value: Any = holder.get(name, [] if several else None)
            if several and not isinstance(value, list):
                raise ModelError(f"{name} must be an array", place=place)
            named: list[Any] = value if several else [] if value is None else [value]
            for each in named:
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
    """Each node has one parent at most, and none is below itself, whether a scene shows it or not."""
    below = [child for node in nodes for child in node.get("children", [])]
    wrong = {index for index, parents in Counter(below).items() if parents > 1}
    if not wrong:  # then what no root leads to goes round in circles
        wrong = {*range(len(nodes))}
        stack = [*(wrong - {*below})]
        while stack:
            wrong.remove(index := stack.pop())
            stack += nodes[index].get("children", [])
    if wrong:
        place = label("node", min(wrong), nodes[min(wrong)])
        raise ModelError("is reached twice: nodes form a cycle or share a child", place=place, remedy="export it again")


def _check_light(json: Json, node: Json, place: str) -> None:
    extensions = node.get("extensions")
    use = extensions.get(LIGHTS) if isinstance(extensions, dict) else None
    if use is None:
        return
    holder = json.get("extensions")
    lights = holder.get(LIGHTS) if isinstance(holder, dict) else None
    if not isinstance(use, dict) or not isinstance(lights, dict):
        raise ModelError(f"{LIGHTS} must be an object, here and in the document", place=place)
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
    """Wherever glTF has `extensions`, it is an object of objects."""
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
