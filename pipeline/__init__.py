"""StreamXR's build pipeline: any model in, a streamable bundle of gaze regions out.

Read `build.py` for the journey of a folder of models and `asset.py` for that of one model.
"""

from functools import cache


@cache
def version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError  # here, since it takes as long as a small picture
    from importlib.metadata import version as installed

    try:
        return installed("streamxr")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
