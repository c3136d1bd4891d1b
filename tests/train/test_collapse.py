"""A collapsed run is recognised and said to be one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from meshnet.train.cli import main
from meshnet.train.collapse import never_fell
from meshnet.train.config import compose_config
from meshnet.train.memory import recomputes
from meshnet.train.run_folder import collapse_of

pytestmark = pytest.mark.usefixtures("threads_restored")


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([0.7] * 40, True),
        ([0.7 - 0.01 * n for n in range(40)], False),
        ([0.5, 0.9] * 20, True),
        ([0.3 + 0.01 * n for n in range(40)], True),
        ([0.7] * 10, False),  # too few to judge
    ],
)
def test_a_loss_never_fell_where_its_end_is_no_lower_than_its_start(losses: list[float], expected: bool) -> None:
    assert never_fell(losses) == expected


def test_a_run_that_marks_nothing_is_flagged_in_folder_log_and_result(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.threads=1", "trainer.epochs=2"]
    # with a lesion weight of 0, everything becomes background
    given = [*small, f"data={prepared}", f"run='{run}'", "loss.class_weights=[1,0]", "optimizer.lr=0.05"]
    assert main(given) == 0
    assert collapse_of(run) == "all background"
    assert json.loads((run / "finished.json").read_text())["collapsed"] == "all background"
    said = capsys.readouterr()
    assert f"{run}: collapsed: all background; train another restart" in said.err
    assert "collapsed: all background" in said.out


def test_activations_are_recomputed_only_where_memory_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device, config = torch.device("cpu"), compose_config(["model=meshnet16"])
    monkeypatch.setattr("meshnet.train.memory._device_bytes", lambda _: 80 * 2**30)
    assert not recomputes(config, (256, 256, 256), device)
    monkeypatch.setattr("meshnet.train.memory._device_bytes", lambda _: 16 * 2**30)
    assert recomputes(config, (256, 256, 256), device)
    assert not recomputes(config, (64, 64, 64), device)
    assert recomputes(compose_config(["trainer.checkpoint_activations=true"]), (8, 8, 8), device)
    assert recomputes(compose_config(["model=vnet"]), (256, 256, 256), device)
