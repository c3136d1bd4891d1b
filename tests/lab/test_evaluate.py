"""meshnet-evaluate --model: from models and label files to the report, on the toy BIDS data set."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.cohort.toy_data import EMPTY_LESION, make_arc
from meshnet.lab import evaluate, model_runs
from meshnet.scan.nifti import new_header, read_scan, save_labels
from meshnet.score.metrics import dice
from tests.helpers.bright_model import write_bright_model
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four subjects, one with two sessions, and one with an empty mask, on oblique, anisotropic and flipped grids."""
    root = tmp_path_factory.mktemp("bids")
    make_arc(root, subjects=4)
    for subject in ("M9001", "M9002", "M9004"):
        shutil.rmtree(root / f"sub-{subject}")
    (root / "participants.tsv").write_text("participant_id\tsite\nsub-M2000\tnorth\nsub-M2001\tsouth\n")
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_bright_model(root / "bright", id="bright")
    write_bright_model(root / "joint", threshold=0.5, tissue=0.1, id="joint")
    write_bright_model(root / "tissue", id="tissue-only", task="tissue", names=["background", "grey matter"])
    write_bright_model(root / "t1", id="t1-lesion", modality=("T1w",))
    return root


@pytest.fixture(scope="module")
def other_tool(bids: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The references as another tool's results: one label, 3, on a finer and flipped grid."""
    folder = tmp_path_factory.mktemp("tool")
    for mask in (bids / "derivatives" / "lesion_masks").rglob("sub-M2*_mask.nii.gz"):
        image = nib.load(mask)
        finer = np.repeat(np.asarray(image.dataobj), 2, axis=0)[::-1]
        affine = image.affine @ np.diag([-0.5, 1.0, 1.0, 1.0])
        affine[:3, 3] = image.affine[:3, :3] @ [finer.shape[0] / 2 - 0.75, 0, 0] + image.affine[:3, 3]
        name = mask.name.replace("_desc-lesion_mask", "_seg")
        save_labels(folder / name, (3 * finer).astype(np.uint8), new_header(affine, finer.shape, code=1))
    return folder


def options(models: Path, bids: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(models / "bright"), "--data", str(bids), "-o", str(out), "--cpus-per-scan", "1", *more]


@pytest.fixture(scope="module")
def report(models: Path, bids: Path, other_tool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    more = ["--model", str(models / "joint"), "--model", f"perfect={other_tool}", "--reference-model", "bright"]
    assert evaluate.main(options(models, bids, out, *more)) == 1  # the other tool has no labels of one scan
    return out


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_scores_of_a_scan_are_those_of_its_saved_labels(report: Path, bids: Path) -> None:
    rows = [row for row in table_of(report / "scans.csv") if row["model"] == "joint" and row["dice_lesion"]]
    assert len(rows) == 5
    for row in rows:
        mask = next((bids / "derivatives").rglob(f"{row['scan']}_desc-lesion_mask.nii.gz"))
        true = np.asarray(nib.load(mask).dataobj) > 0
        image = nib.load(report / "labels" / "joint" / f"{row['scan']}.nii.gz")
        lesion = np.asarray(image.dataobj) == 2
        assert float(row["dice_lesion"]) == pytest.approx(dice(lesion, true))
        assert float(row["dice_lesion"]) > 0.7
        voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
        assert float(row["result_ml"]) == pytest.approx(lesion.sum() * voxel_ml, rel=1e-5)
        assert row["outside_ml"]  # the model knows the brain
    assert all(not row["outside_ml"] for row in table_of(report / "scans.csv") if row["model"] == "bright")


def test_labels_on_another_grid_are_compared_through_the_affines(report: Path) -> None:
    rows = [row for row in table_of(report / "scans.csv") if row["model"] == "perfect"]
    assert len(rows) == 5
    assert all(float(row["dice_lesion"]) == 1 for row in rows)


def test_a_scan_without_lesion_is_scored_apart(report: Path) -> None:
    page = (report / "lesion-free.md").read_text()
    marked = {
        row["model"]: float(row["result_ml"]) for row in table_of(report / "scans.csv") if EMPTY_LESION in row["scan"]
    }
    assert set(marked) == {"bright", "joint"}
    assert marked["joint"] > marked["bright"] > 5  # the head has a bright ball, only its mask is empty
    assert f"{marked['bright']:.2f}" in page
    assert "| bright (reference) | 5 (4) |" in (report / "overlap.md").read_text()


def test_the_report_tests_the_models_and_stands_alone(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r"""(?:src|href|url|srcset|@import)\s*[=(]?\s*["']?([^"'>) ]+)""", page)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert f"sub-{EMPTY_LESION}_ses-100_acq-spc3p2_T2w: no label file of this scan" in page
    assert "Mean difference from bright" in (report / "tests.md").read_text()
    rows = {(r["model"], r["measure"]): r for r in table_of(report / "models.csv")}
    assert float(rows["perfect", "dice_lesion"]["difference"]) > 0
    assert float(rows["perfect", "icc"]["mean"]) == pytest.approx(1)
    # Four persons: the smallest two-sided p of Wilcoxon's test is 2 / 2^4; Holm doubles it for two models.
    assert float(rows["perfect", "dice_lesion"]["p"]) == pytest.approx(0.125)
    assert float(rows["perfect", "dice_lesion"]["p_holm"]) == pytest.approx(0.25)
    assert "north" in (report / "by-centre.md").read_text()
    assert r"\begin{tabular}" in (report / "overlap.tex").read_text()


def test_a_second_call_segments_and_scores_nothing_again(
    report: Path, models: Path, bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("scored again")

    before = (report / "scans.csv").read_text()
    monkeypatch.setattr(model_runs, "predict", refuse)
    monkeypatch.setattr(model_runs, "lesion_values", refuse)
    assert evaluate.main(options(models, bids, report, "--model", str(models / "joint"))) == 0
    assert set((report / "scans.csv").read_text().splitlines()) < set(before.splitlines())


def test_another_brain_is_scored_again_from_the_same_labels(
    report: Path, models: Path, bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("segmented again")

    monkeypatch.setattr(model_runs, "predict", refuse)
    assert evaluate.main(options(models, bids, report, "--brain-model", str(models / "joint"))) == 0
    rows = table_of(report / "scans.csv")
    assert all(float(row["outside_ml"]) == 0 for row in rows)  # the ball is brain to the joint model


def test_masks_of_the_brain_are_taken_from_a_folder(report: Path, models: Path, bids: Path, tmp_path: Path) -> None:
    for scan in bids.rglob("sub-*_T2w.nii.gz"):
        read = read_scan(scan)
        save_labels(tmp_path / f"{scan.name[:-7]}_mask.nii.gz", np.zeros(read.data.shape, np.uint8), read.header)
    assert evaluate.main(options(models, bids, report, "--brain-masks", str(tmp_path))) == 0
    free = next(row for row in table_of(report / "scans.csv") if EMPTY_LESION in row["scan"])
    assert float(free["outside_far_ml"]) == pytest.approx(float(free["result_ml"]))


def test_a_prepared_folder_and_a_model_of_another_contrast(
    models: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--model", str(models / "t1")]
    assert evaluate.main(options(models, prepared, tmp_path / "out", *more)) == 0
    assert "7 scans of another contrast than it was made for (T2w)" in (tmp_path / "out" / "report.html").read_text()
    assert {row["model"] for row in table_of(tmp_path / "out" / "scans.csv")} == {"bright"}
    assert "2 models, 7 scores" in capsys.readouterr().out


def test_jobs_side_by_side_give_the_same_scores(models: Path, bids: Path, report: Path, tmp_path: Path) -> None:
    words = options(models, bids, tmp_path / "out", "--jobs", "2")
    # in a new process: Ray leaves processes behind that this one would have to wait for
    program = "import sys; from meshnet.lab.evaluate import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *words]
    subprocess.run(command, check=True, cwd=REPO, capture_output=True, timeout=300)
    assert evaluate.main(options(models, bids, report)) == 0
    assert (tmp_path / "out" / "scans.csv").read_text() == (report / "scans.csv").read_text()


def test_one_bad_scan_is_reported_and_the_others_are_scored(
    models: Path, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "bids"
    shutil.copytree(bids, root)
    bad = next(root.glob("sub-M2000/**/*_T2w.nii.gz"))
    bad.write_bytes(bad.read_bytes()[:2000])
    assert evaluate.main(options(models, root, tmp_path / "out")) == 1
    said = capsys.readouterr()
    assert re.search(r"error: bright: sub-M2000_\S+: .*sub-M2000_", said.err)
    assert "5 scores" in said.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "{models}/bright"], "--model: two are called bright; name one of them: --model NAME=FOLDER"),
        (
            ["--model", "{models}/tissue"],
            "tissue-only segments tissue; expected a model with a lesion among its labels",
        ),
        (["--model", "no-such-id"], "no-such-id: no such folder and no known model"),
        (["--reference-model", "brigth"], "--reference-model brigth: expected one of the models, bright; did you mean"),
        (["--brain-model", "{models}/t1"], "has lesion labels only; expected labels of the brain"),
        (["--brain-masks", "{tool}"], "no mask for 1 of the 6 scans"),
        (["--brain-masks", "{tool}", "--brain-model", "x"], "--brain-masks and --brain-model: give one of them"),
        (["--leave-out", "{bids}/nothing"], "nothing: cannot be read"),
        (["--contrast", "FLAIR"], "anat/*_FLAIR.nii.gz; expected a BIDS data set"),
        (["--jobs", "0"], "--jobs: expected a whole number of 1 or more, got 0"),
        (["--cpus-per-scan", "half"], "--cpus-per-scan: expected a whole number of 1 or more, got half"),
        (["--ray-address", "127.0.0.1:1"], "--ray-address 127.0.0.1:1: no Ray cluster answers there"),
        (["--label", "0"], "--label: expected a whole number of 1 or more, got 0"),
        (["--label", "3"], "--label 3: expected a folder of label volumes among --model; leave --label out"),
        (
            ["--model", "{file}"],
            "dataset_description.json: is a file; expected a model folder, a known id",
        ),
        (["-o", "{file}"], "dataset_description.json is a file; expected a folder, or one that doesn't exist yet"),
    ],
)
def test_each_mistake_is_one_sentence(  # noqa: PLR0917
    models: Path,
    bids: Path,
    other_tool: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    places = {"models": models, "bids": bids / "sub-M2000", "tool": other_tool}
    words = [word.format(**places, file=bids / "dataset_description.json") for word in more]
    try:
        code: object = evaluate.main(options(models, bids, tmp_path / "out", *words))
    except SystemExit as refused:  # by argparse
        code = refused.code
    assert code == 2
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_two_label_files_of_one_scan_are_refused(
    models: Path, bids: Path, other_tool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(other_tool, tmp_path / "tool")
    first = next((tmp_path / "tool").iterdir())
    shutil.copy(first, first.with_name(first.name.replace("_seg", "_v2_seg")))
    assert evaluate.main(options(models, bids, tmp_path / "out", "--model", str(tmp_path / "tool"))) == 2
    assert "both belong to the scan" in capsys.readouterr().err


def test_label_files_of_another_data_set_are_refused(
    models: Path, bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_labels(tmp_path / "x_seg.nii.gz", np.zeros((3, 3, 3), np.uint8), new_header(np.eye(4), (3, 3, 3), code=1))
    assert evaluate.main(options(models, bids, tmp_path / "out", "--model", str(tmp_path))) == 2
    assert "none of its label files belongs to one of the 6 scans" in capsys.readouterr().err


def test_run_folders_are_still_scored_by_the_same_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(tmp_path), "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no finished run; expected folders written by meshnet-train" in capsys.readouterr().err


def test_a_report_without_a_place_is_found_before_the_first_scan(
    bids: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "below"
    with pytest.raises(SystemExit) as refused:
        evaluate.main(["--model", str(models / "bright"), "--data", str(bids), "--out", str(out)])
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert f"--out: {tmp_path / 'file'} is a file; expected a folder, or one that doesn't exist yet" in said
