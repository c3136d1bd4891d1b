"""A result beside a mask and beside another result: the numbers of `meshnet-compare`, three colours in the picture."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from meshnet.scan.scan_grid import resample_labels
from meshnet.score.compare import COLUMNS, compare
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, save, segment, wait_for, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.scan_files import affine_of
from tests.helpers.scan_files import write_scan as write_nifti

#: The rows of the page's table, as `meshnet-compare` names them.
ROWS = ("dice_lesion", "precision", "recall", "hd95_mm", "msd_mm", "result_ml", "reference_ml", "lesions_found",
        "lesions_missed", "lesions_false")  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "mask", classes=2)
    write_model(folder, "three", classes=3)
    return folder


def numbers(page: Page) -> list[float]:
    expect(page.get_by_test_id("comparison")).to_be_visible(timeout=PATIENCE_MS)
    cells = page.get_by_test_id("comparison-table").locator("td").all_inner_texts()
    return [float(cell.split(" ")[0].replace(",", "")) for cell in cells]


def assert_same_scan(one: bytes, other: bytes) -> None:
    """Two pictures show the scan, the grey in both, equally bright."""
    a, b = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int) for png in (one, other))
    scan = (np.ptp(a, axis=-1) == 0) & (np.ptp(b, axis=-1) == 0) & (b[..., 0] > 20)
    assert scan.sum() > 1000
    assert (a[scan] == b[scan]).mean() > 0.98


def expected(result: Path, reference: Path) -> list[float]:
    values = compare(result, reference)
    return [round(values[name], COLUMNS[name][1]) for name in ROWS]


def test_a_mask_on_another_grid_is_compared_on_the_scans_own(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    grid = affine_of(axes="RAS", voxel_size_mm=(3.1, 3.0, 3.3), origin_mm=(-92.0, -80.0, -75.0))
    middle_mm = nib.affines.apply_affine(nib.load(scan).affine, (20, 18, 14))
    place_mm = nib.affines.apply_affine(grid, np.moveaxis(np.indices((70, 62, 58)), 0, -1))
    ball = (np.linalg.norm(place_mm - middle_mm, axis=-1) < 40).astype(np.uint8)
    reference = write_nifti(tmp_path / "scan_lesion_mask.nii.gz", ball, grid)
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "mask")
    before = page.locator("canvas").screenshot()
    page.get_by_test_id("reference").set_input_files(reference)
    chosen = numbers(page)
    wait_for(page, "done")
    during = page.locator("canvas").screenshot()
    assert during != before
    assert_same_scan(during, before)
    boxes = [box.bounding_box() for box in page.locator("#comparison-colours .swatch").all()]
    assert [box and (box["width"], box["height"]) for box in boxes] == [(14, 14)] * 3
    page.get_by_test_id("end-comparison").click()
    expect(page.get_by_test_id("comparison")).to_be_hidden(timeout=PATIENCE_MS)
    wait_for(page, "done")
    assert page.locator("canvas").screenshot() == before
    drop(page, reference)
    assert numbers(page) == chosen
    wait_for(page, "done")
    saved = save(page, "native", tmp_path)

    image = nib.load(saved)
    resampled = resample_labels(ball, grid, image.affine, image.shape)
    assert resampled.sum() > 0
    on_grid = write_nifti(tmp_path / "resampled_mask.nii.gz", resampled, image.affine)
    assert chosen == pytest.approx(expected(saved, on_grid), abs=0.0051)
    assert 0 < chosen[0] < 1


def test_two_results_are_compared_and_a_scan_is_refused_as_a_mask(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "three")
    three = save(page, "native", tmp_path)
    segment(page, "mask")
    page.get_by_label("Compare with another result").select_option(label="three")
    found = numbers(page)
    wait_for(page, "done")
    mask = save(page, "native", tmp_path)
    page.get_by_test_id("reference").set_input_files(scan)
    assert "has the values of a scan, not of labels" in wait_for(page, "error")

    assert found == pytest.approx(expected(mask, three), abs=0.0051)
    assert found[0] > 0
