"""A model that labels a lesion and the tissue around it, and a model of one brain, on the page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from meshnet.infer import predict
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.site import assert_same_labels, counts, drop, save, segment, wait_for
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.joint_model import (
    EYE,
    LESION,
    NECK,
    STROKE,
    brain_with_lesions,
    save_joint_model,
    save_one_brain_model,
    write_joint_scan,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_joint_model(folder / "joint")
    save_one_brain_model(folder / "one-brain")
    return folder


def test_the_lesion_is_shown_and_saved_and_the_tissue_is_a_layer_that_is_off(
    open_page: OpenPage, url: str, models: Path, tmp_path: Path
) -> None:
    both = write_joint_scan(tmp_path / "scan.nii.gz", STROKE, EYE)
    wanted = brain_with_lesions(both.shape, STROKE)
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, tmp_path / "scan.nii.gz")
    wait_for(page, "ready")
    segment(page, "joint")

    # Numbers: those of the labels, the brain and the lesion's share of it; the lesion in the eye is dropped and noted.
    in_brain = np.bincount(wanted.ravel())
    assert counts(page) == {index: int(in_brain[index]) for index in range(1, 5)}
    brain = page.get_by_test_id("brain")
    percent = 100 * in_brain[LESION] / in_brain[1:].sum()
    expect(brain).to_contain_text(f"the lesion is {percent:.2f} % of it")
    expect(page.get_by_test_id("notes")).to_contain_text("mL of lesion lay mostly outside the brain")
    expect(page.locator("#parts-text")).to_have_text("In one piece.")

    # The tissue is off until its box is ticked.
    rows = page.get_by_test_id("volumes").locator("tbody tr")
    assert [row.get_attribute("data-label") for row in rows.all()] == ["4", "1", "2", "3"]
    boxes = [rows.nth(n).get_by_role("checkbox") for n in range(4)]
    assert [box.is_checked() for box in boxes] == [True, False, False, False]
    without = page.locator("#canvas").screenshot()
    boxes[3].check()
    expect(boxes[3]).to_be_focused()
    assert page.locator("#canvas").screenshot() != without
    boxes[3].uncheck()

    # The file has the lesion alone, as meshnet-predict's; all labels and lesions outside the brain on request.
    saved = save(page, "native", tmp_path)
    assert saved.name == "scan_joint.nii.gz"
    assert predict.main([str(models / "joint"), str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "cli")]) == 0
    labels = assert_same_labels(saved, tmp_path / "cli" / "scan_joint.nii.gz", agreement=1)
    assert set(np.unique(labels)) == {0, LESION}
    page.get_by_label("Save the tissue too").check()
    page.get_by_label("Keep pieces outside the brain").check()
    expect(page.get_by_test_id("notes")).to_be_hidden(timeout=PATIENCE_MS)
    everything = np.asarray(nib.load(save(page, "native", tmp_path)).dataobj)
    assert np.bincount(everything.ravel()).tolist() == np.bincount(both.ravel()).tolist()


def test_the_saved_table_is_that_of_meshnet_predict(
    open_page: OpenPage, url: str, models: Path, tmp_path: Path
) -> None:
    write_joint_scan(tmp_path / "scan.nii.gz", STROKE, EYE)
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, tmp_path / "scan.nii.gz")
    wait_for(page, "ready")
    segment(page, "joint")
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-table").click()
    out = ["-o", str(tmp_path), "--csv", str(tmp_path / "t.csv")]
    assert predict.main([str(models / "joint"), str(tmp_path / "scan.nii.gz"), *out]) == 0
    ours, theirs = (
        [[Path(cell).name for cell in row] for row in csv.reader(path.read_text().splitlines())]
        for path in (Path(download.value.path()), tmp_path / "t.csv")
    )
    assert ours == theirs
    assert re.fullmatch(r"\d+\.\d{4}", ours[5][-1])


def test_of_a_model_of_one_brain_the_largest_piece_is_kept_and_the_others_come_back_on_request(
    open_page: OpenPage, url: str, models: Path, tmp_path: Path
) -> None:
    both = write_joint_scan(tmp_path / "scan.nii.gz", NECK)
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, tmp_path / "scan.nii.gz")
    wait_for(page, "ready")
    segment(page, "one-brain")
    expect(page.get_by_test_id("notes")).to_contain_text("mL in pieces apart from the largest one were dropped")
    expect(page.get_by_label("Save the tissue too")).to_be_hidden()

    saved = save(page, "native", tmp_path)
    assert predict.main([str(models / "one-brain"), str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "cli")]) == 0
    labels = assert_same_labels(saved, tmp_path / "cli" / "scan_one-brain.nii.gz", agreement=1)
    assert 0 < np.count_nonzero(labels) <= np.count_nonzero(both) - np.count_nonzero(both == LESION)

    page.get_by_label("Keep pieces outside the brain").check()
    expect(page.get_by_test_id("notes")).to_be_hidden(timeout=PATIENCE_MS)
    everything = np.asarray(nib.load(save(page, "native", tmp_path)).dataobj)
    assert np.bincount(everything.ravel()).tolist() == np.bincount(both.ravel()).tolist()
