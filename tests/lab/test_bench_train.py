"""The training benchmark measures time, memory and rate, each setup in a new process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from meshnet.lab import bench_train
from meshnet.lab.bench_train import Cost, Offer, Setup, balance, setups


def test_it_prints_time_memory_and_rate_with_and_without_activation_checkpointing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--size", "16", "--threads", "1", "--steps", "0", "--device", "cpu"]
    assert bench_train.main(["--models", "meshnet5", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"offered: [\d.e+]+ items/s of 16x16x16 voxels, 0 workers", lines.pop(0))
    assert len(lines) == 4
    assert all(re.search(r"items/s consumed, loading takes \d+ % of the time$", line) for line in lines)
    found = [re.search(r"([\d.]+) s/step +([\d.]+) GiB peak +([\d.]+) GFLOP +([\d.]+) GFLOP/s", line) for line in lines]
    assert all(found)
    operations = [float(match[3]) for match in found if match]
    # 27 taps, 1 to 5 and eight times 5 to 5 channels, the classifier; 4 or 3 passes; a multiply-add is two
    forward = 2 * 16**3 * (27 * (5 + 8 * 25) + 5 * 2) / 1e9
    assert operations == pytest.approx([4 * forward, 4 * forward, 3 * forward, 3 * forward], abs=0.06)


def test_a_setup_that_cannot_run_is_named_and_the_exit_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_train.main(["--models", "resunet", "--baseline-size", "20", "--device", "cpu"]) == 1
    assert "not measured: meshnet.train.settings.ConfigError: model.kind: resunet: volume" in capsys.readouterr().out
    assert bench_train.main(["--models", "meshnet7"]) == 2


def test_the_side_that_waits_is_named() -> None:
    slow, fast = Cost(2.0, 1.0, 1), Cost(0.01, 1.0, 1)
    assert balance(slow, Offer(4.0, (8, 8, 8), 3)) == "0.5 items/s consumed, the network is slower"
    assert balance(fast, Offer(4.0, (8, 8, 8), 3)) == "100 items/s consumed, the loader is slower"
    assert balance(slow, Offer(0.5, (8, 8, 8), 0)) == "0.5 items/s consumed, loading takes 50 % of the time"


def test_the_data_of_a_training_are_timed(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offer = bench_train.measure_offer([f"data={prepared}", "data.workers=1"], 0, torch.device("cpu"), 2)
    assert (offer.shape, offer.workers) == ((20, 20, 20), 1)
    assert offer.items_per_s > 0
    assert bench_train.main(["--models", "meshnet5", "--device", "cpu", "--source", "data=nowhere"]) == 2
    assert "bench_train: --source: data=nowhere: no such folder" in capsys.readouterr().err


def test_every_network_is_measured_meshnets_in_both_layouts() -> None:
    assert list(setups(["meshnet16", "unetr"], 256, 64)) == [
        Setup("meshnet16", 256, True, True),
        Setup("meshnet16", 256, False, True),
        Setup("meshnet16", 256, True, False),
        Setup("meshnet16", 256, False, False),
        Setup("unetr", 64, True, True),
        Setup("unetr", 64, True, False),
    ]
