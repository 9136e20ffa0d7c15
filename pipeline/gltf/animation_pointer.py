"""KHR_animation_pointer: animation targets that are JSON pointers to any property of the document."""

from __future__ import annotations

from .document import Json

POINTER = "KHR_animation_pointer"


def pointed_element(target: Json, key: str) -> int | None:
    """The index in the top-level array `key` of the element that an animation's target points at, such as 3 for
    `/nodes/3/scale`."""
    extensions = target.get("extensions")
    holder = extensions.get(POINTER) if isinstance(extensions, dict) else None
    pointer = holder.get("pointer") if isinstance(holder, dict) else None
    words = pointer.split("/") if isinstance(pointer, str) else []
    return int(words[2]) if len(words) > 3 and words[1] == key and words[2].isdecimal() else None
