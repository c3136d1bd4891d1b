"""A queue of many scans needs the memory of one: scans are held as files, results as compressed labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from meshnet.model.spec import InputSpec
from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.memory import held_bytes, resident_bytes
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import head, wait_until_listed, write_scan
from tests.helpers.browser.visits import PATIENCE_MS, write_models

MB = 1_000_000


def run_queue(page: Page, scans: list[Path], listed: int, timeout_ms: int = PATIENCE_MS) -> None:
    """Opens the scans beside those that are listed, and segments those that have no result."""
    page.get_by_test_id("file").set_input_files(scans)
    rows = page.get_by_test_id("studies").locator("tbody tr")
    expect(rows).to_have_count(listed + len(scans), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ready", timeout=PATIENCE_MS)
    page.get_by_test_id("run-all").click()
    expect(page.locator("#queue-text")).to_have_text(
        f"Queue finished: {len(scans)} of {len(scans)} done.", timeout=timeout_ms
    )
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)


def copies(folder: Path, first: int, count: int, shape: tuple[int, int, int]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    original = write_scan(folder / f"scan-{first:02}.nii.gz", head(shape))
    others = [folder / f"scan-{n:02}.nii.gz" for n in range(first + 1, first + count)]
    for path in others:
        path.write_bytes(original.read_bytes())
    return [original, *others]


@pytest.mark.alone
def test_further_scans_of_a_queue_add_no_decoded_scan_to_the_memory(
    open_page: OpenPage, tissue_url: str, tmp_path: Path
) -> None:
    shape = (120, 110, 100)
    page = open_page("/", flags=NO_GPU, url=tissue_url)
    wait_until_listed(page, "tissue")
    run_queue(page, copies(tmp_path, 1, 2, shape), 0)
    before = held_bytes(page)

    run_queue(page, copies(tmp_path, 3, 4, shape), 2)

    decoded = 2 * int(np.prod(shape))  # int16
    assert (held_bytes(page) - before) / 4 < decoded / 10


@pytest.mark.long
@pytest.mark.alone
def test_forty_scans_of_256_voxels_need_the_memory_of_five(open_page: OpenPage, served: Served, tmp_path: Path) -> None:
    """At full size on the CPU: a quarter of an hour on two busy cores."""
    models = write_models(tmp_path / "models", "small", grid=InputSpec())
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    wait_until_listed(page, "small")
    run_queue(page, copies(tmp_path / "scans", 1, 5, (256, 256, 256)), 0, timeout_ms=600_000)
    held, resident = held_bytes(page), resident_bytes(page)

    run_queue(page, copies(tmp_path / "scans", 6, 35, (256, 256, 256)), 5, timeout_ms=3_600_000)

    growth = (held_bytes(page) - held) / 35
    print(f"held after 5 scans {held / MB:.0f} MB, then {growth / MB:.2f} MB a scan")
    print(f"resident {resident / MB:.0f} MB after 5 scans, {resident_bytes(page) / MB:.0f} MB after 40")
    assert growth < MB  # the compressed labels; a decoded scan has 34 MB
    assert resident_bytes(page) - resident < 500 * MB
