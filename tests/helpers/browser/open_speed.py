"""Measures how long the page takes to open a scan, until its picture is drawn, and to save a result.

    python -m tests.helpers.browser.open_speed NAME=SITE_FOLDER... --scan FILE [--rounds 3]

Each folder is a built site (static/dist); the sites take turns in every round. Opening counts from the drop of the file
to the second frame after the page says that it is ready; saving from the press of *Save* to the browser's download.
"""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page

from tests.helpers.browser.site import drop, save, segment, wait_for
from tests.helpers.browser.site_speed import for_each_site, parser

#: Sets window.openedMs once the picture of the dropped scan is drawn.
WATCH = """() => {
  window.openedMs = null;
  addEventListener('drop', () => {
    const start = performance.now();
    const status = document.querySelector('[data-testid=status]');
    const seen = () => {
      if (status.dataset.state !== 'ready') return;
      watch.disconnect();
      requestAnimationFrame(() => requestAnimationFrame(() => { window.openedMs = performance.now() - start; }));
    };
    const watch = new MutationObserver(seen);
    watch.observe(status, { attributes: true, attributeFilter: ['data-state'] });
  }, { capture: true, once: true });
}"""

#: Resolves once the picture of the result is drawn.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"


def measure(page: Page, name: str, scan: Path, work: Path) -> None:
    page.wait_for_timeout(2000)  # until the files for use without a network have been fetched
    page.evaluate(WATCH)
    drop(page, scan)
    wait_for(page, "ready")
    page.wait_for_function("() => window.openedMs !== null")
    opened_ms: float = page.evaluate("() => window.openedMs")
    segment(page, "bright")
    page.evaluate(DRAWN)
    start = time.perf_counter()
    save(page, "native", work)
    saved_ms = (time.perf_counter() - start) * 1000
    print(f"{name}: opened in {opened_ms:.0f} ms, saved in {saved_ms:.0f} ms", flush=True)


def main() -> None:
    options = parser("Measures how long the page takes to open a scan and to save a result.")
    options.add_argument("--scan", type=Path, required=True, help="the scan, a NIfTI file")
    options.add_argument("--rounds", type=int, default=3, help="visits of each site (default: %(default)s)")
    args = options.parse_args()
    for _ in range(args.rounds):
        for_each_site(args.sites, lambda page, name, work: measure(page, name, args.scan, work))


if __name__ == "__main__":
    main()
