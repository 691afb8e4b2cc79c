"""A small web server for pages that run bundles: flat folders, and the headers that wasm with threads needs."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from mobile_bench.errors import BenchError

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The page's Content-Security-Policy: nothing is loaded from elsewhere, and nothing sent there."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    # Both are needed for SharedArrayBuffer, and so for threads (https://web.dev/articles/coop-coep).
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

INDEX = "index.html"
"""What the site's own address shows."""

_BINARY = "application/octet-stream"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/jsonl; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_PIECE_BYTES = 1 << 18
_POLL_S = 0.05


@dataclass
class Site:
    """What is served.

    Attributes:
        folders: by the address they are served under, such as `runtime/`; only the files right in them.
        made: contents by address, before the folders.
    """

    folders: dict[str, Path]
    made: dict[str, bytes] = field(default_factory=dict)

    def find(self, address: str) -> bytes | Path | None:
        """Return a content, or the file that has it; None if there is none."""
        address = address or INDEX
        if address in self.made:
            return self.made[address]
        under, slash, name = address.rpartition("/")
        folder = self.folders.get(under + slash)
        if folder is None or not name or name.startswith("."):
            return None
        path = folder / name
        return path if path.is_file() else None


class WebServer:
    """Serves a site until the `with` block ends.

    Args:
        site: what is served; it may change meanwhile.
        host: address to listen on.
        port: to listen on; 0: any that is free.
        certificate: and key as PEM files, for https.

    Raises:
        BenchError: the port is taken, or the certificate cannot be used.
    """

    def __init__(
        self, site: Site, host: str = "127.0.0.1", port: int = 0, certificate: tuple[Path, Path] | None = None
    ) -> None:
        handler = type("SiteHandler", (_Handler,), {"site": site})
        self._host = host
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise BenchError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port.") from error
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            self._server.socket = _secured(self._server, *certificate)
            self._scheme = "https"

    def __enter__(self) -> WebServer:
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="web-server", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def address(self, host: str | None = None) -> str:
        """Return the site's address, with a slash at its end; by another name of this machine if given."""
        return f"{self._scheme}://{host or self._host}:{self._server.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers from `site`, which a subclass has."""

    site: Site
    server_version = "odllm"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Send a file's headers."""
        self._send(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who asked for what is nobody's business."""

    def _send(self, *, with_body: bool) -> None:
        address = unquote(urlsplit(self.path).path).removeprefix("/")
        found = self.site.find(address)
        if found is None:
            kind = "text/plain; charset=utf-8"
            self._headers(HTTPStatus.NOT_FOUND, {"Content-Type": kind, "Content-Length": str(len(_NOT_HERE))})
            self.wfile.write(_NOT_HERE if with_body else b"")
            return
        tag = _tag(found)
        if self.headers.get("If-None-Match") == tag:
            self._headers(HTTPStatus.NOT_MODIFIED, {"ETag": tag})
            return
        size = len(found) if isinstance(found, bytes) else found.stat().st_size
        kind = _TYPES.get(Path(address or INDEX).suffix, _BINARY)
        self._headers(HTTPStatus.OK, {"Content-Type": kind, "Content-Length": str(size), "ETag": tag})
        try:
            if with_body:
                self._write(found)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the page was closed

    def _write(self, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            self.wfile.write(content)
            return
        with content.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                self.wfile.write(piece)

    def _headers(self, status: HTTPStatus, own: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **own}.items():
            self.send_header(name, value)
        self.end_headers()


_NOT_HERE = b"There is nothing here.\n"


def _tag(content: bytes | Path) -> str:
    """Return what tells a content from others, so that a browser that has it need not load it again."""
    if isinstance(content, bytes):
        return f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    facts = content.stat()
    return f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'


def _secured(server: ThreadingHTTPServer, certificate: Path, key: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        server.server_close()
        raise BenchError(f"{certificate} and {key} are no certificate and its key, as PEM files: {error}") from error
    # The handshake must not block the thread that accepts connections.
    return context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
