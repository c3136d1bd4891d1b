"""meshnet-tune: the paper's search space, refused settings, and a killed search that is resumed to its end."""

from __future__ import annotations

import csv
import subprocess
import time
from pathlib import Path

import pytest

from meshnet.cluster import tune
from meshnet.cluster.search import Search, Trial, drawn_overrides, ranked, write_best
from meshnet.cohort.prepare import read_index
from meshnet.train.config import compose_config
from tests.helpers.paths import script
from tests.helpers.processes import begun

FIXED = ["trainer=cpu", "model.channels=5", "model.dilations=[1,2,1]", "trainer.save_every_s=0"]


def search(*fixed: str) -> Search:
    return Search(Path("data"), Path("out"), fixed, 50, 15, 50, 2, (0, 1, 2), 0)


def test_the_space_is_the_papers() -> None:
    drawn = {key: [domain.sample() for _ in range(400)] for key, domain in tune.space(search()).items()}
    assert set(drawn["model.channels"]) == set(range(5, 22))
    for key in ("optimizer.lr", "optimizer.weight_decay"):
        assert 1e-4 <= min(drawn[key]) < 2e-4
        assert 2e-2 < max(drawn[key]) <= 4e-2
        assert 0.4 < sum(value < 2e-3 for value in drawn[key]) / 400 < 0.6  # half below the geometric mean
    assert 0 <= min(drawn["loss.class_weights"]) < 0.1
    assert 0.9 < max(drawn["loss.class_weights"]) <= 1
    assert set(drawn["schedule.warmup"]) == {0.02, 0.1, 0.2}


def test_an_override_fixes_what_it_names_and_the_rest_is_searched() -> None:
    assert list(tune.space(search("model.channels=5", "schedule.warmup=0.1"))) == [
        "optimizer.lr",
        "optimizer.weight_decay",
        "loss.class_weights",
    ]


def test_the_papers_fidelity_is_judged_at_15_30_and_50_epochs() -> None:
    assert search().rungs() == [15, 30, 50]


def test_a_trial_that_came_further_outranks_a_better_score_after_fewer_epochs() -> None:
    stopped, winner = Trial("a", 15, 0.6, "", ()), Trial("b", 50, 0.5, "", ())
    second, failed = Trial("c", 50, 0.4, "", ()), Trial("d", 50, 0.9, "lost", ())
    assert ranked([stopped, failed, second, winner]) == [winner, second, stopped, failed]


def test_the_winner_is_a_file_that_meshnet_train_takes(tmp_path: Path) -> None:
    drawn = {"model.channels": 9, "optimizer.lr": 0.0123456789, "loss.class_weights": 0.25, "schedule.warmup": 0.02}
    best = Trial("x", 50, 0.7, "", drawn_overrides(drawn))
    write_best(tmp_path / "best.txt", search("model.activation=elu"), best)
    config = compose_config([f"@{tmp_path / 'best.txt'}"])
    assert (config.model.channels, config.model.activation) == (9, "elu")
    assert (config.optimizer.lr, config.loss.class_weights) == (0.0123457, [0.25, 1.0])
    assert (config.schedule.warmup, config.trainer.epochs) == (0.02, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min-epochs", "9", "--max-epochs", "3"], "expected 1 <= min <= max"),
        (["--reduction-factor", "1"], "--reduction-factor: expected a whole number of 2 or more, got 1"),
        (["--trials", "0"], "--trials: expected a whole number of 1 or more, got 0"),
        (["--min-epochs", "nan"], "--min-epochs: expected a whole number of 1 or more, got nan"),
        (["--seed", "-1"], "--seed: expected a whole number of 0 or more, got -1"),
        (["--concurrent", "0"], "--concurrent: expected a whole number of 1 or more, got 0"),
        (["--cpus-per-trial", "0"], "--cpus-per-trial: expected a whole number of 1 or more, got 0"),
        (["--gpus-per-trial", "nan"], "--gpus-per-trial: expected a number of 0 or more, got nan"),
        (["--gpus-per-trial", "-1"], "--gpus-per-trial: expected a number of 0 or more, got -1"),
        (["--inner-folds", "0,0"], "--inner-folds: expected each fold once, got 0,0"),
        (["--inner-folds", "0,3"], "--inner-folds: expected some of 0..2, got (0, 3)"),
        (["--inner-folds", "all"], "--inner-folds: expected numbers joined by commas, got 'all'"),
        (["--ray-address", "127.0.0.1:1"], "--ray-address 127.0.0.1:1: no Ray cluster answers there"),
        (["fold=1"], "fold=1: meshnet-tune sets this itself"),
        (["optimizer.learning_rate=1"], "learning_rate"),
        (["model=vnet"], "model=vnet: the searched model.channels is MeshNet's"),
    ],
)
def test_a_search_that_cannot_run_is_refused_before_any_worker_starts(
    prepared: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--data", str(prepared), "-o", str(tmp_path / "out")]
    try:
        code: object = tune.main([*size, *arguments])
    except SystemExit as refused:  # by argparse
        code = refused.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_killed_search_goes_on_to_its_winner(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "search"
    size = ["--trials", "4", "--min-epochs", "1", "--max-epochs", "4", "--inner-folds", "0,1", "--cpus", "1"]
    arguments = ["--data", str(prepared), "-o", str(out), *size, *FIXED]
    command = [script("meshnet-tune"), *arguments]
    with begun("meshnet-tune", *arguments, log=tmp_path / "log") as process:
        deadline = time.monotonic() + 600
        while len(list(out.glob("trials/*/inner1/state.pt"))) < 2:  # the first trial is over
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    started = {path.name for path in (out / "trials").iterdir()}

    resumed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stderr
    with (out / "trials.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 4
    assert started <= {t["trial"] for t in trials}  # trials that had started are continued, not replaced
    assert {int(t["epochs"]) for t in trials} <= {1, 2, 4}
    best = max((t for t in trials if t["epochs"] == "4"), key=lambda t: float(t["dice"]))
    winner = compose_config([f"@{out / 'best.txt'}"])
    assert f"optimizer.lr={winner.optimizer.lr:.6g}" in best["overrides"]
    assert winner.model.dilations == [1, 2, 1]

    # no case of the outer test fold was trained on or validated with
    runs = list((out / "trials").glob("*/inner*/config.yaml"))
    assert runs
    assert all("fold: 0\n" in run.read_text() for run in runs)
    assert any(row.outer_fold == 0 for row in read_index(prepared))

    assert tune.main([*arguments, "optimizer.eps=1e-8"]) == 2
    assert "cannot be resumed: fixed was" in capsys.readouterr().err
