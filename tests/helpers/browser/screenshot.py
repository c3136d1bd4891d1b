"""Takes the picture of the README, docs/screenshot.png: `make screenshot`.

It shows the scan M2265 of `../shared/data` with the mask of the published model `brainchop-t2-lesion`, in
multiplanar view.

    python -m tests.helpers.browser.screenshot [--data ../shared/data] [-o docs/screenshot.png]
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from export.published import import_published
from tests.helpers.browser.chromium import VIEWPORT, WEBGL2, launch
from tests.helpers.browser.serving import build_site, serve
from tests.helpers.browser.site import drop, segment, wait_for
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.paths import REPO

MODEL = "brainchop-t2-lesion"
SCAN = "M2265_T2w.nii.gz"


def segment_m2265(page: Page, data: Path) -> None:
    """Drops the scan on a page that serves the published models, and presses nothing but *Segment*."""
    expect(page.get_by_test_id("model")).to_have_value(MODEL, timeout=PATIENCE_MS)
    drop(page, data / "scans" / SCAN)
    wait_for(page, "ready")
    segment(page)


def picture_of(page: Page) -> Image.Image:
    """The page in multiplanar view, RGB, as large as the window."""
    page.get_by_role("button", name="2-D + 3-D").click()
    page.wait_for_timeout(500)
    return Image.open(io.BytesIO(page.screenshot(timeout=PATIENCE_MS))).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes the picture of the README.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of scans and models")
    parser.add_argument("-o", "--out", type=Path, default=REPO / "docs" / "screenshot.png", help="file to write")
    args = parser.parse_args()
    build_site()
    with tempfile.TemporaryDirectory() as models, sync_playwright() as playwright:
        import_published(args.data / "models", Path(models))
        with serve("--models", models) as url:
            page = launch(playwright, WEBGL2).new_page(viewport=VIEWPORT)
            page.goto(f"{url}/?backend=cpu")
            segment_m2265(page, args.data)
            picture_of(page).quantize(192).save(args.out, optimize=True)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
