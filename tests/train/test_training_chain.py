"""The whole way on a small data set in ARC's layout: prepare, tune, train, evaluate, report, export, predict.

Takes minutes on two cores. MeshNet-5 is the paper's (ReLU, BatchNorm, 5,682 parameters); the volumes are small, 20^3
voxels of 8.4 mm. In some hundred steps at the paper's learning rate of 1e-3 the network predicts background only, so
rate and warm-up are from the upper end of the paper's search space, and soft Dice is added to the loss. The search
draws weight decay and class weights.
"""

from __future__ import annotations

import csv
import subprocess
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from export import cli as export_cli
from meshnet.cohort import prepare
from meshnet.cohort.prepare import Row, read_index
from meshnet.infer import predict
from meshnet.model.checkpoint import load_checkpoint
from meshnet.score import evaluate
from meshnet.score.metrics import dice
from meshnet.train.run_folder import is_finished
from tests.helpers.make_arc import make_arc
from tests.helpers.paths import script
from tests.helpers.processes import begun

pytestmark = pytest.mark.timeout(
    2400
)  # the first test waits for the whole training, which takes long on a busy machine

SIZE, VOXEL_SIZE_MM = 20, 8.4
RECIPE = ["trainer=cpu", "model.channels=5", "loss.dice=1", "optimizer.lr=0.02", "schedule.warmup=0.2"]


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain") / "ds004884"
    make_arc(root, subjects=12, lesion_radius_mm=(20, 32))  # 34 to 137 mL, ARC's middle quartiles
    return root


@pytest.fixture(scope="module")
def prepared(bids: Path) -> Path:
    out = bids.parent / "prepared"
    grid = ["--size", str(SIZE), "--voxel-size-mm", str(VOXEL_SIZE_MM), "--workers", "2"]
    assert prepare.main([str(bids), str(out), *grid]) == 0
    return out


@pytest.fixture(scope="module")
def best(prepared: Path) -> Path:
    """A search of a few trials: overrides for meshnet-train."""
    out = prepared.parent / "search"
    size = ["--trials", "4", "--min-epochs", "3", "--max-epochs", "9", "--inner-folds", "0", "--cpus", "2"]
    run("meshnet-tune", "--data", str(prepared), "-o", str(out), *size, *RECIPE)
    return out / "best.txt"


@pytest.fixture(scope="module")
def runs(prepared: Path, best: Path) -> Path:
    """Two folds with two restarts each, killed once and started again."""
    out = prepared.parent / "runs"
    which = ["--models", "meshnet5", "--folds", "0,1", "--restarts", "0,1", "--cpus", "2"]
    recipe = [f"@{best}", "trainer.epochs=40", "trainer.save_every_s=2"]
    command = ["meshnet-experiment", "--data", str(prepared), "-o", str(out), *which, *recipe]
    with begun(*command, log=out.parent / "killed.log") as process:
        deadline = time.monotonic() + 600
        while not list(out.glob("*/*/state.pt")):
            assert process.poll() is None, (out.parent / "killed.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not any(is_finished(run) for run in out.glob("*/*"))
    run(*command)
    return out


@pytest.fixture(scope="module")
def report(prepared: Path, runs: Path) -> Path:
    out = prepared.parent / "report"
    options = ["--reference", "MeshNet-5", "--device", "cpu"]
    assert evaluate.main([str(runs), "--data", str(prepared), "-o", str(out), *options]) == 0
    return out


def run(command: str, *arguments: str) -> None:
    """Run a command in a separate process: Ray leaves threads and files open in the process that starts it."""
    result = subprocess.run([script(command), *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def held_out(prepared: Path, fold: int) -> list[Row]:
    return [row for row in read_index(prepared) if row.outer_fold == fold]


def test_the_trained_meshnet5_finds_the_lesions_of_held_out_subjects(prepared: Path, report: Path) -> None:
    with (report / "all-metrics.csv").open(newline="") as file:
        table = {row["metric"]: row for row in csv.DictReader(file)}
    subjects = {row.subject for fold in (0, 1) for row in held_out(prepared, fold)}
    assert table["dice_lesion"]["model"] == "MeshNet-5"
    assert int(table["dice_lesion"]["parameters"]) == 5_682
    assert int(table["dice_lesion"]["subjects"]) == len(subjects)
    assert float(table["dice_lesion"]["mean"]) >= 0.8
    # as the paper counts it, the same masks look better still
    assert float(table["dice_macro"]["mean"]) > float(table["dice_lesion"]["mean"])
    assert "MeshNet-5" in (report / "report.html").read_text(encoding="utf-8")


def test_the_exported_network_finds_them_in_the_scans_as_they_came(
    bids: Path, prepared: Path, runs: Path, tmp_path: Path
) -> None:
    model = runs / "meshnet5" / "fold0-restart0" / "last"
    assert load_checkpoint(model)[0].input.size == (SIZE, SIZE, SIZE)
    for kind in ("onnx", "web"):
        assert export_cli.main([str(model), "--format", kind, "-o", str(tmp_path / kind)]) == 0

    cases = held_out(prepared, 0)
    scans = [next(bids.glob(f"sub-*/ses-*/anat/{row.name}.nii.gz")) for row in cases]
    out = tmp_path / "labels"
    assert predict.main([str(model), *map(str, scans), "-o", str(out), "-q"]) == 0
    scores = []
    for row, scan in zip(cases, scans, strict=True):
        labels = nib.load(out / f"{row.name}_{load_checkpoint(model)[0].id}.nii.gz")
        mask = nib.load(next(bids.glob(f"derivatives/lesion_masks/*/*/anat/{row.name}_desc-lesion_mask.nii.gz")))
        np.testing.assert_allclose(labels.affine, nib.load(scan).affine, atol=1e-4)
        scores.append(dice(np.asarray(labels.dataobj) > 0, np.asarray(mask.dataobj) > 0))
    assert np.mean(scores) >= 0.7  # 8.4 mm voxels on grids of about 3 mm
