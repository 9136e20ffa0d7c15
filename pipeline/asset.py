"""Build one model: read its document, encode its pictures in other processes, build its geometry, write its files.

Pictures take longest and need only the document. So they start before the libraries for geometry are loaded.
"""

from __future__ import annotations

from pathlib import Path

from .asset_pictures import Pictures, begin_pictures
from .asset_report import AssetReport
from .bundle.files import Bundle
from .errors import ModelError, os_reason, shown
from .formats.model import SCANS, read_model
from .gltf.document import Document
from .gltf.instances import with_instances_as_nodes
from .gltf.links import check_links
from .gltf.sizes import check_sizes
from .jobs.tasks import StartTasks
from .settings import Settings


def build_asset(
    path: Path, name: str, asset: str, bundle: Bundle, settings: Settings, start_tasks: StartTasks
) -> AssetReport:
    """Build one model and write its files into the bundle; the caller writes the catalogue.

    name: the model's path below the source folder. start_tasks: may encode pictures while the geometry is built.
    Raises ModelError if the model cannot be used, or its files cannot be written.
    """
    document = _read(path, name, settings)
    check_links(document.json)
    check_sizes(document)
    document = with_instances_as_nodes(document)
    check_sizes(document)  # again, since instances are copies
    pictures: Pictures | ModelError
    try:
        pictures = begin_pictures(document, settings, start_tasks)
    except ModelError as error:  # raised later: errors in the geometry come first
        pictures = error

    from .assembly import assemble  # here, since its libraries take half a second to load

    clean = path.suffix.lower() in SCANS if settings.clean is None else settings.clean
    return assemble(document, pictures, asset, bundle, settings, start_tasks, clean=clean)


def _read(path: Path, name: str, settings: Settings) -> Document:
    """Read the model. Raises ModelError, with the name of the file, if the system cannot read one of its files."""
    try:
        return read_model(path, name, unit=settings.unit, up=settings.up)
    except OSError as error:
        if error.filename is None:
            raise
        raise ModelError(f"cannot read {shown(Path(error.filename).name)}: {os_reason(error)}") from error
