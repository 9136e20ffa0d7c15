"""StreamXR's build pipeline: it turns 3D models into bundles of gaze regions that stream.

`build.py` builds a folder of models; `asset.py` builds one model.
"""

from functools import cache


@cache
def version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError  # here, since it takes long to load
    from importlib.metadata import version as installed

    try:
        return installed("streamxr")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"
