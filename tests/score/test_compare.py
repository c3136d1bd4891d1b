"""`meshnet-compare`: results are paired with masks by name, and scored on one grid."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.model.checkpoint import save_checkpoint
from meshnet.scan.nifti import new_header, save_labels
from meshnet.scan.scan_stream import ScanError
from meshnet.score.compare import COLUMNS, compare, main
from meshnet.score.label_pairs import find_labels, pair_up
from meshnet.score.metrics import lesion_scores
from tests.helpers.export_models import small_model
from tests.helpers.scan_files import affine_of

SHAPE = (12, 13, 11)
AFFINE = affine_of(axes="LAS", rotation_deg=(10, -20, 30), voxel_size_mm=(1.0, 2.0, 2.5))


def box(low: int, high: int, *, value: int = 1) -> NDArray[np.uint8]:
    labels = np.zeros(SHAPE, np.uint8)
    labels[low:high, 2:6, 2:6] = value
    return labels


def write(path: Path, labels: NDArray[Any], affine: NDArray[np.float64] = AFFINE) -> Path:
    """A mask as other software saves it, without an intent code."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def write_result(path: Path, labels: NDArray[np.uint8]) -> Path:
    """Labels as meshnet-predict saves them."""
    save_labels(path, labels, new_header(AFFINE, labels.shape, code=1))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_folders_are_compared_scan_by_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, low in (("01", 2), ("02", 3)):
        write_result(tmp_path / "results" / f"sub-{number}_T2w_t2-lesion.nii.gz", box(low, low + 4))
        write(tmp_path / "masks" / f"sub-{number}" / f"sub-{number}_T2w_desc-lesion_mask.nii", box(2, 6))
    table = tmp_path / "tables" / "scores.csv"
    assert main([str(tmp_path / "results"), str(tmp_path / "masks"), "--csv", str(table)]) == 0
    first, second = rows_of(table)
    assert tuple(first) == ("result", "reference", *COLUMNS)
    assert first["result"].endswith("sub-01_T2w_t2-lesion.nii.gz")
    assert second["reference"].endswith("sub-02_T2w_desc-lesion_mask.nii")
    assert (float(first["dice_lesion"]), float(second["dice_lesion"])) == (1.0, 0.75)
    assert float(second["reference_ml"]) == pytest.approx(64 * 5 / 1000)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["scan", "Dice"]
    assert lines[1].split()[:2] == ["sub-01_T2w_t2-lesion", "1.000"]
    assert [line.split()[:2] for line in lines[3:5]] == [["mean", "0.875"], ["median", "0.875"]]
    assert len({len(line) for line in lines[:5]}) == 1, "columns are not in line"


def test_scores_are_those_of_the_metrics_at_the_voxel_size(tmp_path: Path) -> None:
    result = write_result(tmp_path / "r.nii.gz", box(3, 7))
    reference = write(tmp_path / "m.nii", box(2, 6).astype(np.float32))
    found = compare(result, reference)
    expected = lesion_scores(box(3, 7) > 0, box(2, 6) > 0, (1.0, 2.0, 2.5))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert set(found) == set(COLUMNS)


def test_files_named_themselves_are_a_pair_whatever_they_are_called(tmp_path: Path) -> None:
    result, reference = write(tmp_path / "x.nii", box(2, 6)), write(tmp_path / "y.nii.gz", box(2, 6))
    assert main([str(result), str(reference)]) == 0


def test_one_label_is_compared_by_its_number_or_by_its_name_in_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "shipped" / "small", *small_model())  # labels: class 0, class 1, class 2
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "shipped"])
    result = write_result(tmp_path / "a_small_conformed.nii.gz", box(2, 6, value=2) + box(8, 10))
    reference = write(tmp_path / "a.nii", box(2, 6, value=2))
    assert compare(result, reference)["dice_lesion"] < 1
    for label in ("2", "class 2"):
        assert compare(result, reference, label=label)["dice_lesion"] == 1
    with pytest.raises(ScanError, match="its model has no label lesion; expected one of class 0, class 1, class 2"):
        compare(result, reference, label="lesion")
    with pytest.raises(ScanError, match="no known model's id, so --label lesion has to be a number"):
        compare(reference, reference, label="lesion")
    assert main([str(result), str(reference), "--label", "7"]) == 0
    assert "label 7 is in none of these files" in capsys.readouterr().err


