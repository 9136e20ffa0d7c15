"""StreamXR's build pipeline: any model in, a streamable bundle of gaze regions out.

Read `build.py` for the journey of a folder of models and `asset.py` for that of one model.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("streamxr")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0+unknown"
