"""A real scan becomes a valid BIDS derivative, with the labels that every other way in Python gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import meshnet
from meshnet.bids.cli import main
from meshnet.infer.predict import main as predict_main
from tests.helpers.bids_validator import errors_of


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
