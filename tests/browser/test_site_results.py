"""Uses of a result: separate parts, a table, files and their places; looking at it with keys."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from scipy import ndimage

from meshnet.infer import predict
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, OpenPage
from tests.helpers.browser.site import drop, save, segment, status, wait_for, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS

#: Voxel and radius (voxels) of what the model marks.
LARGE, SMALL = ((12, 14, 20), 8), ((29, 25, 18), 5)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "mask", classes=2)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Two bright balls, oblique and anisotropic."""
    place = np.indices((40, 40, 40))
    balls = [sum((place[a] - at[a]) ** 2 for a in range(3)) < radius**2 for at, radius in (LARGE, SMALL)]
    return write_scan(tmp_path / "scan.nii.gz", np.where(balls[0] | balls[1], 900, 20 + place[0]).astype(np.int16))


def test_the_separate_parts_of_a_mask_are_measured_and_shown_where_they_are(
    open_page: OpenPage, url: str, scan: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "mask")

    saved = nib.load(save(page, "native", tmp_path))
    parts, count = ndimage.label(np.asanyarray(saved.dataobj))
    assert count == 2
    expect(page.locator("#parts-text")).to_have_text("In 2 separate pieces:")
    voxel_ml = abs(np.linalg.det(saved.affine[:3, :3])) / 1000
    sizes = sorted(np.bincount(parts.ravel())[1:], reverse=True)
    buttons = page.get_by_test_id("parts").get_by_role("button")
    for n, ((centre, _), size) in enumerate(zip((LARGE, SMALL), sizes, strict=True)):
        text = buttons.nth(n).inner_text()
        assert float(text.split(" mL")[0].replace(",", "")) == pytest.approx(size * voxel_ml, rel=0.06)
        position_mm = [int(number) for number in re.findall(r"[xyz] (-?\d+)", text)]
        np.testing.assert_allclose(position_mm, nib.affines.apply_affine(saved.affine, centre), atol=6)
        buttons.nth(n).click()
        expect(page.locator("#readout")).to_contain_text("class 1")
        shown = re.search(r"voxel (\d+), (\d+), (\d+)", page.locator("#readout").inner_text())
        assert shown is not None
        np.testing.assert_allclose([int(number) for number in shown.groups()], centre, atol=2)


def test_the_saved_table_is_that_of_meshnet_predict(
    open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "mask")
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-table").click()

    assert download.value.suggested_filename == "scan_mask_volumes.csv"
    assert predict.main([str(models / "mask"), str(scan), "-o", str(tmp_path), "--csv", str(tmp_path / "t.csv")]) == 0
    ours, theirs = (
        [[Path(cell).name for cell in row] for row in csv.reader(path.read_text().splitlines())]
        for path in (Path(download.value.path()), tmp_path / "t.csv")
    )
    assert ours == theirs


def test_the_page_says_where_a_file_was_saved(open_page: OpenPage, url: str, scan: Path, tmp_path: Path) -> None:
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "mask")
    for space, grid in {"native": "on the scan’s own grid", "conformed": "on the 1 mm grid the model saw"}.items():
        name = save(page, space, tmp_path).name
        expect(status(page)).to_have_text(f"Saved among this browser’s downloads: {name} ({grid}).")
        assert status(page).get_attribute("data-state") == "done"


def voxel(page: Page) -> tuple[int, ...]:
    place = re.search(r"voxel (-?\d+), (-?\d+), (-?\d+)", page.locator("#readout").inner_text())
    assert place is not None
    return tuple(int(number) for number in place.groups())


def test_keys_move_the_crosshair_the_way_they_point_and_nothing_else(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    nib.save(nib.Nifti1Image(np.indices((20, 20, 20)).sum(0).astype(np.int16), np.eye(4)), tmp_path / "ras.nii")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, tmp_path / "ras.nii")
    wait_for(page, "ready")
    expect(page.locator("#readout")).to_contain_text("voxel 10, 10, 10", timeout=PATIENCE_MS)

    def pressed(view: str, *keys: str) -> tuple[int, ...]:
        page.get_by_role("button", name=view, exact=True).click()
        before = voxel(page)
        page.locator("#canvas").focus()
        for key in keys:
            page.keyboard.press(key)
        moved = tuple(b - a for a, b in zip(before, voxel(page), strict=True))
        for key in keys:
            page.keyboard.press({"Right": "ArrowLeft", "Up": "ArrowDown"}.get(key[5:], "PageDown"))
        assert voxel(page) == before
        return moved

    assert pressed("Axial", "ArrowRight", "ArrowRight", "ArrowUp") == (2, 1, 0)
    assert pressed("Axial", "PageUp") == (0, 0, 1)
    assert pressed("Coronal", "ArrowRight", "ArrowUp") == (1, 0, 1)
    assert pressed("Sagittal", "ArrowRight", "ArrowUp") == (0, 1, 1)
    page.locator("#radiological").check()
    assert pressed("Axial", "ArrowRight") == (-1, 0, 0)
    before, shown = voxel(page), page.locator("#canvas").screenshot()
    for key in "vchjklum":
        page.keyboard.press(key)
    assert voxel(page) == before
    assert page.locator("#canvas").screenshot() == shown
    page.locator("#radiological").uncheck()
    assert page.locator("#canvas").screenshot() != shown
