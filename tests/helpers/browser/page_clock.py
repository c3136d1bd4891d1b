"""A page's clock that a test moves, so that minutes without input pass at once."""

from __future__ import annotations

from playwright.sync_api import Page

#: For `open_page(script=...)`.
PAGE_CLOCK = """(() => {
  const now = performance.now.bind(performance);
  window.stoppedAtMs = null;
  performance.now = () => window.stoppedAtMs ?? now();
})()"""


def stop_clock_after(page: Page, seconds: float) -> None:
    """Moves the page's clock (`performance.now`) on by `seconds` and stops it there, until the page is loaded again."""
    page.evaluate("(seconds) => { window.stoppedAtMs = performance.now() + 1000 * seconds; }", seconds)
