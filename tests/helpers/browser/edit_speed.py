"""Measures how long editing keeps the page from answering.

    python -m tests.helpers.browser.edit_speed NAME=SITE_FOLDER... [--size 256]

Each folder is a built site (static/dist). They are measured one after the other in one browser, so that an older one
can stand beside the present one. The scan is a head with two balls, segmented by a model that marks bright voxels.
Times are those of tasks of the page's main thread, by the Long Tasks API, which reports tasks of 50 ms or more.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.helpers.browser.site import drop, segment, wait_for
from tests.helpers.browser.site_speed import for_each_site, parser, write_head
from tests.helpers.browser.visits import PATIENCE_MS

WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) window.tasks.push(duration); })
    .observe({ type: 'longtask' });
}"""


def longest(page: Page) -> str:
    """Longest and summed long tasks since the last call."""
    page.wait_for_timeout(1500)
    tasks: list[float] = page.evaluate("() => window.tasks.splice(0)")
    return f"longest task {max(tasks, default=0):.0f} ms, {sum(tasks):.0f} ms in {len(tasks)} tasks of 50 ms or more"


def measure(page: Page, name: str) -> None:
    page.evaluate(WATCH)
    page.get_by_test_id("start-edit").click()
    expect(page.get_by_test_id("edit-tools")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(page, "done")
    print(f"{name}: open the tools: {longest(page)}", flush=True)
    page.get_by_role("button", name="Axial").click()
    page.locator("canvas").press("p")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + 0.45 * box["width"], box["y"] + 0.45 * box["height"]
    longest(page)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(20):
        page.mouse.move(x + 3 * step, y + 2 * step)
        page.wait_for_timeout(100)
    page.mouse.up()
    print(f"{name}: stroke of 20 moves: {longest(page)}", flush=True)
    for key, tool in (("m", "smooth"), ("z", "undo")):
        page.locator("canvas").press(key)
        expect(page.get_by_test_id("edit-said")).to_contain_text(
            f"{'Done' if key == 'm' else 'Undone'}", timeout=PATIENCE_MS
        )
        print(f"{name}: {tool}: {longest(page)}", flush=True)
    page.locator("canvas").press("g")
    page.mouse.click(x, y)
    expect(page.get_by_test_id("edit-said")).to_contain_text("grow", timeout=PATIENCE_MS)
    print(f"{name}: grow: {longest(page)}", flush=True)


def main() -> None:
    options = parser("Measures how long editing keeps the page from answering.")
    options.add_argument(
        "--size", type=int, default=256, help="voxels of the scan along each axis (default: %(default)s)"
    )
    args = options.parse_args()

    def edit(page: Page, name: str, work: Path) -> None:
        drop(page, write_head(work / "head.nii.gz", args.size))
        wait_for(page, "ready")
        segment(page, "bright")
        measure(page, name)

    for_each_site(args.sites, edit)


if __name__ == "__main__":
    main()
