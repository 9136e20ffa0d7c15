"""The headers of a bundle's files: media types and Cache-Control, for `streamxr serve` and `streamxr publish`."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePosixPath

TYPES = {
    ".glb": "model/gltf-binary",
    ".webp": "image/webp",
    ".ktx2": "image/ktx2",
    ".wasm": "application/wasm",
    ".js": "text/javascript",
    ".json": "application/json",
}
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
ENCODINGS = (("br", ".br"), ("gzip", ".gz"))  # Content-Encoding, and suffix of the compressed file beside another
UNKNOWN_TYPE = "application/octet-stream"

# Files with a hash in their name never change: objects, manifests, chunks of the page.
_HASHED = re.compile(
    r"^(o/[0-9a-f]{2}/[0-9a-f]{32}\.\w+|a/[^/]+/manifest-[0-9a-f]{32}\.json|viewer/.*-([A-Z0-9]{8}|[0-9a-f]{12})\.\w+)$"
)


def is_immutable(path: str) -> bool:
    """Whether a file of a bundle never changes under its name; `path` is relative to the bundle, with slashes."""
    return _HASHED.match(path) is not None


def cache_control(path: str) -> str:
    """Cache-Control of a file of a bundle."""
    return IMMUTABLE if is_immutable(path) else REVALIDATE


def media_type(path: str) -> str:
    """Content-Type of a file of a bundle; text has its charset."""
    suffix = PurePosixPath(path).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(path)[0] or UNKNOWN_TYPE
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
