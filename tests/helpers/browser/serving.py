"""The built site, and servers that hand it out."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.locks import one_process_at_a_time
from tests.helpers.paths import REPO, script

STATIC = REPO / "static"
DIST = STATIC / "dist"


def build_site() -> None:
    """`npm run build` where any source of the site is newer than the last build."""
    sources = [STATIC / name for name in ("package.json", "vite.config.ts", "index.html", "selftest.html")]
    for folder in ("src", "scripts", "public"):
        sources += [path for path in (STATIC / folder).rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in sources if path.exists())
    # Two builds on one checkout would empty each other's dist.
    with one_process_at_a_time("site"):
        if not _is_built_since(newest):
            _build()


def _is_built_since(time_s: float) -> bool:
    """Whether the page is newer than that and its compression, the last step of a build, is complete."""
    page = DIST / "index.html"
    # scripts/compress.mjs leaves files below 1 KiB as they are.
    scripts = [path for path in (DIST / "assets").glob("*.js") if path.stat().st_size >= 1024]
    return page.exists() and page.stat().st_mtime > time_s and all(Path(f"{s}.br").exists() for s in scripts)


def _build() -> None:
    done = subprocess.run(["npm", "run", "build"], cwd=STATIC, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"npm run build failed in static/:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


#: Starts the server with command line arguments; gives its URL.
Served = Callable[..., str]


@contextlib.contextmanager
def serve(*arguments: str) -> Iterator[str]:
    """The real server on a free port, with further command line arguments; yields its URL."""
    port = free_port()
    command = [script("meshnet-serve"), "--host", "127.0.0.1", "--port", str(port), *arguments]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_up(server, url)
            yield url
        finally:
            server.terminate()
            server.communicate(timeout=20)


def _wait_until_up(server: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if server.poll() is not None:
            output = server.stdout.read() if server.stdout else ""
            pytest.fail(f"meshnet-serve ended with code {server.returncode}:\n{output[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    pytest.fail(f"meshnet-serve did not answer on {url}/healthz within 180 s")


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@contextlib.contextmanager
def plain_server(folder: Path, port: int) -> Iterator[None]:
    """Python's file server on `port`: it sends none of the headers that `meshnet-serve` adds."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                    break
                assert time.monotonic() < deadline, "the file server did not start"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
