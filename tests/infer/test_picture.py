"""`meshnet-picture`: the slice with most of what a model finds, the right way up, with the labels in their colours."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from meshnet.infer import picture
from meshnet.model.spec import Label
from tests.helpers.browser.site import write_model, write_scan
from tests.helpers.specs import a_spec


def test_a_block_lies_on_the_patients_side_at_the_front_in_the_labels_colour() -> None:
    """A left anterior block in an LPS volume of anisotropic voxels."""
    spec = a_spec()
    labels = (spec.labels[0], Label(index=1, name="lesion", color=(255, 0, 0)))
    spec = spec.model_copy(update={"labels": labels, "task": "lesion"})
    scan, mask = np.full((20, 30, 6), 100, np.int16), np.zeros((20, 30, 6), np.uint8)
    mask[12:20, 0:10, 2] = 1  # LPS: larger i is to the left, smaller j to the front
    mask[0:2, 20:22, 4] = 1
    affine = np.diag([-4.0, -3.0, 7.0, 1.0])

    made = picture.picture_of(spec, nib.Nifti1Image(scan, affine), nib.Nifti1Image(mask, affine))

    image = Image.open(io.BytesIO(made)).convert("RGB")
    assert image.size == picture.SIZE
    pixels = np.asarray(image).astype(int)
    is_red = (pixels[..., 0] - pixels[..., 1]) > 60
    rows, columns = np.nonzero(is_red)
    assert columns.max() < picture.SIZE[0] / 2
    assert rows.max() < picture.SIZE[1] / 2
    is_head = pixels.sum(-1) > 0
    width, height = np.ptp(np.nonzero(is_head)[1]) + 1, np.ptp(np.nonzero(is_head)[0]) + 1
    assert width / height == pytest.approx(20 * 4 / (30 * 3), rel=0.03)


def test_the_command_writes_the_picture_into_the_model_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path, "tissue")
    scan = write_scan(tmp_path / "scan.nii.gz")

    assert picture.main([str(model), str(scan)]) == 0

    with Image.open(model / "picture.png") as made:
        assert made.size == picture.SIZE
    assert "picture.png" in capsys.readouterr().out
    assert picture.main([str(model), str(tmp_path / "nothing.nii")]) == 1
    assert "nothing.nii" in capsys.readouterr().err
    mistakes = {
        tmp_path: "is a folder; expected the name of a .png file",
        tmp_path / "no" / "p.png": "there is no folder",
    }
    for target, said in mistakes.items():
        assert picture.main([str(model), str(scan), "-o", str(target)]) == 1
        assert said in capsys.readouterr().err
