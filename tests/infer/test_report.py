"""`meshnet-predict --report` and `Segmentation.report()`: pages with the numbers of the results."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import meshnet
from meshnet.infer.predict import main
from meshnet.infer.report.facts import Report
from meshnet.infer.report.numbers import fixed, spoken_ml
from meshnet.infer.report.plots import nice_end
from tests.helpers.joint_model import EYE, LESION, STROKE, VOXEL_MM, save_joint_model, write_joint_scan
from tests.helpers.paths import REPO

#: A second lesion in the brain, on the other side.
SMALL = ((31.0, 22.0, 24.0), 1.5)
ML = VOXEL_MM**3 / 1000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_joint_model(tmp_path / "joint")
    return tmp_path / "joint"


def facts_in(page: Path) -> Report:
    found = re.search(r'<script type="application/json" id="facts">(.*)</script>', page.read_text())
    assert found is not None
    return Report.model_validate_json(found[1])


def rows_of(table: Path) -> list[dict[str, Any]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_scan_has_a_page_and_all_have_a_summary_that_names_the_failed_one(model: Path, tmp_path: Path) -> None:
    labels = write_joint_scan(tmp_path / "two.nii.gz", STROKE, SMALL)
    write_joint_scan(tmp_path / "none.nii.gz", EYE)
    (tmp_path / "broken.nii.gz").write_bytes(b"no scan")
    folder = tmp_path / "report"
    scans = [str(tmp_path / f"{name}.nii.gz") for name in ("two", "broken", "none")]
    assert main([str(model), *scans, "-o", str(tmp_path / "out"), "--report", str(folder), "-q"]) == 1

    assert {path.name for path in folder.iterdir()} == {
        *("index.html", "report.csv", "two_joint.html", "none_joint.html"),
    }
    report = facts_in(folder / "two_joint.html")
    assert report.made.command is None, "its paths may name patients"
    large, small = report.lesions
    assert large.voxels + small.voxels == np.count_nonzero(labels == LESION)
    assert large.volume_ml == pytest.approx(large.voxels * ML)
    assert (large.side, small.side) == ("midline", "left")
    assert report.histogram is not None
    assert sum(report.histogram.voxels) == large.voxels + small.voxels
    assert report.brain is not None
    assert report.brain.brain_ml == pytest.approx(np.count_nonzero(labels) * ML)
    page = (folder / "two_joint.html").read_text()
    assert page.count("<figure") == 2 * 3 + page.count("<figure><img")
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', ""), "nothing is fetched"

    empty = facts_in(folder / "none_joint.html")
    assert empty.lesions == ()
    assert [note.code for note in empty.made.notes] == ["nothing-found", "lesion-outside-brain"]
    index = (folder / "index.html").read_text()
    assert '<a href="two_joint.html">two.nii.gz</a>' in index
    assert re.search(r'broken\.nii\.gz</th>.*class="failed">not a NIfTI', index)
    assert str(tmp_path) not in index + page
    lesions = [row for row in rows_of(folder / "report.csv") if row["part"] not in ("", "all")]
    assert [(row["scan"], row["part"], row["volume (mL)"]) for row in lesions] == [
        ("two.nii.gz", "1", fixed(large.volume_ml, 4)),
        ("two.nii.gz", "2", fixed(small.volume_ml, 4)),
    ]


def test_an_earlier_result_is_reported_without_running_the_network(model: Path, tmp_path: Path) -> None:
    write_joint_scan(tmp_path / "a.nii.gz", STROKE)
    words = [str(model), str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out"), "-q", "--sidecar", "--report"]
    assert main([*words, str(tmp_path / "new")]) == 0
    assert main([*words, str(tmp_path / "again"), "--skip-done"]) == 0
    new, again = (facts_in(tmp_path / name / "a_joint.html") for name in ("new", "again"))
    assert again.made == new.made
    assert again.histogram is None
    assert again.brain is None, "the file holds the lesion alone"
    assert [one.voxels for one in again.lesions] == [one.voxels for one in new.lesions]
    assert not (tmp_path / "new" / "index.html").exists(), "one scan needs no summary"
    assert not list((tmp_path / "out").glob("*probseg*")), "the map was not asked for"


def test_the_report_from_python_has_the_numbers_of_the_command(model: Path, tmp_path: Path) -> None:
    scan = tmp_path / "a.nii.gz"
    write_joint_scan(scan, STROKE, SMALL)
    assert main([str(model), str(scan), "-o", str(tmp_path / "out"), "-q", "--report", str(tmp_path / "r")]) == 0
    result = meshnet.segment(scan, model, probability=True)
    assert result.report(tmp_path / "b.html") == tmp_path / "b.html"
    command, python = facts_in(tmp_path / "r" / "a_joint.html"), facts_in(tmp_path / "b.html")
    assert python.model_dump(exclude={"made"}) == command.model_dump(exclude={"made"})
    for lesion, fact in zip(result.lesions, python.lesions, strict=True):
        assert (lesion.longest_diameter_mm, lesion.side) == (fact.longest_diameter_mm, fact.side)
        assert lesion.mean_probability == fact.mean_probability
    with pytest.raises(meshnet.ScanError, match=r"b\.txt: a report is one HTML file; end the name with \.html"):
        result.report(tmp_path / "b.txt")


def test_without_pillow_a_report_is_refused_before_the_first_network_runs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("meshnet.infer.report.folder.find_spec", lambda name: None)
    write_joint_scan(tmp_path / "a.nii.gz")
    assert main([str(model), str(tmp_path / "a.nii.gz"), "-q", "--report", str(tmp_path / "r")]) == 2
    assert "--report needs Pillow; pip install 'meshnet[report]'" in capsys.readouterr().err


def test_lesions_have_their_size_and_side_on_an_oblique_grid(model: Path, tmp_path: Path) -> None:
    write_joint_scan(tmp_path / "a.nii.gz", STROKE)
    result = meshnet.segment(tmp_path / "a.nii.gz", model)
    (lesion,) = result.lesions
    assert lesion.longest_diameter_mm == pytest.approx(2 * STROKE[1] * VOXEL_MM, abs=np.sqrt(3) * VOXEL_MM)
    assert lesion.mean_probability is None
    assert lesion.side == "midline"
    image = nib.load(tmp_path / "a.nii.gz")
    moved = meshnet.segment(
        nib.Nifti1Image(np.asarray(image.dataobj), image.affine + np.array([[0, 0, 0, 80.0], *[[0] * 4] * 3])), model
    )
    assert moved.lesions[0].side == "midline", "sides are those of the brain, not of the scanner"


def test_numbers_are_written_as_the_page_writes_them() -> None:
    assert [fixed(value, 2) for value in (0.125, 0.135, -0.001, 2.5, -0.125)] == [
        "0.13",
        "0.14",
        "0.00",
        "2.50",
        "-0.13",
    ]
    assert [spoken_ml(value) for value in (0.0127, 0.42, 34.92, 1243.4)] == [
        "0.013 mL",
        "0.42 mL",
        "34.9 mL",
        "1243 mL",
    ]
    assert [nice_end(value) for value in (0, 41, 1, 13, 100)] == [1.2, 60, 1.2, 16, 120]


def test_the_committed_schema_is_that_of_the_class() -> None:
    command = [sys.executable, "-m", "meshnet.infer.report.facts"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == json.loads((REPO / "static/src/generated/report.schema.json").read_text()), (
        "run: python -m meshnet.infer.report.facts > static/src/generated/report.schema.json; npm run types"
    )
