"""The page's threshold, mirror image and probability map, as `meshnet-predict` has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from meshnet.infer import predict
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.refine import coarsened_weights
from meshnet.model.spec import make_labels
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import counts, drop, save, segment, wait_for, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.paths import REPO


@dataclass(frozen=True)
class Case:
    """A model with a lesion label, and a scan."""

    model: str
    lesion: int
    scan: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A joint model, the shipped lesion model and a model whose labels have sides, each on a coarse grid."""
    folder = tmp_path_factory.mktemp("models")
    for model_id, names in (
        ("joint", ("background", "tissue", "lesion")),
        ("sides", ("background", "Left-Thalamus", "Right-Thalamus")),
    ):
        spec, weights = load_checkpoint(write_model(folder, model_id, classes=3))
        labels = make_labels(names, ["lesion" if name == "lesion" else None for name in names])
        save_checkpoint(folder / model_id, spec.model_copy(update={"labels": labels}), weights)
    spec, weights = load_checkpoint(REPO / "models" / "t2-lesion")
    # On voxels of 2 mm it is the network that `meshnet-refine` started from.
    fine = spec.architecture
    architecture = fine.model_copy(update={"dilations": tuple(d // 2 for d in fine.dilations[1:])})
    weights = coarsened_weights(fine, weights, architecture)
    coarse = spec.input.model_copy(update={"size": (128, 128, 128), "voxel_size_mm": 2.0})
    # Without context labels no rule about the brain comes between the map and the mask.
    labels = make_labels([x.name for x in spec.labels], [x.role if x.role == "lesion" else None for x in spec.labels])
    changes = {"architecture": architecture, "input": coarse, "labels": labels}
    save_checkpoint(folder / "t2-lesion", spec.model_copy(update=changes), weights)
    return folder


@pytest.fixture(params=["joint", "t2-lesion"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """An oblique, anisotropic scan, and the sample."""
    if request.param == "joint":
        return Case("joint", 2, write_scan(tmp_path / "scan.nii.gz"))
    return Case("t2-lesion", 4, REPO / "static" / "public" / "sample" / "sample_T2w.nii.gz")


def segment_with(page: Page, scan: Path, model: str, *, mirror: bool) -> None:
    drop(page, scan)
    wait_for(page, "ready")
    page.get_by_label("Average with the mirror image").set_checked(mirror)
    segment(page, model)


def set_threshold(page: Page, value: str) -> None:
    page.locator("#threshold").fill(value)
    expect(page.locator("#threshold-text")).to_contain_text(value)
    wait_for(page, "done")


def assert_near_labels(saved: Path, wanted: Path) -> None:
    """Under one header; the same labels on 99.99 % of the voxels and in all of them."""
    ours, theirs = nib.load(saved), nib.load(wanted)
    assert ours.header.binaryblock == theirs.header.binaryblock
    labels, expected = np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj)
    assert (labels == expected).mean() >= 0.9999
    assert set(np.unique(labels)) == set(np.unique(expected))


def test_threshold_mirror_image_and_map_are_those_of_meshnet_predict(
    open_page: OpenPage, served: Served, models: Path, case: Case, tmp_path: Path
) -> None:
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    segment_with(page, case.scan, case.model, mirror=True)
    expect(page.locator("#threshold-text")).to_have_text("none: the most probable label")
    plain = save(page, "native", tmp_path)
    before = counts(page)
    set_threshold(page, "0.30")
    found = counts(page)
    thresholded, probability = save(page, "native", tmp_path), save(page, "probability", tmp_path)
    page.get_by_test_id("no-threshold").click()
    wait_for(page, "done")
    expect(page.locator("#threshold-text")).to_have_text("none: the most probable label")
    assert counts(page) == before

    command = [str(models / case.model), str(case.scan), "-o", str(tmp_path / "out"), "-q", "--flip"]
    assert predict.main(command) == 0
    assert predict.main([*command, "--threshold", "0.3", "--probability"]) == 0
    for saved in (plain, thresholded):
        assert_near_labels(saved, tmp_path / "out" / saved.name)
    ours, theirs = nib.load(probability), nib.load(tmp_path / "out" / probability.name)
    assert ours.header.binaryblock == theirs.header.binaryblock
    p, wanted = (np.asarray(image.dataobj.get_unscaled()).astype(int) for image in (ours, theirs))
    assert np.abs(p - wanted).max() <= 1
    assert (p > 0).sum() > 0
    # The map, thresholded, is the mask, and the table counts it.
    labels = np.asanyarray(nib.load(thresholded).dataobj)
    np.testing.assert_array_equal(labels == case.lesion, p >= np.ceil(255 * 0.3))
    assert found[case.lesion] == (labels == case.lesion).sum() > before[case.lesion]


def test_the_probability_lies_over_the_picture_only_while_it_is_asked_for(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    segment_with(page, write_scan(tmp_path / "scan.nii.gz"), "joint", mirror=False)
    without = page.locator("canvas").screenshot()
    page.get_by_label("Show the probability of lesion").check()
    wait_for(page, "done")
    assert page.locator("canvas").screenshot() != without
    set_threshold(page, "0.90")
    page.get_by_test_id("no-threshold").click()
    wait_for(page, "done")
    page.get_by_label("Show the probability of lesion").uncheck()
    wait_for(page, "done")
    assert page.locator("canvas").screenshot() == without


def test_labels_with_sides_are_not_averaged_and_have_no_threshold(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, write_scan(tmp_path / "scan.nii.gz"))
    wait_for(page, "ready")
    page.get_by_label("Average with the mirror image").check()
    page.get_by_test_id("model").select_option("sides")
    page.get_by_test_id("run").click()
    assert "have sides (Left-Thalamus)" in wait_for(page, "error")
    page.get_by_label("Average with the mirror image").uncheck()
    segment(page)
    expect(page.get_by_test_id("confidence")).to_be_hidden()


def test_a_kiosk_may_do_without(open_page: OpenPage, served: Served, models: Path, tmp_path: Path) -> None:
    url = served("--models", str(models), "--kiosk", "--confidence", "off")
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, write_scan(tmp_path / "scan.nii.gz"))
    wait_for(page, "ready")
    expect(page.locator("#mirror")).to_be_hidden()
    segment(page, "joint")
    expect(page.get_by_test_id("confidence")).to_be_hidden()
    assert page.get_by_test_id("confidence").get_attribute("hidden") is not None  # nothing was kept
    expect(page.get_by_test_id("volumes")).to_be_visible(timeout=PATIENCE_MS)
