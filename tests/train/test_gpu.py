"""Training on a CUDA device: half precision, resumption to the same weights, and the memory check on a real GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from meshnet.lab import bench_train
from meshnet.lab.bench_train import Setup
from meshnet.model.checkpoint import load_checkpoint
from meshnet.train.config import compose_config
from meshnet.train.loop import train
from meshnet.train.losses import batch_loss
from meshnet.train.memory import bytes_needed
from tests.helpers.make_arc import prepare_arc

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared cases on a finer grid than in the tests for a CPU."""
    return prepare_arc(tmp_path_factory.mktemp("arc"), subjects=6, size=32, voxel_size_mm=5.5)


def test_a_run_in_half_precision_that_stops_on_the_way_ends_with_the_same_weights(
    prepared: Path, tmp_path: Path
) -> None:
    weights = []
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        for stops in ((), (2,)):
            run = tmp_path / f"stops{len(stops)}"
            config = compose_config([f"data={prepared}", f"run='{run}'", "trainer.epochs=6"])
            for epoch in stops:
                train(config, command="test", until_epoch=epoch)
            train(config, command="test")
            weights.append(load_checkpoint(run / "last")[1])
    finally:
        torch.use_deterministic_algorithms(False)
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name], tensor, rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_loss_does_not_make_the_cpu_wait_for_the_gpu() -> None:
    logits = torch.rand(2, 5, 16, 16, 16, device="cuda", requires_grad=True)
    labels = torch.randint(0, 5, (2, 16, 16, 16), device="cuda")
    config = compose_config(["data=synth_heads", "loss.class_weights=[1,1,1,1,2]", "loss.dice=1", "run=x"]).loss
    batch_loss(logits, labels, config, (False, False))  # the class weights cross the bus once
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch_loss(logits, labels, config, (False, True)).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_needs_no_less_memory_than_the_check_asks_for() -> None:
    cost = bench_train.measure(Setup("meshnet16", 96, True, True), "cuda", 0, 1)
    assert cost.peak_bytes >= bytes_needed(compose_config(["model=meshnet16"]), (96, 96, 96))


def test_a_network_too_large_for_the_card_is_refused_with_its_need(prepared: Path, tmp_path: Path) -> None:
    config = compose_config([f"data={prepared}", f"run='{tmp_path}/run'", "model.channels=200000"])
    with pytest.raises(MemoryError, match="bytes, one step on"):
        train(config, command="test")
