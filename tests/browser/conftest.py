"""Real browser, real server, built site: what every browser test stands on.

`open_page(path, flags)` gives a Playwright page on the served site. When the test ends, it fails if the page
logged an error, broke the content security policy, threw, or asked any other host for anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, sync_playwright

from tests.browser.site import write_model
from tests.conftest import script

REPO = Path(__file__).resolve().parent.parent.parent
STATIC = REPO / "static"
DIST = STATIC / "dist"

#: WebGPU on Chromium's software adapter.
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
#: WebGL2 on SwiftShader; no WebGPU adapter.
WEBGL2 = ("--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-features=WebGPU")
#: Neither, not even in software: only the CPU is left.
NO_GPU = ("--disable-gpu", "--disable-3d-apis", "--disable-software-rasterizer", "--disable-features=WebGPU")

_CHROMIUM = Path(os.environ.get("MESHNET_CHROMIUM", "/usr/bin/chromium"))

OpenPage = Callable[..., Page]


def build_site() -> None:
    """`npm run build` where any source of the site is newer than the last build."""
    sources = [STATIC / name for name in ("package.json", "vite.config.ts", "index.html", "selftest.html")]
    for folder in ("src", "scripts", "public"):
        sources += [path for path in (STATIC / folder).rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in sources if path.exists())
    # Two test runs on one checkout would empty each other's dist.
    with open(Path(tempfile.gettempdir()) / "meshnet-site-build.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_built_since(newest):
            _build()


def _is_built_since(time_s: float) -> bool:
    """Whether the page is newer than that and its compression, the last step of a build, is complete."""
    page = DIST / "index.html"
    scripts = list((DIST / "assets").glob("*.js"))
    return page.exists() and page.stat().st_mtime > time_s and all(Path(f"{s}.br").exists() for s in scripts)


def _build() -> None:
    done = subprocess.run(["npm", "run", "build"], cwd=STATIC, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"npm run build failed in static/:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


@contextlib.contextmanager
def serve(*arguments: str) -> Iterator[str]:
    """The real server on a free port, with further command line arguments; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            output = server.stdout.read() if server.stdout else ""
            pytest.fail(f"meshnet-serve ended with code {server.returncode}:\n{output[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"meshnet-serve did not answer on {url}/healthz within 60 s")


@pytest.fixture(scope="session")
def site_url() -> Iterator[str]:
    """URL of the built site, served by the real server with its default models."""
    build_site()
    with serve() as url:
        yield url


@pytest.fixture(scope="session")
def tissue_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the built site with one small model on a coarse grid, `tissue`."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue")
    build_site()
    with serve("--models", str(folder)) as url:
        yield url


@pytest.fixture(scope="session")
def _playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


class _Browsers:
    """At most one running browser: the next set of flags closes the one before."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._flags: tuple[str, ...] | None = None
        self._browser: Browser | None = None

    def launch(self, flags: Sequence[str]) -> Browser:
        if self._browser is None or not self._browser.is_connected() or self._flags != tuple(flags):
            self.close()
            self._browser = self._playwright.chromium.launch(
                executable_path=_CHROMIUM, args=["--no-sandbox", "--headless=new", *flags]
            )
            self._flags = tuple(flags)
        return self._browser

    def close(self) -> None:
        if self._browser is not None:
            self._browser.close()
        self._browser = None


@pytest.fixture(scope="session")
def _browsers(_playwright: Playwright) -> Iterator[_Browsers]:
    if not _CHROMIUM.exists():
        pytest.fail(f"{_CHROMIUM} is not there; install Debian's chromium or set MESHNET_CHROMIUM")
    browsers = _Browsers(_playwright)
    yield browsers
    browsers.close()


@pytest.fixture
def open_page(site_url: str, _browsers: _Browsers) -> Iterator[OpenPage]:
    """`open_page(path="/", flags=WEBGPU, url=None, expected=())` → a page of the site that has loaded.

    `url` is another server's address (see `serve`); `expected` lists parts of console errors that the test
    provokes. Every other console error, page error, CSP violation or request to another host fails the test.
    """
    problems: list[str] = []
    contexts = []

    def open_one(
        path: str = "/", *, flags: Sequence[str] = WEBGPU, url: str | None = None, expected: Sequence[str] = ()
    ) -> Page:
        base = url or site_url
        context = _browsers.launch(flags).new_context(accept_downloads=True, viewport={"width": 1280, "height": 800})
        contexts.append(context)
        page = context.new_page()

        def note(text: str) -> None:
            if not any(part in text for part in expected):
                problems.append(text)

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                note(f"console error: {message.text}")

        def on_request(request: Request) -> None:
            parts = urlparse(request.url)
            if parts.scheme not in ("data", "blob") and parts.netloc != urlparse(base).netloc:
                problems.append(f"request to another host: {request.url}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: note(f"page error: {error}"))
        context.on("request", on_request)
        page.goto(base + path, wait_until="load")
        return page

    yield open_one
    for context in contexts:
        context.close()
    if problems:
        pytest.fail("the page had problems:\n" + "\n".join(problems))


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    """The built site with the models of the test file's own `models` fixture."""
    build_site()
    with serve("--models", str(models)) as address:
        yield address
