"""A proxy before an S3 server: it notes requests, and refuses or ignores conditional writes like lesser stores."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server

CONDITIONS = ("if-match", "if-none-match")
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "expect")
NOT_IMPLEMENTED = b"<Error><Code>NotImplemented</Code><Message>A header implies functionality</Message></Error>"

PASS, REFUSE, IGNORE = "pass", "refuse", "ignore"


@dataclass
class S3Proxy:
    """A running proxy. log: method and path of each request, when it was answered.

    on_request: called with method and path before a request is sent on.
    """

    url: str
    conditions: str
    log: list[tuple[str, str]] = field(default_factory=list)
    on_request: Callable[[str, str], None] = lambda *_: None

    def keys(self, method: str) -> list[str]:
        """The keys of the answered requests of a method, without their bucket."""
        return [path.split("?")[0].split("/", 2)[2] for found, path in self.log if found == method]


@contextmanager
def s3_proxy(server: S3Server, conditions: str = PASS) -> Iterator[S3Proxy]:
    """conditions: whether conditional writes are passed on, refused with 501, or done without their condition."""
    target = urlsplit(server.url).netloc
    proxy = S3Proxy("", conditions)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self._body()
            proxy.on_request(self.command, self.path)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            conditional = self.command == "PUT" and any(k.lower() in CONDITIONS for k in headers)
            if conditional and proxy.conditions == REFUSE:
                self._send(501, {"Content-Type": "application/xml"}, NOT_IMPLEMENTED)
                return
            if conditional and proxy.conditions == IGNORE:
                headers = _signed_anew(self.command, f"{server.url}{self.path}", headers, body)
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self._send(answer.status, dict(answer.getheaders()), content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer  # noqa: N815

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            proxy.log.append((self.command, self.path))
            self.send_response(status)
            length = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else str(len(content))
            for name, value in headers.items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        def send_response(self, code: int, message: str | None = None) -> None:
            self.send_response_only(code, message)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A killed publisher cuts its connections."""

    with Server(("127.0.0.1", 0), Handler) as running:
        proxy.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            running.shutdown()
            thread.join()


def _signed_anew(method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
    """The headers without conditions, signed again, since a signature covers all headers."""
    ours = ("authorization", "host", "x-amz-date", "x-amz-content-sha256", *CONDITIONS)
    kept = {k: v for k, v in headers.items() if k.lower() not in ours}
    request = AWSRequest(method, url, kept, body)
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())
