"""A page whose worker meets faults that a test brings about."""

from __future__ import annotations

from playwright.sync_api import Page, Route

from tests.helpers.browser.chromium import OpenPage


def open_with_fault(open_page: OpenPage, url: str, flags: tuple[str, ...], fault: str, query: str = "") -> Page:
    """The page, its worker's script preceded by `fault`."""

    page = open_page("/selftest.html", flags=flags, url=url)
    precede_worker(page, "worker", fault)
    page.goto(f"{url}/{query}", wait_until="load")
    return page


def precede_worker(page: Page, worker: str, script: str) -> None:
    """From the next load on, `script` runs in front of the worker's own (`worker`, `selftest-worker`)."""

    def precede(route: Route) -> None:
        answer = route.fetch()
        # the server's headers stay: without them an isolated page may not start the worker
        headers = {
            name: value for name, value in answer.headers.items() if name not in ("content-encoding", "content-length")
        }
        route.fulfill(status=200, headers=headers, body=script + answer.text())

    page.route(f"**/assets/{worker}-*.js", precede)
