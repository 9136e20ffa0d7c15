"""The journey of one model: its document, its pictures in other processes, and beside them its geometry and files.

Pictures take longer than anything else and need the document alone, so they are begun before what geometry needs is
loaded.
"""

from __future__ import annotations

from pathlib import Path

from .asset_pictures import Pictures, begin_pictures
from .asset_report import AssetReport
from .bundle.files import Bundle
from .errors import ModelError, os_reason, shown
from .formats.model import SCANS, read_model
from .gltf.document import Document
from .gltf.links import check_links
from .gltf.sizes import check_sizes
from .jobs.tasks import StartTasks
from .settings import Settings


def build_asset(
    path: Path, name: str, asset: str, bundle: Bundle, settings: Settings, start_tasks: StartTasks
) -> AssetReport:
    """Build one model into the bundle's files; the catalogue is left to the caller. Pictures are made beside the
    geometry where `start_tasks` can.

    name: the model's path below the source folder. Raises ModelError when the model cannot be used.
    """
    document = _read(path, name, settings)
    check_links(document.json)
    check_sizes(document)
    pictures: Pictures | ModelError
    try:
        pictures = begin_pictures(document, settings, start_tasks)
    except ModelError as error:  # raised later: errors in the geometry come first
        pictures = error

    from .assembly import assemble  # here, since what it needs takes half a second to load

    clean = path.suffix.lower() in SCANS if settings.clean is None else settings.clean
    return assemble(document, pictures, asset, bundle, settings, start_tasks, clean=clean)


def _read(path: Path, name: str, settings: Settings) -> Document:
    """Read the model. Raises ModelError, with the name of the file, for any that the system does not let it read."""
    try:
        return read_model(path, name, unit=settings.unit, up=settings.up)
    except OSError as error:
        if error.filename is None:
            raise
        raise ModelError(f"cannot read {shown(Path(error.filename).name)}: {os_reason(error)}") from error
