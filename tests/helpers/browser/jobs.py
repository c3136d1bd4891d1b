"""Counts what three jobs cost in the page: presses, keys and seconds, for docs/lab/jobs.md.

    python -m tests.helpers.browser.jobs

Jobs 1 and 2 use the page's sample scan and the default model. Job 3 queues twenty small scans with a small model: its
presses do not depend on the scans. Twenty runs of the default model take twenty times the run of job 1.
"""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.helpers.browser.chromium import VIEWPORT, WEBGL2, launch
from tests.helpers.browser.serving import build_site, serve
from tests.helpers.browser.site import drop, status, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.paths import REPO

SAMPLE = REPO / "static" / "public" / "sample" / "sample_T2w.nii.gz"
SCANS = 20
#: For a run of the model at full size on a busy machine.
RUN_MS = 1_800_000


class Visitor:
    """Works in the page and counts: a drop, a press, a stroke and a key are one action each."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions: list[str] = []
        self.start = time.monotonic()
        self.run_seconds = 0.0

    def drop(self, *files: Path) -> None:
        self.actions.append("drop")
        drop(self.page, *files)
        wait_for(self.page, "ready")

    def press(self, test_id: str) -> None:
        self.actions.append(f"press {test_id}")
        self.page.get_by_test_id(test_id).click()

    def key(self, key: str, into: str) -> None:
        self.actions.append(f"key {key}")
        self.page.locator(into).press(key)

    def stroke(self) -> None:
        self.actions.append("stroke")
        box = self.page.locator("canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 25, y + 10, steps=5)
        self.page.mouse.up()
        expect(self.page.get_by_test_id("edit-said")).to_contain_text("Done: pen", timeout=PATIENCE_MS)

    def segment(self) -> None:
        """Enter, because the page puts the focus on *Segment*."""
        start = time.monotonic()
        self.key("Enter", "[data-testid=run]:focus")
        expect(status(self.page)).to_have_attribute("data-state", "done", timeout=RUN_MS)
        self.run_seconds = time.monotonic() - start

    def save(self, test_id: str) -> Path:
        with self.page.expect_download(timeout=PATIENCE_MS) as download:
            self.press(test_id)
        return Path(download.value.path())

    def report(self, job: str) -> None:
        seconds = time.monotonic() - self.start
        line = f"{job}: {len(self.actions)} actions, {seconds:.1f} s, of these {self.run_seconds:.1f} s the run"
        print(f"{line}\n    {', '.join(self.actions)}", flush=True)


def one_scan(page: Page) -> None:
    visitor = Visitor(page)
    visitor.drop(SAMPLE)
    visitor.segment()
    visitor.save("save-native")
    visitor.report("segment and save one scan")


def one_correction(page: Page) -> None:
    visitor = Visitor(page)
    visitor.drop(SAMPLE)
    visitor.segment()
    visitor.press("start-edit")
    expect(page.get_by_test_id("edit-tools")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(page, "done")
    visitor.key("p", "canvas")
    visitor.stroke()
    visitor.save("save-native")
    visitor.report("segment, correct one lesion, save")


def twenty_scans(page: Page, folder: Path) -> None:
    scans = [write_scan(folder / f"sub-{n:02}_T2w.nii.gz") for n in range(1, SCANS + 1)]
    visitor = Visitor(page)
    visitor.drop(*scans)
    start = time.monotonic()
    visitor.press("run-all")
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    wait_for(page, "done")
    visitor.run_seconds = time.monotonic() - start
    visitor.press("show-summary")
    table = visitor.save("save-summary")
    with table.open(newline="", encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == SCANS
    visitor.report(f"{SCANS} scans to one CSV")


def main() -> None:
    build_site()
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = launch(playwright, WEBGL2)
        small = Path(work) / "models"
        write_model(small, "small")
        for job, models, model in (
            (one_scan, REPO / "models", "t2-lesion"),
            (one_correction, REPO / "models", "t2-lesion"),
            (lambda page: twenty_scans(page, Path(work)), small, "small"),
        ):
            with serve("--models", str(models)) as url:
                page = browser.new_page(viewport=VIEWPORT)
                page.set_default_timeout(PATIENCE_MS)
                page.goto(f"{url}/?backend=cpu")
                wait_until_listed(page, model)
                job(page)
                page.close()


if __name__ == "__main__":
    main()
