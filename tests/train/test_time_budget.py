"""A run that ends after some seconds, items loaded ahead, and losses that are read together."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch.optim.lr_scheduler import OneCycleLR

from meshnet.train import loader
from meshnet.train.cli import main
from meshnet.train.config import DataConfig, compose_config
from meshnet.train.loader import make_loader, worker_count
from meshnet.train.run_log import UnreadLosses
from meshnet.train.sources import open_source
from meshnet.train.time_budget import TimeBudget, step_schedule

pytestmark = pytest.mark.usefixtures("threads_restored")


def one_cycle(steps: int) -> tuple[OneCycleLR, torch.optim.Optimizer]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    return OneCycleLR(optimizer, max_lr=1.0, total_steps=steps + 1, pct_start=0.1), optimizer


def rates(steps: int, shares: list[float]) -> list[float]:
    schedule, optimizer = one_cycle(steps)
    found = []
    for step, share in enumerate(shares, start=1):
        optimizer.step()
        step_schedule(schedule, step, steps, share)
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def test_without_a_limit_the_rate_follows_the_steps() -> None:
    schedule, optimizer = one_cycle(20)
    plain = []
    for _ in range(20):
        optimizer.step()
        schedule.step()
        plain.append(float(optimizer.param_groups[0]["lr"]))
    assert rates(20, [0.0] * 20) == plain


def test_the_rate_ends_with_the_time_however_few_steps_were_done() -> None:
    full = rates(1000, [0.0] * 1000)
    timed = rates(1000, [number / 10 for number in range(1, 11)])
    assert timed[4] == pytest.approx(full[499], rel=0.01)  # half the time has gone
    assert timed[-1] == pytest.approx(min(full), rel=0.1)
    assert timed[-1] < full[9] / 100  # ten steps into the whole schedule, the rate is still high


def test_the_clock_goes_on_where_an_earlier_call_stopped() -> None:
    budget = TimeBudget(Fabric(accelerator="cpu", devices=1), 100.0)
    budget.begin(60.0)
    assert 0.6 <= budget.share() < 0.7
    budget.begin(500.0)
    assert budget.share() == 1.0
    assert TimeBudget(Fabric(accelerator="cpu", devices=1), 0.0).share() == 0.0


def test_a_run_with_a_time_limit_ends_validates_and_is_finished(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.threads=1", f"data={prepared}"]
    limits = ["trainer.epochs=2000", "trainer.stop_after_s=2", "trainer.log_every=1", "data.inner_fold=0"]
    assert main([*small, *limits, f"run='{run}'"]) == 0
    finished = json.loads((run / "finished.json").read_text())
    assert 1 <= finished["steps"] < 2000
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["step"]) == finished["steps"]
    assert rows[-1]["dice"]
    assert float(rows[-1]["lr"]) < 1e-3 / 10  # the end of the schedule
    spec = json.loads((run / "last" / "model.json").read_text())
    assert f"{finished['steps']} of " in spec["provenance"]["data"]
    assert main([*small, *limits, f"run='{run}'"]) == 0  # nothing is left to do
    assert json.loads((run / "finished.json").read_text()) == finished


def test_workers_are_for_a_gpu_that_must_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert worker_count(DataConfig(), cuda) == 11
    assert worker_count(DataConfig(), cpu) == 0
    assert worker_count(DataConfig(workers=3), cpu) == 3
    assert worker_count(DataConfig(source="synth_heads", device="cuda"), cuda) == 0


def test_workers_load_the_same_items_with_labels_of_one_byte(prepared: Path) -> None:
    config = compose_config([f"data={prepared}", "data.prefetch=2", "run=x"])
    source = open_source(config)
    here = list(make_loader(source, config.data, torch.device("cpu"), 2, 5))
    config.data.workers = 1
    there = list(make_loader(source, config.data, torch.device("cpu"), 2, 5))
    assert len(here) == len(there) == 3
    for (image, labels, lesion_only), (other_image, other_labels, other_lesion_only) in zip(here, there, strict=True):
        assert labels.dtype == torch.uint8
        assert torch.equal(image, other_image)
        assert torch.equal(labels, other_labels)
        assert lesion_only == other_lesion_only == (False,)


def test_losses_are_read_together_and_the_first_bad_one_is_named(tmp_path: Path) -> None:
    losses = UnreadLosses()
    for value in (1.0, 0.5):
        losses.add(torch.tensor(value))
    assert losses.read(tmp_path, 2) == 0.5
    for value in (0.4, math.inf, math.nan, 0.2):
        losses.add(torch.tensor(value))
    with pytest.raises(FloatingPointError, match=r"loss is inf at step 4; lower optimizer\.lr"):
        losses.read(tmp_path, 6)


def test_the_choice_for_a_gpu_composes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trainer = compose_config(["trainer=cuda", f"data={tmp_path}"]).trainer
    assert (trainer.accelerator, trainer.precision, trainer.checkpoint_activations) == ("cuda", "bf16-mixed", None)
    assert trainer.tf32
    assert trainer.cudnn_benchmark
