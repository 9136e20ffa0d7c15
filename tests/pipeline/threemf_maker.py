"""Write 3MF packages part by part."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
NAMESPACES = (
    f'xmlns="{CORE}" xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02" '
    'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
)
ROOT = "3D/3dmodel.model"
TETRAHEDRON = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
FACES = ((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2))


def package(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip file of these parts, with the same bytes at any time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def model(resources: str, build: str, attributes: str = 'unit="meter"') -> str:
    """The XML of a model part."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<model {attributes} {NAMESPACES}>\n'
        f"<resources>{resources}</resources>\n<build>{build}</build>\n</model>\n"
    )


def mesh(
    vertices: Sequence[Sequence[float]] = TETRAHEDRON,
    triangles: Sequence[Sequence[int]] = FACES,
    properties: Sequence[str] = (),
) -> str:
    """The XML of a mesh. properties: more attributes of each triangle."""
    listed = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>\n' for x, y, z in vertices)
    more = [*properties, *[""] * (len(triangles) - len(properties))]
    faces = "".join(
        f'<triangle v1="{a}" v2="{b}" v3="{c}" {m}/>\n' for (a, b, c), m in zip(triangles, more, strict=True)
    )
    return f"<mesh><vertices>{listed}</vertices><triangles>{faces}</triangles></mesh>"


def shape(key: int, content: str, attributes: str = "") -> str:
    """The XML of an object."""
    return f'<object id="{key}" {attributes}>{content}</object>'


def simple(build: str = '<item objectid="1"/>', attributes: str = 'unit="meter"') -> bytes:
    """A package with one tetrahedron."""
    return package({ROOT: model(shape(1, mesh()), build, attributes)})
