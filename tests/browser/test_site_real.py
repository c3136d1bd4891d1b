"""The main job on real data: published models on real scans, as `meshnet-predict` has them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from export.published import import_published
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.screenshot import MODEL, picture_of, segment_m2265
from tests.helpers.browser.serving import serve
from tests.helpers.browser.site import assert_same_labels, at_size, counts, drop, predicted, save, segment, wait_for
from tests.helpers.browser.visits import PATIENCE_MS


@pytest.fixture(scope="module")
def models(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    import_published(shared_data / "models", folder)
    return folder


def test_the_lesion_of_m2265_is_found_shown_and_saved(
    open_page: OpenPage, url: str, shared_data: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    segment_m2265(page, shared_data)

    assert counts(page) == {1: pytest.approx(34917, abs=3)}
    expect(page.get_by_test_id("volumes")).to_contain_text("34.9 mL")
    expected = shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz"
    saved = nib.load(save(page, "native", tmp_path))
    labels, wanted = np.asanyarray(saved.dataobj), np.asanyarray(nib.load(expected).dataobj)
    np.testing.assert_allclose(saved.affine, nib.load(expected).affine)
    assert (labels == wanted).mean() >= 0.9999
    assert 2 * (labels & wanted).sum() / (labels.sum() + wanted.sum()) >= 0.999

    picture = picture_of(page)
    assert picture.size == (1280, 800)
    # The lesion's colour lies over the picture, in the slices and in the 3-D view.
    canvas = np.asarray(picture).astype(int)[125:760, 375:]
    red = (canvas[..., 0] > canvas[..., 1] + 60) & (canvas[..., 0] > canvas[..., 2] + 60)
    assert red.sum() > 1000


def test_an_unconformed_scan_gives_the_mask_of_meshnet_predict_on_its_own_grid(
    open_page: OpenPage, url: str, models: Path, shared_data: Path, tmp_path: Path
) -> None:
    scan = shared_data / "scans" / "M2265_T2w_regridded.nii.gz"
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    expect(page.get_by_test_id("model")).to_have_value(MODEL, timeout=PATIENCE_MS)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page)

    saved = save(page, "native", tmp_path)
    labels = assert_same_labels(saved, predicted(models / MODEL, scan, tmp_path))
    assert labels.shape == (221, 251, 171)
    wanted = np.asanyarray(
        nib.load(shared_data / "expected" / "M2265_T2w_regridded__brainchop_t2_lesion_native.nii.gz").dataobj
    )
    assert 2 * (labels & wanted).sum() / (labels.sum() + wanted.sum()) >= 0.999
    expect(page.get_by_test_id("volumes")).to_contain_text("42.7 mL")


@pytest.mark.parametrize("case", [(MODEL, "M2265_T2w", 96), ("brainchop-mindgrab", "t1_crop", 48)])
def test_webgpu_gives_the_labels_of_meshnet_predict_on_the_middle_of_a_scan(
    open_page: OpenPage, models: Path, shared_data: Path, tmp_path: Path, case: tuple[str, str, int]
) -> None:
    model, scan, size = case
    cropped = at_size(models / model, tmp_path / "models", size)
    path = shared_data / "scans" / f"{scan}.nii.gz"
    with serve("--models", str(tmp_path / "models")) as address:
        page = open_page("/?backend=webgpu", flags=WEBGPU, url=address)
        expect(page.get_by_test_id("model")).to_have_value(model, timeout=PATIENCE_MS)
        drop(page, path)
        wait_for(page, "ready")
        segment(page)

        assert page.get_by_test_id("backend").get_attribute("data-backend") == "webgpu"
        labels = assert_same_labels(save(page, "native", tmp_path), predicted(cropped, path, tmp_path))
        assert labels.any()
