"""axe finds no violation in any state of the page, in light and in dark, on a desktop and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from meshnet.scan.nifti import read_scan
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.site import drop, head, segment, status, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.paths import REPO

AXE = REPO / "static" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue")
    return folder


def assert_accessible(page: Page, state: str) -> None:
    """`state` names what the page shows, for the message."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate(
            """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
              .map(({id, help, nodes}) => [id, help, ...nodes.map((n) => n.html.slice(0, 90))].join('; '))"""
        )
        assert found == [], f"{state}, {scheme}"


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_from_the_first_visit_to_the_comparison(
    open_page: OpenPage, url: str, tmp_path: Path, width: int
) -> None:
    page = open_page("/", flags=WEBGL2, url=url)
    page.set_viewport_size({"width": width, "height": 780})
    wait_until_listed(page, "tissue")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert_accessible(page, "empty")

    scan = write_scan(tmp_path / "sub-01.nii.gz")
    drop(page, scan)
    wait_for(page, "ready")
    assert_accessible(page, "a scan is open")

    segment(page, "tissue")
    page.get_by_test_id("backend").get_by_text("Details").click()
    page.get_by_text("Diagnostics", exact=True).click()
    assert_accessible(page, "a result")

    mask = tmp_path / "mask.nii.gz"
    affine = read_scan(scan).affine_vox2ras
    nib.save(nib.Nifti1Image((head() > 500).astype(np.uint8), affine), mask)
    page.get_by_test_id("reference").set_input_files(mask)
    expect(page.get_by_test_id("comparison")).to_be_visible()
    assert_accessible(page, "a comparison")

    drop(page, write_scan(tmp_path / "sub-02.nii.gz"), write_scan(tmp_path / "sub-03.nii.gz", head((33, 39, 31))))
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished")
    page.get_by_test_id("show-summary").click()
    assert_accessible(page, "the table of all scans")
    page.get_by_role("button", name="Close").click()

    four = tmp_path / "four.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([head()] * 3, axis=-1), affine), four)
    drop(page, four)
    expect(page.get_by_test_id("frame")).to_be_visible()
    assert_accessible(page, "the question for a frame")

    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"no scan")
    drop(page, broken)
    expect(status(page)).to_contain_text("broken.nii: not a NIfTI")
    assert_accessible(page, "a refused file")
