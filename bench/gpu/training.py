"""Training steps of every network with and without activation checkpointing, and the tests marked `gpu`."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.deno import REPO
from bench.gpu.parts import Add, Clock, NotHereError, Setting, run_child
from bench.gpu.peers import run_rows
from meshnet.lab.bench_train import Setup
from meshnet.train.baselines import BASELINES

#: MeshNets whose step is measured.
MESHNETS = ("meshnet5", "meshnet16", "meshnet26")


def all_networks() -> list[str]:
    """Values of `model=` of meshnet-train, small networks first."""
    return [*MESHNETS, *BASELINES]


def measure_training(setting: Setting, clock: Clock, add: Add) -> None:
    """The part `training`: a row per network, with and without recomputed activations."""
    setups = [
        Setup(network, setting.baseline_size if network in BASELINES else setting.size, True, checkpoint)
        for network in setting.networks
        for checkpoint in (False, True)
    ]
    titles = [
        {"network": setup.model, "size": setup.size, "checkpointed": setup.checkpoint_activations} for setup in setups
    ]
    jobs = [{"setup": asdict(setup), "device": setting.device, "steps": setting.steps} for setup in setups]
    for row in run_rows(("bench.gpu.train_child", "training"), titles, jobs, setting, clock):
        add(row)


def measure_tests(setting: Setting, clock: Clock, add: Add) -> None:
    """The part `tests`: one row with the counts of pytest."""
    files = gpu_test_files()
    if setting.device != "cuda":
        raise NotHereError(f"PyTorch finds no GPU here ({len(files)} files hold tests marked gpu)")
    # Warnings are errors in the project's tests; those of another version of PyTorch say nothing about the GPU.
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "-W", "default", "--tb=line"]
    command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
    ended = run_child(command, clock, environment={**os.environ})
    add(counts(ended.output) | {"files": [str(path) for path in files], "output": ended.output[-4000:]})
    if ended.why:
        raise RuntimeError(ended.why)


def gpu_test_files() -> list[Path]:
    """Test files that hold a test marked `gpu`, relative to the project."""
    found = [path for path in sorted((REPO / "tests").rglob("test_*.py")) if "pytest.mark.gpu" in path.read_text()]
    return [path.relative_to(REPO) for path in found]


def counts(output: str) -> dict[str, Any]:
    """Passed, failed and other tests, from the last line of pytest."""
    last = output.strip().splitlines()[-1] if output.strip() else ""
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|error|errors)", last)}