def test_files_without_a_partner_are_named_and_the_others_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, masks = tmp_path / "results", tmp_path / "masks"
    for name in ("a", "b", "c"):
        write_result(results / f"{name}_t2-lesion.nii.gz", box(2, 6))
    for name in ("a_mask.nii", "b_mask.nii", "more/b_mask.nii", "d_mask.nii"):
        write(masks / name, box(2, 6))
    assert main([str(results), str(masks)]) == 1
    said = capsys.readouterr()
    assert "a_t2-lesion" in said.out
    assert f"{results / 'b_t2-lesion.nii.gz'}: 2 references fit it" in said.err
    assert f"{results / 'c_t2-lesion.nii.gz'}: no reference fits it" in said.err
    assert f"{masks / 'd_mask.nii'}: no result for this reference" in said.err
    assert "no result for this reference" not in said.err.replace(f"{masks / 'd_mask.nii'}: no result", "")


@pytest.mark.parametrize(
    ("result", "references", "partner"),
    [
        ("sub-01_T2w_t2-lesion", ["sub-01_T2w_mask", "sub-010_T2w_mask"], "sub-01_T2w_mask"),
        ("sub-01_T2w_t2-lesion", ["sub-01_mask", "sub-01_T2w_mask"], "sub-01_T2w_mask"),
        ("scan_frame1_tissue_conformed", ["scan"], "scan"),
        ("x_m", ["x_m"], "x_m"),
        ("sub-1_ses-2_T2w_m", ["sub-1_ses-1_label-L_mask", "sub-1_ses-2_space-T2w_mask"], "sub-1_ses-2_space-T2w_mask"),
        ("sub-1_ses-2_T2w_m", ["sub-1_ses-1_dseg", "sub-1_space-MNI_dseg"], "sub-1_space-MNI_dseg"),
        ("sub-1_ses-2_T2w_m", ["sub-1_ses-1_dseg", "sub-2_ses-2_dseg"], None),
        ("sub-1_T2w_m", ["sub-1_ses-1_dseg", "sub-1_ses-2_dseg"], None),
        ("scan_m", ["other"], None),
    ],
)
def test_a_result_goes_with_the_mask_of_its_scan(result: str, references: list[str], partner: str | None) -> None:
    files = [Path(f"{name}.nii.gz") for name in references]
    pairs, problems = pair_up([Path(f"{result}.nii.gz")], files)
    assert [str(reference) for _, reference in pairs] == ([] if partner is None else [f"{partner}.nii.gz"])
    # Every file is in a pair or named in a problem.
    for path in set(files) - {reference for _, reference in pairs}:
        assert any(str(path) in problem for problem in problems)


def test_scans_beside_their_masks_are_no_references(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "data" / "a.nii", np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    write(tmp_path / "data" / "a_mask.nii", box(2, 6))
    write_result(tmp_path / "results" / "a_t2-lesion.nii.gz", box(2, 6))
    assert find_labels(tmp_path / "data") == ([tmp_path / "data" / "a_mask.nii"], [tmp_path / "data" / "a.nii"])
    assert main([str(tmp_path / "results"), str(tmp_path / "data")]) == 0
    others = f"1 volume is not a label file and was left out, the first is {tmp_path / 'data' / 'a.nii'}"
    assert others in capsys.readouterr().out


def test_masks_of_which_nothing_says_that_they_are_some_are_taken_all(tmp_path: Path) -> None:
    masks = [write(tmp_path / name, box(2, 6)) for name in ("a.nii", "b.nii.gz")]
    (tmp_path / ".c.nii").write_bytes(b"")
    assert find_labels(tmp_path) == (masks, [])


def test_a_reference_on_another_grid_fails_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = write_result(tmp_path / "r.nii.gz", box(2, 6))
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.5
    for reference, says in (
        (write(tmp_path / "other.nii", box(2, 6)[:-1]), "other.nii: has (11, 13, 11) voxels"),
        (write(tmp_path / "shifted.nii", box(2, 6), shifted), "shifted.nii: its affine differs"),
    ):
        assert main([str(result), str(reference)]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert "expected one grid" in said
    close = AFFINE.copy()
    close[0, 3] += 0.005
    assert main([str(result), str(write(tmp_path / "close.nii", box(2, 6), close))]) == 0


def test_a_failing_pair_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_result(tmp_path / "results" / f"{name}_m.nii.gz", box(2, 6))
    write(tmp_path / "masks" / "b.nii.gz", box(2, 6))
    (tmp_path / "masks" / "a.nii.gz").write_bytes((tmp_path / "masks" / "b.nii.gz").read_bytes()[:60])
    assert main([str(tmp_path / "results"), str(tmp_path / "masks"), "--csv", str(tmp_path / "t.csv")]) == 1
    assert "a.nii.gz: the labels cannot be read" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "t.csv")) == 1


