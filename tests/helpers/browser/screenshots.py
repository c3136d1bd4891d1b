"""Takes the pictures of docs/site.md, docs/site/*.webp: `make screenshots`.

They show the page with its own sample scan, a synthetic one, and a comparison with a mask that is made from the result.

    python -m tests.helpers.browser.screenshots [-o docs/site]
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.helpers.browser.chromium import VIEWPORT, WEBGL2, launch
from tests.helpers.browser.serving import build_site, serve
from tests.helpers.browser.site import drop, save, status, wait_for
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.paths import REPO

SAMPLE = REPO / "static" / "public" / "sample" / "sample_T2w.nii.gz"
MODEL = "t2-lesion"
#: Of WebP, 0 to 100.
QUALITY = 60
#: For a run of the model at full size on a busy machine.
RUN_MS = 1_800_000


class Album:
    """Writes pictures of a page to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Page, name: str) -> None:
        page.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(page.screenshot(timeout=PATIENCE_MS))).convert("RGB")
        path = self.folder / f"{name}.webp"
        picture.save(path, quality=QUALITY, method=6)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def visit_one_scan(page: Page, album: Album, work: Path) -> None:
    """From the empty page to report and mesh of one scan."""
    expect(page.get_by_test_id("model")).to_have_value(MODEL, timeout=PATIENCE_MS)
    album.take(page, "1-empty")
    page.get_by_test_id("sample").click()
    wait_for(page, "ready")
    album.take(page, "2-opened")
    page.get_by_test_id("run").click()
    progress = "() => document.querySelector('[data-testid=progress]').value > 20"
    page.wait_for_function(progress, timeout=PATIENCE_MS)
    album.take(page, "3-running")
    expect(status(page)).to_have_attribute("data-state", "done", timeout=RUN_MS)
    page.locator("#results-heading").scroll_into_view_if_needed()
    album.take(page, "4-result")

    page.get_by_label("Show the probability of").check()
    wait_for(page, "done")
    page.get_by_test_id("confidence").scroll_into_view_if_needed()
    album.take(page, "5-confidence")
    page.get_by_label("Show the probability of").uncheck()
    wait_for(page, "done")

    drop(page, shifted_mask(save(page, "native", work), work))
    expect(page.get_by_test_id("comparison")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_test_id("comparison").scroll_into_view_if_needed()
    album.take(page, "6-compare")
    page.get_by_test_id("end-comparison").click()
    wait_for(page, "done")

    page.get_by_test_id("start-edit").click()
    expect(page.get_by_test_id("edit-tools")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(page, "done")
    page.get_by_role("button", name="Axial").click()
    page.locator("[data-edit=pen]").click()
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.42 * box["width"], box["y"] + 0.32 * box["height"])
    page.get_by_test_id("edit-tools").scroll_into_view_if_needed()
    album.take(page, "7-edit")
    page.locator("[data-edit=close]").click()
    wait_for(page, "done")
    page.get_by_role("button", name="2-D + 3-D").click()

    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-report").click()
    browser = page.context.browser
    assert browser is not None
    report = browser.new_page(viewport=VIEWPORT)
    path = work / "report.html"
    shutil.copy(download.value.path(), path)
    report.goto(path.as_uri())
    album.take(report, "8-report")
    report.close()


def visit_queue(page: Page, album: Album, work: Path) -> None:
    """A queue of three scans that has ended, and its table."""
    scans = [work / f"sub-0{n}_T2w.nii.gz" for n in (1, 2, 3)]
    image = nib.load(SAMPLE)
    data = np.asanyarray(image.dataobj)
    # The sample itself, its left-right mirror image, and a cut file, which fails.
    shutil.copy(SAMPLE, scans[0])
    nib.save(nib.Nifti1Image(np.ascontiguousarray(data[::-1]), image.affine, image.header), scans[1])
    scans[2].write_bytes(SAMPLE.read_bytes()[:40_000])
    drop(page, *scans)
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished", timeout=2 * RUN_MS)
    wait_for(page, "done")
    page.get_by_test_id("show-summary").click()
    album.take(page, "9-queue")


def visit_by_phone(browser: Browser, url: str, album: Album) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=1)
    page.goto(url)
    expect(page.get_by_test_id("model")).to_have_value(MODEL, timeout=PATIENCE_MS)
    page.get_by_test_id("sample").click()
    wait_for(page, "ready")
    page.get_by_test_id("run").click()
    expect(status(page)).to_have_attribute("data-state", "done", timeout=RUN_MS)
    page.locator("#results-heading").scroll_into_view_if_needed()
    album.take(page, "10-phone")


def shifted_mask(saved: Path, work: Path) -> Path:
    """The saved mask moved by 3 voxels: a colleague's, by its name."""
    image = nib.load(saved)
    moved = np.roll(np.asanyarray(image.dataobj), 3, axis=1)
    path = work / "sample_T2w_lesion.nii.gz"
    nib.save(nib.Nifti1Image(moved, image.affine, image.header), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes the pictures of docs/site.md.")
    parser.add_argument("-o", "--out", type=Path, default=REPO / "docs" / "site", help="folder to write to")
    args = parser.parse_args()
    build_site()
    expect.set_options(timeout=PATIENCE_MS)
    album = Album(args.out)
    with (
        tempfile.TemporaryDirectory() as work,
        serve("--models", str(REPO / "models")) as url,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright, WEBGL2)
        address = f"{url}/?backend=cpu"
        for visit in (visit_one_scan, visit_queue):
            page = browser.new_page(viewport=VIEWPORT)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            visit(page, album, Path(work))
            page.close()
        visit_by_phone(browser, address, album)
    total = sum(path.stat().st_size for path in args.out.glob("*.webp"))
    print(f"{total / 1e6:.2f} MB in all")


if __name__ == "__main__":
    main()
