"""Real browser, real server, built site: what every browser test stands on.

`open_page(path, flags)` gives a Playwright page on the served site. When the test ends, it fails if the page
logged an error, broke the content security policy, threw, or asked any other host for anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import ConsoleMessage, Page, Playwright, Request, expect, sync_playwright

from tests.helpers.browser.chromium import CHROMIUM, VIEWPORT, WEBGPU, Browsers, OpenPage
from tests.helpers.browser.serving import Served, build_site, serve
from tests.helpers.browser.site import write_model
from tests.helpers.browser.visits import PATIENCE_MS


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
def playwright() -> Iterator[Playwright]:
    # A busy machine answers late: only a page that never answers fails.
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browsers(playwright: Playwright) -> Iterator[Browsers]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is not there; install Debian's chromium or set MESHNET_CHROMIUM")
    running = Browsers(playwright)
    yield running
    running.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """`served(*arguments)` → URL of a server with these command line arguments, which ends after the test's pages.

    A page fetches in the background: one that outlives its server reports errors.
    """
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(serve(*arguments))


@pytest.fixture
def open_page(site_url: str, browsers: Browsers, served: Served) -> Iterator[OpenPage]:
    """`open_page(path="/", flags=WEBGPU, url=None, expected=(), script="")` → a page of the site that has loaded.

    `url` is another server's address (see `serve`); `expected` lists parts of console errors that the test
    provokes; `script` runs before the page's own. Every other console error, page error, CSP violation or request to
    another host fails the test.
    """
    problems: list[str] = []
    contexts = []

    def open_one(
        path: str = "/",
        *,
        flags: Sequence[str] = WEBGPU,
        url: str | None = None,
        expected: Sequence[str] = (),
        script: str = "",
    ) -> Page:
        base = url or site_url
        context = browsers.launch(flags).new_context(accept_downloads=True, viewport=VIEWPORT)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)

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
