"""A real scan becomes a valid BIDS derivative, with the labels that every other way in Python gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

import meshnet
from meshnet.bids.cli import main
from meshnet.infer.predict import main as predict_main
from tests.helpers.bids_validator import errors_of
from tests.helpers.bright_model import write_bright_model


def test_a_real_scan_becomes_a_valid_derivative_with_equal_labels(shared_data: Path, tmp_path: Path) -> None:
    """A stroke in a T2w scan of 1 mm."""
    root, out = tmp_path / "bids", tmp_path / "bids" / "derivatives" / "meshnet"
    scan = root / "sub-M2265" / "anat" / "sub-M2265_T2w.nii.gz"
    scan.parent.mkdir(parents=True)
    shutil.copyfile(shared_data / "scans" / "M2265_T2w.nii.gz", scan)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "real scans", "BIDSVersion": "1.10.0"}))
    assert main([str(root), str(out), "participant"]) == 0
    assert main([str(root), str(out), "group"]) == 0
    assert errors_of(out) == []
    labels = out / "sub-M2265" / "anat" / "sub-M2265_dseg.nii.gz"
    assert predict_main([str(scan), "-o", str(tmp_path / "p.nii.gz"), "--all-labels", "-q"]) == 0
    result = meshnet.segment(scan)
    assert labels.read_bytes() == (tmp_path / "p.nii.gz").read_bytes()
    assert labels.read_bytes() == result.save(tmp_path / "s.nii.gz").read_bytes()
    assert result.volumes_ml["lesion"] > 25
    assert result.lesions[0].centre_ras_mm[0] < 0, "the stroke is in the left hemisphere"


def test_real_scans_of_people_and_sessions_become_a_valid_derivative(shared_data: Path, tmp_path: Path) -> None:
    """Slices of 3 to 4 mm of two people in two sessions each, and an oblique grid. The model is a quick one."""
    root, out = tmp_path / "bids", tmp_path / "bids" / "derivatives" / "meshnet"
    scans = {"sub-M2265/anat/sub-M2265_T2w": "M2265_T2w_regridded"}
    for person in ("01", "03"):
        for study in ("1", "2"):
            name = f"sub-{person}/ses-{study}/anat/sub-{person}_ses-{study}_T2w"
            scans[name] = f"oms/patient{person}_study{study}_T2W"
    for name, source in scans.items():
        (root / name).parent.mkdir(parents=True)
        shutil.copyfile(shared_data / "scans" / f"{source}.nii.gz", root / f"{name}.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "real scans", "BIDSVersion": "1.10.0"}))
    model = write_bright_model(tmp_path / "bright", threshold=0.6)
    assert main([str(root), str(out), "participant", "--model", str(model)]) == 0
    assert main([str(root), str(out), "group"]) == 0
    assert errors_of(out) == []
    masks = sorted(path.relative_to(out).as_posix() for path in out.glob("sub-*/**/*_mask.nii.gz"))
    assert masks == sorted(f"{name.removesuffix('_T2w')}_label-lesion_mask.nii.gz" for name in scans)
    for name in scans:
        scan, mask = (
            nib.load(path) for path in (root / f"{name}.nii.gz", out / f"{name[:-4]}_label-lesion_mask.nii.gz")
        )
        assert mask.shape == scan.shape
        assert np.array_equal(mask.affine, scan.affine)
    rows = (out / "group_volumes.tsv").read_text().splitlines()
    assert len(rows) == 1 + len(scans)
