"""Options of `streamxr build`, each declared once. Names and defaults come from the field of Settings that it sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, get_args

import click

from .jobs.limits import DEFAULT_SECONDS, default_limits
from .settings import Role, Settings

MIN_TEXTURE_PIXELS, MAX_TEXTURE_PIXELS = 16, 8192  # a thumbnail, and the most that the GPUs of headsets take
MIN_MEMORY = 400_000_000  # bytes: the mesh libraries of one process

Command = Callable[..., None]


class Length(click.ParamType[str]):
    """A length as Settings holds it: metres, or percent of a tree's diagonal."""

    name = "length"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if not float(value.removesuffix("%")) >= 0:
                raise ValueError
        except ValueError:
            self.fail(f'{value!r} is not a length: use metres (0.002) or percent of the diagonal ("0.1%")', param, ctx)
        return value


class MemorySize(click.ParamType[int]):
    """An amount of memory in bytes, given as 1500M or 4G."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([MG])B?", str(value).upper())
        if match is None:
            self.fail(f"{value!r} is not an amount of memory: use 1500M or 4G", param, ctx)
        size = int(float(match[1]) * {"M": 1e6, "G": 1e9}[match[2]])
        if size < MIN_MEMORY:
            self.fail(f"{value} is too little: the mesh libraries alone take {MIN_MEMORY / 1e6:.0f}M", param, ctx)
        return size


class TextureSize(click.ParamType[tuple[str, int]]):
    """[ROLE=]PIXELS: a picture role, "" for all of them, and the longest side of its finest texture level."""

    name = "size"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):  # click also converts values that it has converted before
            return value
        role, equals, pixels = value.rpartition("=")
        if equals and role not in get_args(Role):
            self.fail(f"{role!r} is not a picture role: use one of {', '.join(get_args(Role))}", param, ctx)
        digits = pixels.isascii() and pixels.isdigit()
        if not digits or not MIN_TEXTURE_PIXELS <= int(pixels[:9]) <= MAX_TEXTURE_PIXELS:
            limits = f"{MIN_TEXTURE_PIXELS} to {MAX_TEXTURE_PIXELS}"
            self.fail(f"{pixels!r} is not a texture size: use pixels from {limits}", param, ctx)
        return role, int(pixels)


def setting_options(command: Command) -> Command:
    """Add one option for each build setting; the command receives them as `settings`."""

    @wraps(command)
    def with_settings(*, max_texture: dict[str, int], **values: Any) -> None:
        chosen: dict[str, Any] = dict(max_texture)
        chosen |= {field.name: values.pop(field.name) for field in fields(Settings) if field.name in values}
        command(settings=Settings(**chosen), **values)

    return _add([*_SETTINGS, _MAX_TEXTURE], with_settings)


def limit_options(command: Command) -> Command:
    """Add the options that limit the time and memory of one model; the command receives them as `limits`."""

    @wraps(command)
    def with_limits(*, timeout: float, memory: int | None, **values: Any) -> None:
        command(limits=default_limits(timeout, memory), **values)

    return _add(_LIMITS, with_limits)


def _add(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):  # as stacked decorators: the last one is applied first
        command = option(command)
    return command


def _setting(name: str, declaration: str = "", **attributes: Any) -> Callable[[Command], Command]:
    """The click option of a field of Settings, with the field's name and default unless `attributes` override them."""
    default = getattr(Settings, name)
    attributes = {"default": default, "show_default": default is not None, **attributes}
    return click.option(declaration or f"--{name.replace('_', '-')}", name, **attributes)


def _texture_sizes(ctx: click.Context, param: click.Parameter, values: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Fields of Settings for --max-texture. A size of one role wins over one of all roles, in any order."""
    roles = [role for role, _ in values]
    for role in roles:
        if roles.count(role) > 1:
            raise click.BadParameter(f"is given twice {f'for {role}' if role else 'without a role'}", ctx, param)
    sizes = dict(values)
    by_role = {role: sizes.get("") for role in get_args(Role)} | {role: pixels for role, pixels in values if role}
    return {f"max_{role}_pixels": pixels for role, pixels in by_role.items() if pixels is not None}


_LIMITS = (
    click.option(
        "--timeout",
        type=click.FloatRange(0, min_open=True),
        default=DEFAULT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="End a model that takes longer; the others continue.",
    ),
    click.option(
        "--memory",
        type=MemorySize(),
        metavar="SIZE",
        show_default="3/4 of the machine",
        help="End a model whose processes hold more memory than this, such as 1500M or 4G.",
    ),
)

_SETTINGS = (
    _setting("leaf_triangles", type=click.IntRange(500), help="Target number of triangles in a leaf region."),
    _setting(
        "depth",
        type=click.IntRange(0, 6),
        show_default="by model size",
        help="Maximum number of times that a tree is split in four.",
    ),
    _setting(
        "coarsest_error",
        type=Length(),
        metavar="LENGTH",
        help='Leave out tiers with a larger error: metres, or "1%" of the diagonal.',
    ),
    _setting(
        "finest_error",
        type=Length(),
        metavar="LENGTH",
        help='Leave out tiers finer than the first within this error: metres, or "0.01%".',
    ),
    _setting(
        "keep_nodes",
        multiple=True,
        default=(),
        show_default=False,
        callback=lambda _context, _option, patterns: "\n".join(patterns),
        metavar="PATTERN",
        help='Keep nodes with a matching name addressable, such as "door*"; can be repeated. Nodes with extras are '
        "kept if they are few.",
    ),
    _setting(
        "keep_materials",
        is_flag=True,
        show_default=False,
        help="Keep materials that differ in factors only. From 16 on they become one, with colours of vertices.",
    ),
    _setting(
        "walk_in",
        "--walk-in/--no-walk-in",
        show_default="if a person fits inside",
        help="Keep in all tiers what is not seen from outside, such as the inside of a room.",
    ),
    _setting(
        "unit",
        type=click.Choice(["m", "cm", "mm", "in", "ft"]),
        help="Unit of OBJ, PLY, STL and OFF files, which state none.",
    ),
    _setting("up", type=click.Choice(["y", "z"]), help="Up axis of OBJ, PLY, STL and OFF files, which state none."),
    _setting(
        "clean",
        "--clean/--no-clean",
        show_default="PLY and STL only",
        help="Repair geometry: duplicate and flat faces, dust, non-manifold edges, small holes.",
    ),
    _setting("base_triangles", type=click.IntRange(16), help="Target number of triangles in the base."),
    _setting(
        "texture_format",
        type=click.Choice(["webp", "jpeg", "png", "ktx2"]),
        help="Format of texture levels. With jpeg, pictures with alpha are PNG. With ktx2, textures stay compressed on "
        "the GPU, for more bytes and build time, and those in the base are WebP; it needs Node.js and: "
        "npm install --global ktx2-encoder.",
    ),
)

_MAX_TEXTURE = click.option(
    "--max-texture",
    type=TextureSize(),
    multiple=True,
    callback=_texture_sizes,
    metavar="[ROLE=]PIXELS",
    show_default=f"{Settings.max_color_pixels}",
    help="Longest side of the finest texture level, for all pictures or for one role with color=, normal= or data=; "
    "can be repeated.",
)
