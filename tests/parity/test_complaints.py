"""Every row of ../shared/cases/README.md has its right answer in Python and in the page's TypeScript.

The browser tests of the DICOM rows and of dropped masks are in tests/browser/test_site_notes.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.import_model import Answers, import_model
from meshnet.infer.sources import expand, find_sources
from meshnet.model.graph import build_graph
from meshnet.model.spec import MinMax, make_labels
from meshnet.scan.conform import conform
from meshnet.scan.dicom import convert_dicom
from meshnet.scan.label_files import names_labels
from meshnet.scan.nifti import ScanError, read_scan
from meshnet.scan.scan_grid import volume_ml
from meshnet.scan.scan_paths import stem_of
from meshnet.score.compare import compare, main
from tests.helpers.complaints import READ
from tests.helpers.parity.prepared import Site

GRID: dict[str, Any] = {"size": 64, "voxelSizeMm": 4.0}

REFUSED = {
    "pixdim_zero_no_forms.nii.gz": "its header has no voxel size (pixdim 0, 0, 0) and no affine",
    "gzip_twice.nii.gz": "is compressed twice; unpack it once (gunzip)",
    "annex_pointer.nii.gz": "is a pointer of git-annex / Git LFS, not the scan",
}

#: DICOM folders -> the converted series.
SERIES = {
    "dicom_missing_slices": ["3_T1_head_Eq_1"],
    "dicom_no_preamble": ["3_T1_head"],
    "dicom_named_img": ["3_T1_head"],
    "dicom_two_visits": ["3_T1_head_20200101", "3_T1_head_20210606"],
}

OTHERS = {"masks_beside_scans", "compare", "tfjs_keras3_functional"}


def bright_ml(grey: Any, affine_vox2ras: Any) -> float:
    """Volume of what a model that marks bright voxels would label."""
    return volume_ml(int(np.count_nonzero(np.asarray(grey) > 100)), np.reshape(affine_vox2ras, (4, 4)))


def test_every_row_is_in_a_test(shared_cases: Path) -> None:
    rows = re.findall(r"^\| (`.+?) \|", (shared_cases / "README.md").read_text(), flags=re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {*READ, *REFUSED, *SERIES, *OTHERS}


@pytest.mark.parametrize("name", READ)
def test_both_read_it_with_the_same_notes_and_the_reference_s_result(
    name: str, shared_cases: Path, site: Site, tmp_path: Path
) -> None:
    scan = read_scan(shared_cases / name)
    conformed = conform(scan, size=GRID["size"], voxel_size_mm=GRID["voxelSizeMm"])
    reference = conform(
        read_scan(shared_cases / "reference.nii.gz"), size=GRID["size"], voxel_size_mm=GRID["voxelSizeMm"]
    )
    (result,) = site([{"files": [str(shared_cases / name)], "out": str(tmp_path), "grid": GRID}])
    notes = [{"code": note.code, "text": note.text} for note in (*scan.notes, *conformed.notes)]
    assert [note["code"] for note in notes] == READ[name]
    assert result["notes"] == notes
    expected = bright_ml(reference.data, reference.affine_vox2ras)
    assert expected > 500
    assert bright_ml(conformed.data, conformed.affine_vox2ras) == pytest.approx(expected, rel=0.02)
    grey = np.fromfile(tmp_path / "conformed.u8", np.uint8)
    assert bright_ml(grey, result["conformedAffine"]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse_it_in_the_same_words(name: str, shared_cases: Path, site: Site, tmp_path: Path) -> None:
    with pytest.raises(ScanError) as refusal:
        read_scan(shared_cases / name)
    (result,) = site([{"files": [str(shared_cases / name)], "out": str(tmp_path)}])
    assert REFUSED[name] in str(refusal.value)
    assert str(refusal.value).removeprefix(f"{shared_cases}/") == result["error"]


@pytest.mark.parametrize("name", SERIES)
def test_dicom_is_converted_whatever_its_names_and_marks(name: str, shared_cases: Path, tmp_path: Path) -> None:
    files = sorted(path for path in (shared_cases / name).rglob("*") if path.is_file())
    series = convert_dicom(files, tmp_path, where=name)
    assert [one.name for one in series] == SERIES[name]
    assert ("dicom-resampled" in [note.code for note in series[0].notes]) == (name == "dicom_missing_slices")
    for one in series:
        assert one.path is not None
        assert conform(read_scan(one.path), size=64, voxel_size_mm=4.0).head_ml > 1000


def test_masks_beside_their_scans_are_left_out(shared_cases: Path, site: Site, tmp_path: Path) -> None:
    folder = shared_cases / "masks_beside_scans"
    sources, left_out = find_sources(expand([str(folder)]), out=None, model_id="m", scratch=tmp_path)
    assert {path.name for path in left_out} == {
        "sub-strokecase0001_ses-0001_msk.nii.gz",
        "BraTS-GLI-00000-000-seg.nii.gz",
    }
    assert len(sources) == 2
    names = sorted(stem_of(path) for path in folder.iterdir())
    results: list[Any] = list(site([{"names": names}]))
    assert [labels for labels, _ in results[0]] == [names_labels(name) for name in names]


def test_a_result_is_compared_with_the_mask_and_not_with_the_scan(shared_cases: Path, site: Site) -> None:
    folder = shared_cases / "compare"
    (result,) = (folder / "results").iterdir()
    scan, mask = folder / "ref" / "sub-M2001_ses-1_T2w.nii.gz", folder / "ref" / "sub-M2001_ses-1_lesion.nii.gz"
    assert main([str(folder / "results"), str(folder / "ref")]) == 0
    with pytest.raises(ScanError) as refusal:
        compare(result, scan)
    of_scan, of_mask = site([{"mask": str(path)} for path in (scan, mask)])
    assert of_scan["error"] == str(refusal.value).removeprefix(f"{scan.parent}/")
    assert "has the values of a scan, not of labels" in of_scan["error"]
    assert of_mask["voxels"] > 0


def test_both_read_the_same_network_from_the_folder_of_keras_3(shared_cases: Path, site: Site) -> None:
    folder = shared_cases / "tfjs_keras3_functional"
    labels = make_labels(["background", "grey", "white"])
    imported = import_model(folder, Answers(normalization=MinMax(), orientation="LIA", labels=labels))
    results: list[Any] = list(site([{"tfjs": str(folder)}]))
    (layers,) = results
    expected = build_graph(imported.spec, imported.weights).layers
    assert [(layer["dilation"], layer["activation"]) for layer in layers] == [
        (layer.dilation, layer.activation) for layer in expected
    ]
    for layer, own in zip(layers, expected, strict=True):
        assert np.allclose(layer["weight"], own.weight.ravel(), rtol=1e-5, atol=1e-6)
        assert np.allclose(layer["bias"], own.bias, rtol=1e-5, atol=1e-6)
