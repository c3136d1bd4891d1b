"""`meshnet-bids`: a valid BIDS derivative with the labels of `meshnet-predict`, that a second run takes up."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from meshnet.bids.cli import main
from meshnet.bids.layout import dseg_table, find_jobs
from meshnet.bids.process import Outcome, RunOptions, process
from meshnet.bids.run_jobs import run_here
from meshnet.infer.predict import main as predict_main
from meshnet.infer.sidecar import Settings, read_sidecar
from meshnet.model.spec import ModelSpec, make_labels, read_spec
from meshnet.scan.scan_stream import ScanError
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.train.networks import labels_of_task
from tests.helpers.bids_validator import errors_of
from tests.helpers.export_models import small_model
from tests.helpers.heads import bright_model, write_head
from tests.helpers.make_arc import make_arc
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in ARC's layout: four subjects, oblique and flipped grids, one with two sessions, one with a run."""
    root = tmp_path_factory.mktemp("toy") / "bids"
    make_arc(root, subjects=4, broken=False)
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    bright_model(tmp_path / "bright", modality=("T2w",), task="stroke lesion")
    return tmp_path / "bright"


def run(*words: object) -> int:
    return main([*map(str, words)])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--threshold", "2"], "--threshold: expected a probability from 0 to 1, got 2"),
        (["--threshold", "nan"], "--threshold: expected a probability from 0 to 1, got nan"),
        (["--remove-below", "-1"], "--remove-below: expected a volume above 0 and up to 1000 mL, got -1"),
        (["--n-procs", "0"], "--n-procs: expected 1 or more, got 0"),
    ],
)
def test_a_number_out_of_range_is_refused(
    more: list[str], said: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(toy, tmp_path / "out", "participant", *more)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_data_set_becomes_a_valid_derivative_with_the_labels_of_meshnet_predict(
    toy: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "derivatives" / "meshnet"
    assert run(toy, out, "participant", "--model", model) == 0
    assert run(toy, out, "group") == 0
    assert errors_of(out) == []
    stem = "sub-M2002/ses-250/anat/sub-M2002_ses-250_acq-spc3p2"
    image = next(toy.glob(f"{stem}_T2w.nii*"))
    assert predict_main([str(model), str(image), "-o", str(tmp_path / "p.nii.gz"), "-q"]) == 0
    dseg = out / f"{stem}_dseg.nii.gz"
    assert dseg.read_bytes() == (tmp_path / "p.nii.gz").read_bytes()
    mask = np.asarray(nib.load(out / f"{stem}_label-lesion_mask.nii.gz").dataobj)
    assert mask.any()
    assert np.array_equal(mask, np.asarray(nib.load(dseg).dataobj) == 1)
    assert (out / f"{stem}_dseg.tsv").read_text().splitlines() == [
        "index\tname\tcolor",
        "0\tbackground\t#000000",
        "1\tlesion\t#e63c3c",
    ]
    sidecar = json.loads((out / f"{stem}_label-lesion_mask.json").read_text())
    assert sidecar["Type"] == "Lesion"
    assert sidecar["Sources"] == [f"bids:raw:{image.relative_to(toy).as_posix()}"]
    assert sidecar["command"].startswith("meshnet-bids ")
    link = json.loads((out / "dataset_description.json").read_text())["DatasetLinks"]["raw"]
    assert (out / link).resolve() == toy.resolve()
    table = (out / "group_volumes.tsv").read_text().splitlines()
    rows = list(csv.DictReader(table, delimiter="\t"))
    assert [row["participant_id"] for row in rows] == ["sub-M2000", "sub-M2001", "sub-M2002", "sub-M2002", "sub-M2003"]
    assert float(rows[3]["lesion_ml"]) == pytest.approx(sidecar["volumes"][1]["volume_ml"])
    for page in ("group.html", "sub-M2002.html"):
        text = (out / page).read_text()
        assert text.count("<img ") == (5 if page == "group.html" else 2)
        assert all((out / source).is_file() for source in re.findall('<img src="([^"]+)"', text))
    picture = np.asarray(Image.open(out / "sub-M2002/figures/sub-M2002_ses-250_acq-spc3p2_mosaic.png"))
    assert (picture == (230, 60, 60)).all(-1).any(), "no outline in the lesion's colour"


def test_the_table_of_labels_has_freesurfers_numbers_where_the_model_has_them() -> None:
    labels = labels_of_task("deep", TARGET_LABELS["deep"])
    spec = small_model(classes=len(labels))[0].model_copy(update={"labels": labels})
    lines = dseg_table(spec).splitlines()
    assert lines[0] == "index\tname\tcolor\tfreesurfer_id"
    assert "10\tleft hippocampus\t#dcd814\t17" in lines


def test_a_second_run_takes_up_what_is_missing(
    toy: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    common = (toy, out, "participant", "--model", model)
    assert run(*common, "--participant-label", "M2000", "sub-M2002", "--session-label", "100") == 0
    first = capsys.readouterr().out
    assert first.count(" -> ") == 2
    assert "earlier run" not in first
    labels = next(out.glob("sub-M2000/**/*_dseg.nii.gz"))
    labels.unlink()  # as if the worker was lost
    assert run(*common) == 0
    second = capsys.readouterr().out.splitlines()
    assert len([line for line in second if "(from an earlier run)" in line]) == 1
    assert labels.is_file()
    assert run(*common, "--remove-below", "2") == 0
    assert "(from an earlier run)" not in capsys.readouterr().out


def test_a_scan_that_fails_does_not_stop_the_others(
    toy: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(toy / "sub-M2000", raw / "sub-M2000")
    bad = raw / "sub-bad" / "anat" / "sub-bad_T2w.nii.gz"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"no scan")
    assert run(raw, tmp_path / "out", "participant", "--model", model, "--n-procs", 2) == 1
    said = capsys.readouterr()
    assert f"error: {bad}: not a NIfTI" in said.err
    assert "1 of 2 scans failed" in said.err
    assert len(list((tmp_path / "out").glob("sub-*/**/*_mask.nii.gz"))) == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.html")) == ["sub-M2000.html"]


def spec_of(model: Path, *modality: str) -> ModelSpec:
    return read_spec(model / "model.json").model_copy(update={"modality": modality})


def names(root: Path, spec: ModelSpec, **chosen: Sequence[str]) -> list[str]:
    return [job.labels.name for job in find_jobs(root, root / "out", spec, **chosen)]


def test_scans_are_chosen_by_the_models_contrasts_and_have_names_of_their_own(model: Path, tmp_path: Path) -> None:
    for name in ("sub-1_T1w.nii", "sub-1_T2w.nii.gz", "sub-1_T2w.json", "sub-1_part-phase_T2w.nii.gz", "sub-1_dwi.nii"):
        (tmp_path / "sub-1" / "anat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sub-1" / "anat" / name).touch()
    assert names(tmp_path, spec_of(model, "T2w")) == ["sub-1_dseg.nii.gz"]
    both = ["sub-1_desc-T1w_dseg.nii.gz", "sub-1_desc-T2w_dseg.nii.gz"]
    assert names(tmp_path, spec_of(model, "T1w", "T2w")) == both
    assert names(tmp_path, spec_of(model)) == both
    with pytest.raises(ScanError, match=r"no scan for bright; expected sub-\*/\[ses-\*/\]anat/\*_FLAIR\.nii\.gz"):
        names(tmp_path, spec_of(model, "FLAIR"))
    with pytest.raises(ScanError, match=r"no sub-9; --participant-label takes labels of this data set"):
        names(tmp_path, spec_of(model, "T2w"), subjects=["9"])


def test_a_tissue_model_has_no_lesion_mask_and_needs_a_folder_of_its_own(
    toy: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = make_labels(["background", "bright"])
    bright_model(tmp_path / "tissue", model_id="tissue", task="tissue", modality=("T2w",), labels=labels)
    out = tmp_path / "out"
    words = ("participant", "--participant-label", "M2000", "--model")
    assert run(toy, out, *words, tmp_path / "tissue") == 0
    assert not list(out.rglob("*_mask*"))
    assert errors_of(out) == []
    assert run(toy, out, *words, model) == 2
    assert "holds 'MeshNet segmentations, model tissue'; give each model its own OUT_DIR" in capsys.readouterr().err


def test_a_run_that_cannot_start_says_why(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path / "out", "participant", "--model", model) == 2
    assert "no sub-* folder; expected a BIDS data set" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "out", "group") == 2
    assert "no results; run the participant level first" in capsys.readouterr().err
    (tmp_path / "sub-1" / "anat").mkdir(parents=True)
    write_head(tmp_path / "sub-1" / "anat" / "sub-1_T2w.nii")
    assert run(tmp_path, tmp_path, "participant", "--model", "nothing") == 2
    assert "nothing: no such folder and no known model" in capsys.readouterr().err
    nobody = "127.0.0.1:1"
    assert run(tmp_path, tmp_path / "out", "participant", "--model", model, "--ray-address", nobody) == 2
    assert "--ray-address 127.0.0.1:1: no Ray cluster answers there (Connection refused)" in capsys.readouterr().err
    (tmp_path / "dataset_description.json").write_text('{"Name": "raw data"}')
    assert run(tmp_path, tmp_path, "participant", "--model", model) == 2
    assert "holds 'raw data'" in capsys.readouterr().err


def options_of(model: Path) -> RunOptions:
    return RunOptions(model, None, 1, Settings(), "meshnet-bids")


def test_a_process_that_dies_fails_its_scans_and_is_named(
    toy: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = find_jobs(toy, tmp_path / "out", read_spec(model / "model.json"))
    monkeypatch.setattr("meshnet.bids.run_jobs.process", dies)
    outcomes = list(run_here(jobs[:2], options_of(model), processes=2))
    assert [outcome.state for outcome in outcomes] == ["failed"] * 2
    assert "the worker was lost" in outcomes[0].reason


def dies(job: object, options: RunOptions) -> Outcome:
    os._exit(9)


def dies_once(job: object, options: RunOptions) -> Outcome:
    """Ends its process at the first try of each scan."""
    mark = Path(f"{job.folder}-{job.stem}-tried")  # type: ignore[attr-defined]
    if not mark.exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        os._exit(9)
    return process(job, options)  # type: ignore[arg-type]


#: meshnet-bids with a process that ends at the first try of each scan.
_LOSING = """
import sys
from meshnet.bids import run_jobs
from meshnet.bids.cli import main
from tests.bids.test_bids_app import dies_once
run_jobs.process = dies_once
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.timeout(180)
def test_on_ray_a_scan_whose_worker_is_lost_runs_again(toy: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [toy, out, "participant", "--model", model, "--participant-label", "M2000", "--ray-address", "local"]
    done = subprocess.run(
        [sys.executable, "-c", _LOSING, *map(str, words), "--threads", "1"],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(out.rglob("*-tried"))
    assert read_sidecar(next(out.rglob("*_dseg.json"))) is not None


def test_a_derivative_without_a_place_is_refused_before_the_first_scan(
    toy: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run(toy, out, "participant", "--model", model) == 2
        sentence = f"{out}: no results can be written there ({tmp_path / 'file'} is a file); choose another OUT_DIR"
        assert sentence in capsys.readouterr().err


def test_a_reader_that_leaves_does_not_end_the_run(toy: Path, model: Path, tmp_path: Path) -> None:
    program = "import sys; from meshnet.bids.cli import main; sys.exit(main())"
    words = [toy, tmp_path / "out", "participant", "--model", model, "--participant-label", "M2000", "M2001"]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | true', "bash", sys.executable, "-c", program, *map(str, words)],
        env=os.environ | {"PYTHONPATH": paths, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert len(list((tmp_path / "out").rglob("*_dseg.nii.gz"))) == 2
