"""meshnet-predict with a model that labels a lesion and the tissue around it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.infer.largest_piece import largest_piece
from meshnet.infer.predict import main
from meshnet.scan.orientation import reorient
from tests.helpers.joint_model import (
    EYE,
    LESION,
    NECK,
    STROKE,
    VOXEL_MM,
    brain_with_lesions,
    save_joint_model,
    save_one_brain_model,
    write_joint_scan,
)

ML = VOXEL_MM**3 / 1000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_joint_model(tmp_path / "joint")
    return tmp_path / "joint"


def run(model: Path, *words: object) -> int:
    return main([str(model), *map(str, words), "-q"])


def saved(folder: Path) -> NDArray[np.uint8]:
    """The saved labels in LIA order."""
    (path,) = folder.glob("*.nii.gz")
    return reorient(np.asarray(nib.load(path).dataobj), start="RAS", end="LIA")


def outcome_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_lesion_is_saved_and_the_brain_is_measured(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_joint_scan(tmp_path / "scan.nii.gz", STROKE)
    assert run(model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--json") == 0

    outcome = outcome_of(capsys)
    assert outcome["notes"] == []
    assert [volume["voxels"] for volume in outcome["volumes"]] == np.bincount(labels.ravel()).tolist()
    lesion_ml, brain_ml = np.count_nonzero(labels == LESION) * ML, np.count_nonzero(labels) * ML
    assert outcome["brain"] == pytest.approx(
        {"lesion_ml": lesion_ml, "brain_ml": brain_ml, "lesion_percent": 100 * lesion_ml / brain_ml}, abs=1e-4
    )
    assert np.array_equal(saved(tmp_path / "out"), np.where(labels == LESION, LESION, 0)), "values stay label numbers"


def test_text_and_table_show_the_lesions_share_of_the_brain(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_joint_scan(tmp_path / "scan.nii.gz", STROKE)
    assert run(model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--csv", tmp_path / "t.csv") == 0

    share = 100 * np.count_nonzero(labels == LESION) / np.count_nonzero(labels)
    line = next(line for line in capsys.readouterr().out.splitlines() if "brain (tissue, fluid and lesion)" in line)
    assert f"{np.count_nonzero(labels) * ML:.2f} mL" in line
    assert line.endswith(f"the lesion is {share:.2f} % of it")
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["0", "1", "2", "3", "4", ""]
    assert [row["percent_of_brain"] for row in (rows[0], rows[4], rows[5])] == ["", f"{share:.4f}", "100.0000"]
    assert sum(float(row["percent_of_brain"]) for row in rows[1:5]) == pytest.approx(100, abs=1e-3)
    assert (rows[5]["name"], int(rows[5]["voxels"])) == ("brain", np.count_nonzero(labels))


def test_a_lesion_outside_the_brain_is_dropped_and_noted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = write_joint_scan(tmp_path / "scan.nii.gz", STROKE, EYE)
    inside = brain_with_lesions(both.shape, STROKE)
    dropped_ml = np.count_nonzero(both != inside) * ML
    assert run(model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--json") == 0
    (note,) = outcome_of(capsys)["notes"]
    assert note["code"] == "lesion-outside-brain"
    assert note["text"].startswith(f"{dropped_ml:.4g} mL of lesion lay mostly outside the brain")
    assert np.array_equal(saved(tmp_path / "out") == LESION, inside == LESION)

    arguments = (tmp_path / "scan.nii.gz", "-o", tmp_path / "kept", "--json")
    assert run(model, *arguments, "--strict") == 1, "under --strict, a dropped lesion is an error like every note"
    capsys.readouterr()
    assert run(model, *arguments, "--keep-outside-brain", "--strict") == 0
    assert outcome_of(capsys)["notes"] == []
    assert np.array_equal(saved(tmp_path / "kept") == LESION, both == LESION)


@pytest.mark.parametrize("space", ["native", "conformed"])
def test_all_labels_are_saved_on_request(model: Path, tmp_path: Path, space: str) -> None:
    labels = write_joint_scan(tmp_path / "scan.nii.gz", STROKE)
    assert run(model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--all-labels", "--space", space) == 0
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    written = np.asarray(nib.load(path).dataobj)
    assert np.bincount(written.ravel()).tolist() == np.bincount(labels.ravel()).tolist()


def test_a_head_without_a_lesion_is_noted_although_tissue_was_labelled(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_joint_scan(tmp_path / "scan.nii.gz", ((24.0, 24.0, 24.0), 0.0))  # one bright voxel keeps the grey scale
    assert run(model, tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--json", "--remove-below", 1) == 0
    outcome = outcome_of(capsys)
    assert [note["code"] for note in outcome["notes"]] == ["nothing-found"]
    assert outcome["brain"]["lesion_percent"] == 0


def test_an_earlier_result_is_taken_if_it_has_the_labels_that_are_asked_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_joint_scan(tmp_path / "scan.nii.gz", STROKE)
    arguments = (tmp_path / "scan.nii.gz", "-o", tmp_path / "out", "--skip-done")
    assert run(model, *arguments) == 0
    first = capsys.readouterr().out
    assert run(model, *arguments) == 0
    again = capsys.readouterr().out
    assert "from an earlier run" in again
    assert "brain (" in first
    assert "brain (" not in again, "the saved lesion does not give the brain's volume"
    assert " csf " not in again
    for _ in ("segmented again, with all labels", "taken"):
        assert run(model, *arguments, "--all-labels") == 0
        last = capsys.readouterr().out
        assert "brain (" in last
    assert "from an earlier run" in last


def test_of_a_model_of_one_brain_the_largest_piece_is_saved_and_a_note_says_what_was_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one_brain_model(model := tmp_path / "one-brain")
    both = write_joint_scan(tmp_path / "scan.nii.gz", NECK)
    brain, dropped = largest_piece(both)
    dropped_ml = dropped * ML
    assert dropped >= np.count_nonzero(both == LESION) > 0
    assert np.count_nonzero(brain != brain_with_lesions(both.shape)) < 20, "a digital ball loses its tips"

    arguments = (tmp_path / "scan.nii.gz", "--json", "-o")
    assert run(model, *arguments, tmp_path / "out") == 0
    (note,) = outcome_of(capsys)["notes"]
    assert note["code"] == "pieces-dropped"
    volume, rest = note["text"].split(maxsplit=1)
    assert float(volume) == pytest.approx(dropped_ml, abs=0.01)
    assert rest.startswith("mL in pieces apart from the largest one were dropped")
    assert np.array_equal(saved(tmp_path / "out"), brain)

    assert run(model, *arguments, tmp_path / "kept", "--keep-outside-brain") == 0
    assert outcome_of(capsys)["notes"] == []
    assert np.array_equal(saved(tmp_path / "kept"), both)