@pytest.mark.parametrize(
    ("voxels", "says"),
    [
        (np.full(SHAPE, 0.4, np.float32), "has values that are not whole numbers"),
        (np.full(SHAPE, np.nan, np.float32), "has values that are not whole numbers"),
        (np.full(SHAPE, np.inf, np.float32), "has values that are not whole numbers"),
        (np.zeros((*SHAPE, 2), np.uint8), "expected a 3-D map of labels, got shape"),
        (np.zeros(SHAPE, np.complex64), "expected a 3-D map of labels, got shape"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, voxels: NDArray[Any], says: str) -> None:
    with pytest.raises(ScanError, match=says):
        compare(write_result(tmp_path / "r.nii.gz", box(2, 6)), write(tmp_path / "m.nii", voxels))


def test_empty_masks_count_where_a_score_has_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, found in (("a", box(2, 6)), ("b", box(2, 2))):
        write_result(tmp_path / "results" / f"{name}_m.nii.gz", found)
        write(tmp_path / "masks" / f"{name}_mask.nii", box(2, 6) if name == "a" else box(2, 2))
    write_result(tmp_path / "results" / "c_m.nii.gz", box(2, 6))
    write(tmp_path / "masks" / "c_mask.nii", box(2, 2))
    assert main([str(tmp_path / "results"), str(tmp_path / "masks"), "--csv", str(tmp_path / "t.csv")]) == 0
    a, b, c = rows_of(tmp_path / "t.csv")
    assert [float(row["dice_lesion"]) for row in (a, b, c)] == [1, 1, 0]
    assert math.isnan(float(c["avd"]))
    assert math.isinf(float(c["hd95_mm"]))
    said = capsys.readouterr().out
    assert "AVD: mean and median of 1 of 3" in said
    assert "HD95 mm: mean and median of 2 of 3" in said


@pytest.mark.parametrize("missing", ["results", "masks"])
def test_what_is_not_there_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    write_result(tmp_path / "results" / "a_m.nii.gz", box(2, 6))
    write(tmp_path / "masks" / "a_mask.nii", box(2, 6))
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    arguments = [str(tmp_path / "results"), str(tmp_path / "masks")]
    assert main(arguments) == 2
    assert f"{tmp_path / missing}: no such file or folder" in capsys.readouterr().err
    (tmp_path / missing).mkdir()
    assert main(arguments) == 2
    assert f"{tmp_path / missing}: no label files in this folder" in capsys.readouterr().err


def test_a_table_never_replaces_a_label_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, reference = write_result(tmp_path / "r.nii.gz", box(2, 6)), write(tmp_path / "m.nii", box(2, 6))
    before = reference.read_bytes()
    assert main([str(result), str(reference), "--csv", str(reference)]) == 2
    assert "choose another file with --csv" in capsys.readouterr().err
    assert reference.read_bytes() == before


def a_scan() -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)


@pytest.mark.parametrize("mask", ["sub-01_ses-1_lesion.nii.gz", "sub-01_ses-1_drawn.nii.gz"])
def test_a_mask_beside_its_scan_is_the_reference_and_the_scan_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mask: str
) -> None:
    write_result(tmp_path / "results" / "sub-01_ses-1_T2w_t2-lesion.nii.gz", box(2, 6))
    write(tmp_path / "ref" / "sub-01_ses-1_T2w.nii.gz", a_scan())
    write(tmp_path / "ref" / mask, box(2, 6))
    table = tmp_path / "t.csv"
    assert main([str(tmp_path / "results"), str(tmp_path / "ref"), "--csv", str(table)]) == 0
    (row,) = rows_of(table)
    assert Path(row["reference"]).name == mask
    assert float(row["dice_lesion"]) == 1
    assert "1 volume is not a label file and was left out" in capsys.readouterr().out


def test_a_scan_given_as_a_reference_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = write_result(tmp_path / "a_t2-lesion.nii.gz", box(2, 6))
    scan = write(tmp_path / "a.nii.gz", a_scan())
    assert main([str(result), str(scan)]) == 2
    assert f"{scan}: has the values of a scan, not of labels" in capsys.readouterr().err


def test_the_real_mask_beside_its_scan_is_the_reference(shared_cases: Path, tmp_path: Path) -> None:
    folder, table = shared_cases / "compare", tmp_path / "t.csv"
    assert main([str(folder / "results"), str(folder / "ref"), "--csv", str(table)]) == 0
    (row,) = rows_of(table)
    assert Path(row["reference"]).name == "sub-M2001_ses-1_lesion.nii.gz"
