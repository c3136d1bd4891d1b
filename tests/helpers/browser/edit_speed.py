"""Measures how long editing keeps the page from answering.

    python -m tests.helpers.browser.edit_speed NAME=SITE_FOLDER... [--size 256]

Each folder is a built site (static/dist). They are measured one after the other in one browser, so that an older one
can stand beside the present one. The scan is a head with two balls, segmented by a model that marks bright voxels.
Times are those of tasks of the page's main thread, by the Long Tasks API, which reports tasks of 50 ms or more.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from tests.helpers.bright_model import write_bright_model
from tests.helpers.browser.chromium import VIEWPORT, WEBGL2, launch
from tests.helpers.browser.serving import free_port
from tests.helpers.browser.site import drop, segment, wait_for, wait_until_listed
from tests.helpers.browser.visits import PATIENCE_MS
from webapp.app import create_app

WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => { for (const { duration } of list.getEntries()) window.tasks.push(duration); })
    .observe({ type: 'longtask' });
}"""


def write_head(path: Path, size: int) -> Path:
    """A head of 200 mm with two bright balls, `size`³ voxels on a grid of 256 mm."""
    mm = 256 / size
    i, j, k = (np.indices((size,) * 3) - size / 2) * mm
    data = np.where(i**2 + j**2 + k**2 < 100**2, 90, 0).astype(np.uint8)
    for centre, radius in (((-30, 10, 0), 30), ((45, -20, 5), 15)):
        data[(i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 < radius**2] = 250
    nib.save(nib.Nifti1Image(data, np.diag([mm, mm, mm, 1.0])), path)
    return path


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
    parser = argparse.ArgumentParser(description="Measures how long editing keeps the page from answering.")
    parser.add_argument("sites", nargs="+", metavar="NAME=FOLDER", help="name and folder of a built site")
    parser.add_argument(
        "--size", type=int, default=256, help="voxels of the scan along each axis (default: %(default)s)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        write_bright_model(Path(work) / "models" / "bright", id="bright", name="bright")
        scan = write_head(Path(work) / "head.nii.gz", args.size)
        browser = launch(playwright, WEBGL2)
        for name, folder in (site.split("=", 1) for site in args.sites):
            port = free_port()
            app = create_app([Path(work) / "models"], site=Path(folder))
            server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
            thread = threading.Thread(target=server.run)
            thread.start()
            page = browser.new_page(viewport=VIEWPORT)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"http://127.0.0.1:{port}/?backend=cpu")
            wait_until_listed(page, "bright")
            drop(page, scan)
            wait_for(page, "ready")
            segment(page, "bright")
            measure(page, name)
            page.close()
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    main()
