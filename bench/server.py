"""HTTP server for the browser visits: the built site, the npm packages of other runtimes, and the data.

`/alone/…` serves the same files without the headers of cross-origin isolation: no shared memory, hence one thread.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BLANK = b"<!doctype html><title>bench</title><link rel=icon href='data:,'>"
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Server(http.server.ThreadingHTTPServer):
    """`labels` is the body of the last POST: a runtime's labels, which exceed the browser's debugging protocol."""

    daemon_threads = True

    def __init__(self, site: Path, work: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders = {"site": site, "peers": BENCH / "node_modules", "page": BENCH / "page", "data": work}
        self.labels: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(site: Path, work: Path) -> Iterator[Server]:
    """Run the server on a free local port."""
    with Server(site, work) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server
    extensions_map = {  # noqa: RUF012 (as in the base class)
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def translate_path(self, path: str) -> str:
        top, _, rest = path.partition("?")[0].removeprefix("/alone").strip("/").partition("/")
        folder = self.server.folders.get(top)
        return str(folder / rest) if folder is not None and ".." not in rest else str(BENCH / "no such file")

    def end_headers(self) -> None:
        if not self.path.startswith("/alone/"):
            for name, value in ISOLATED.items():
                self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path not in ("/", "/alone/"):
            super().do_GET()
            return
        self._answer(BLANK)

    def do_POST(self) -> None:
        self.server.labels = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
