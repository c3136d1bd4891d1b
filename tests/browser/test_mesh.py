"""A label saved as a mesh, read back as any other program reads it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, save, segment, wait_for, write_model, write_scan
from tests.helpers.stl import assert_watertight, read_stl, volume_and_centre


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "three", classes=3)
    return folder


def save_mesh(page: Page, folder: Path, *, label: str, quality: str, form: str) -> Path:
    page.get_by_test_id("mesh-label").select_option(label)
    page.get_by_test_id("mesh-quality").select_option(quality)
    page.get_by_test_id("mesh-format").select_option(form)
    return save(page, "mesh", folder)


def test_a_mesh_of_an_oblique_anisotropic_scan_is_watertight_and_lies_on_its_label(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "three")
    volumes = {
        int(row.get_attribute("data-label") or -1): float(row.get_attribute("data-ml") or "nan")
        for row in page.get_by_test_id("volumes").locator("tbody tr[data-label]").all()
    }
    labels = nib.load(save(page, "native", tmp_path))
    meshes = {label: save_mesh(page, tmp_path, label=str(label), quality="fine", form="stl") for label in volumes}
    coarse = save_mesh(page, tmp_path, label="shown", quality="coarse", form="obj")
    assert "scanner coordinates in mm" in wait_for(page, "done")

    data = np.asanyarray(labels.dataobj)
    for label, path in meshes.items():
        corners = read_stl(path)
        assert_watertight(corners)
        volume_mm3, centre_mm = volume_and_centre(corners)
        assert volume_mm3 / 1000 == pytest.approx(volumes[label], rel=0.02)
        of_label = nib.affines.apply_affine(labels.affine, np.argwhere(data == label))
        assert np.linalg.norm(centre_mm - of_label.mean(0)) < 0.5
    assert coarse.name == "scan_three_label-shown_coarse.obj"
    assert coarse.read_text().count("\nf ") > 100
    assert len(meshes) == 2
