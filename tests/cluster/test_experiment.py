"""meshnet-experiment: a lost worker, a half-done run, a failed run, and the same command started again."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from meshnet.cluster import experiment
from meshnet.cluster.experiment import plan
from meshnet.model.checkpoint import load_checkpoint
from meshnet.train.config import compose_config
from meshnet.train.loop import train
from meshnet.train.run_folder import is_finished
from tests.helpers.paths import script
from tests.helpers.processes import begun

SMALL = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.epochs=40", "trainer.save_every_s=0"]


def worker_of(driver: psutil.Popen) -> psutil.Process | None:
    """The process that trains a run for `driver`."""
    processes = [p for p in driver.children(recursive=True) if p.is_running()]
    return next((p for p in processes if p.cmdline() and p.cmdline()[0].startswith("ray::_run")), None)


def table_of(out: Path) -> dict[tuple[str, int], dict[str, str]]:
    with (out / "experiment.csv").open(newline="") as file:
        return {(row["model"], int(row["fold"])): row for row in csv.DictReader(file)}


def test_an_experiment_survives_a_lost_worker_and_names_what_failed(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    models = ["--models", "meshnet5,vnet", "--folds", "0,1", "--restarts", "3"]
    arguments = ["--data", str(prepared), "-o", str(out), *models, "--cpus", "1", *SMALL]
    configs = {}
    for fold in (0, 1):
        own = ["model=meshnet5", "id=meshnet5", f"data={prepared}", f"fold={fold}", "restart=3", "trainer.threads=1"]
        configs[fold] = compose_config([*own, f"run='{out}/meshnet5/fold{fold}-restart3'", *SMALL])
    train(configs[1], command="half", until_epoch=20)  # an earlier experiment was stopped here
    assert not is_finished(out / "meshnet5" / "fold1-restart3")

    with begun("meshnet-experiment", *arguments, log=tmp_path / "log") as driver:
        state = out / "meshnet5" / "fold0-restart3" / "state.pt"
        deadline = time.monotonic() + 600
        while not state.is_file():
            assert driver.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lost = worker_of(driver)
        assert lost is not None
        lost.send_signal(signal.SIGKILL)
        assert not is_finished(state.parent)
        assert driver.wait(timeout=600) == 1, (tmp_path / "log").read_text()

    rows = table_of(out)
    assert {key: row["state"] for key, row in rows.items()} == {
        **dict.fromkeys([("meshnet5", 0), ("meshnet5", 1)], "finished"),
        **dict.fromkeys([("vnet", 0), ("vnet", 1)], "failed"),
    }
    assert "expected every side to be a multiple of 16" in rows["vnet", 0]["reason"]
    assert "Traceback" in (out / "vnet" / "fold0-restart3" / "error.txt").read_text()
    assert "vnet/fold1-restart3: ConfigError: model.kind: vnet: volume" in (tmp_path / "log").read_text()

    # both ended with the weights of an uninterrupted run
    for fold, config in configs.items():
        run = Path(config.run)
        config.run = str(tmp_path / f"whole{fold}")
        train(config, command="whole")
        for name, tensor in load_checkpoint(tmp_path / f"whole{fold}" / "last")[1].items():
            np.testing.assert_array_equal(load_checkpoint(run / "last")[1][name], tensor, err_msg=name)

    # finished runs are not run again and need no worker
    alone = [argument if argument != "meshnet5,vnet" else "meshnet5" for argument in arguments]
    assert experiment.main(alone) == 0
    assert "0 finished, 2 were before, 0 failed" in capsys.readouterr().out
    # unless the settings are others
    assert experiment.main([*alone, "optimizer.lr=0.5"]) == 1
    assert "cannot be resumed: optimizer.lr was 0.001, now 0.5" in capsys.readouterr().err


def test_a_full_table_comes_before_the_next_restart() -> None:
    runs = plan(["a", "b"], [0, 2], [0, 1], Path("runs"))
    assert [(r.restart, r.model, r.fold) for r in runs][:5] == [
        (0, "a", 0), (0, "a", 2), (0, "b", 0), (0, "b", 2), (1, "a", 0),
    ]  # fmt: skip
    assert runs[1].folder == "runs/a/fold2-restart0"


def test_a_meshnet_has_ten_restarts_and_a_baseline_one_unless_asked() -> None:
    runs = plan(["meshnet5", "vnet"], [0, 1, 2], None, Path("runs"))
    assert sum(r.model == "meshnet5" for r in runs) == 30
    assert [(r.fold, r.restart) for r in runs if r.model == "vnet"] == [(0, 0), (1, 0), (2, 0)]
    assert len(plan(["vnet"], [0], [0, 1], Path("runs"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "0-3"], "--folds: expected some of 0..2, got 0-3"),
        (["--restarts", "ten"], "--restarts: expected numbers or ranges joined by commas (0,2 or 0-9), got 'ten'"),
        (["--models", "meshnet7"], "meshnet7"),
        (["--models", "meshnet5,meshnet5"], "--models: meshnet5 is in it twice; expected each once"),
        (["--folds", "2-0"], "--folds: expected a range from low to high such as 0-2, got 2-0"),
        (["--folds", "0-2,1"], "--folds: 1 is in it twice; expected each once"),
        (["--retries", "-1"], "--retries: expected a whole number of 0 or more, got -1"),
        (["--cpus-per-run", "0"], "--cpus-per-run: expected a whole number of 1 or more, got 0"),
        (["--gpus-per-run", "inf"], "--gpus-per-run: expected a number of 0 or more, got inf"),
        (["--cpus", "0"], "--cpus: expected a whole number of 1 or more, got 0"),
        (["--ray-address", "127.0.0.1:1"], "--ray-address 127.0.0.1:1: no Ray cluster answers there"),
        (["fold=1"], "fold=1: meshnet-experiment sets this itself; see --folds"),
        (["trainer.devices=2"], "takes one device"),
    ],
)
def test_an_experiment_that_cannot_run_is_refused(
    prepared: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = experiment.main(["--data", str(prepared), "-o", str(tmp_path / "out"), *arguments])
    except SystemExit as refused:  # by argparse
        code = refused.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_more_cores_than_ray_has_are_refused(prepared: Path, tmp_path: Path) -> None:
    command = [script("meshnet-experiment"), "--data", str(prepared), "-o", str(tmp_path / "out")]
    more = ["--cpus", "1", "--cpus-per-run", "64"]
    result = subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 2
    assert "--cpus-per-run: expected at most 1, what Ray has here, got 64" in result.stderr
    assert not (tmp_path / "out").exists()
