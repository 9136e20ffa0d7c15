"""Serve a bundle for a preview, with the headers that a CDN should send too."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from ..bundle.headers import ENCODINGS, TYPES, cache_control


class BundleFiles(StaticFiles):
    """Static files with the cache headers of a bundle; a precompressed file beside them (.br, .gz) is used."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404:
                raise
            return Response("not found\n", 404, {"Cache-Control": "no-store"}, "text/plain")
        response.headers["Cache-Control"] = cache_control(path.replace("\\", "/"))
        response.headers["Timing-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def file_response(self, full_path, stat_result, scope, status_code=200):  # type: ignore[no-untyped-def]
        """Send `name.br` or `name.gz` if the client accepts it and requests no range, else as Starlette does."""
        request = Request(scope)
        accepted = {part.split(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
        for encoding, suffix in ENCODINGS if "range" not in request.headers else ():
            compressed = Path(f"{full_path}{suffix}")
            if encoding in accepted and compressed.is_file():
                media_type = mimetypes.guess_type(str(full_path))[0]
                response = FileResponse(compressed, media_type=media_type, stat_result=compressed.stat())
                response.headers["Content-Encoding"] = encoding
                response.headers["Vary"] = "Accept-Encoding"
                if self.is_not_modified(response.headers, request.headers):
                    return Response(status_code=304, headers={"ETag": response.headers["etag"]})
                return response
        return super().file_response(full_path, stat_result, scope, status_code)


def bundle_app(root: Path, relay: str | None = None) -> Starlette:
    """An ASGI application that serves the bundle at `root`, with its page at `/`.

    relay: the address of a relay that pages reach at /relay.
    """
    for suffix, media_type in TYPES.items():
        mimetypes.add_type(media_type, suffix)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD"],
        allow_headers=["Range", "If-None-Match", "If-Modified-Since"],
        expose_headers=["Content-Length", "Content-Range", "ETag"],
        max_age=86400,
    )
    files = Mount("/", BundleFiles(directory=root, html=True))
    if relay is None:
        return Starlette(routes=[files], middleware=[cors])
    from .relay_proxy import relay_route  # here, since most previews have none

    return Starlette(routes=[relay_route(relay), files], middleware=[cors])
