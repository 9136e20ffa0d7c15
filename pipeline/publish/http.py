"""Requests as a browser sends them from a page of another origin, one after the other on one connection."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from .errors import PublishError
from .store import decompressed

TIMEOUT_S = 20.0
MAX_BYTES = 256 << 20  # of one file, so that a wrong address does not fill the memory
_ENCODINGS = "gzip, br"


@dataclass(frozen=True)
class Answer:
    """The answer of a server. Names of headers are in lower case. sent: the bytes of the body as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: int


class Browser:
    """Fetches files of one site. Raises PublishError if the server cannot be reached."""

    def __init__(self, url: str, origin: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PublishError("is no address of a web server", place=url, remedy="use https://host/bundle.json")
        self.url = url
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self._port = parts.port
        self._origin = origin
        self._connection: http.client.HTTPConnection | None = None

    def get(self, uri: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a file; `uri` is relative to the address of this browser."""
        target = urlsplit(urljoin(self.url, uri))
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        sent = {"Origin": self._origin, "Accept": "*/*", "Accept-Encoding": _ENCODINGS, **(headers or {})}
        try:
            try:
                self._connect().request("GET", path, headers=sent)
                answer = self._connect().getresponse()
            except (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError):
                self.close()  # the server has ended the idle connection
                self._connect().request("GET", path, headers=sent)
                answer = self._connect().getresponse()
            body = answer.read(MAX_BYTES)
            if answer.length:
                self.close()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            problem = f"cannot be fetched: {error or type(error).__name__}"
            raise PublishError(problem, place=urljoin(self.url, uri), remedy="check address and network") from None
        found = {name.lower(): value for name, value in answer.getheaders()}
        try:
            plain = decompressed(body, found.get("content-encoding", ""))
        except ValueError:
            plain = body  # its hash will tell
        return Answer(answer.status, found, plain, len(body))

    def offers_http2(self) -> bool:
        """Whether the server offers HTTP/2, which browsers use over TLS only."""
        import socket

        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        try:
            with (
                socket.create_connection((self.host, self._port or 443), TIMEOUT_S) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as secured,
            ):
                return secured.selected_alpn_protocol() == "h2"
        except OSError:
            return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
            self._connection = kind(self.host, self._port, timeout=TIMEOUT_S)
        return self._connection
