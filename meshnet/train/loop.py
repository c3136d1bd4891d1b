"""`meshnet-train`: one training run, resumable at any step.

    meshnet-train model=meshnet26 data=FOLDER fold=0 restart=3     the paper's recipe on prepared data
    meshnet-train +experiment=tissue                               a model of our own, synthetic data

A run's folder holds `config.yaml`, `log.csv`, TensorBoard events, `last/` and `best/` (model folders)
and `state.pt` (everything needed to go on). Starting the same command again resumes it; `finished.json`
appears with the last step.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric, seed_everything
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from tqdm import tqdm

from meshnet.cohort.bids import CohortError
from meshnet.model.spec import SpecError
from meshnet.train.config import ConfigError, TrainConfig, as_yaml, compose_config
from meshnet.train.losses import segmentation_loss
from meshnet.train.networks import Trained, build_network, check_memory, freeze_norm, save_network
from meshnet.train.optimizer import build_optimizer, build_schedule
from meshnet.train.run_folder import check_same_run, keep_cases, mark_finished
from meshnet.train.run_log import LogFile, keep_log_until
from meshnet.train.sources import Source, Steps, open_source
from meshnet.train.validate import validate


@dataclass
class Progress:
    """Where a run stands: the next step, the best validation score so far (-1 before any), and the score at
    this very step (None where it was not validated)."""

    step: int = 0
    best: float = -1.0
    score: float | None = None


@dataclass
class Run:
    """A run in progress: what the loop needs, and what is saved to go on from. steps: of the optimiser, each over one
    volume per device."""

    fabric: Fabric
    config: TrainConfig
    source: Source
    network: nn.Module
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: OneCycleLR
    folder: Path
    command: str
    progress: Progress
    steps: int

    def state(self) -> dict[str, Any]:
        """What Fabric saves and loads."""
        scale = self.fabric.strategy.precision.state_dict()  # of the loss, in half precision; else nothing
        return ({"precision": scale} if scale else {}) | {
            "network": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "step": self.progress.step,
            "best": self.progress.best,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the run is complete, 2 for a configuration that cannot be run."""
    parser = argparse.ArgumentParser(
        prog="meshnet-train",
        description="Train one model. Starting the same command again resumes a run.",
        epilog="Groups: model=meshnet5|meshnet16|meshnet26|small|<baseline>, data=FOLDER|synth_tissue|synth_lesion, "
        "optimizer=adamw|muon, trainer=default|cpu, +experiment=NAME (a file of "
        "meshnet/conf/experiment). "
        "Single values: optimizer.lr=2e-3, trainer.epochs=10 (epochs), trainer.save_every_s=60 (seconds). "
        "@FILE takes overrides from a file of meshnet-tune.",
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, key=value")
    parser.add_argument("--print-config", action="store_true", help="print the resolved configuration and stop")
    parsed = parser.parse_args(arguments)
    try:
        config = compose_config(parsed.overrides)
        if parsed.print_config:
            print(as_yaml(config), end="")
            return 0
        train(config, command="meshnet-train " + " ".join(arguments if arguments is not None else sys.argv[1:]))
    except (ConfigError, CohortError, SpecError, FileNotFoundError, MemoryError, FloatingPointError) as error:
        print(f"meshnet-train: {error}", file=sys.stderr)
        return 2
    return 0


def train(config: TrainConfig, *, command: str, until_epoch: int | None = None) -> Progress:
    """Run (or resume) to the last step; returns where the run stands, scores being mean foreground Dice.

    until_epoch: stop, validated and saved, after so many epochs; the schedule stays that of `trainer.epochs`, so
    that going on later ends with the weights of a run that never stopped. Raises ConfigError where the
    run's folder was started with settings that give another result.
    """
    folder = Path(config.run)
    if (folder / "state.pt").is_file():
        check_same_run(folder, config)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    fabric = _fabric(config)
    fabric.launch()
    try:
        return _train(config, fabric, command, until_epoch)
    except torch.OutOfMemoryError as error:  # what `check_memory` could not foresee
        raise MemoryError(
            f"{fabric.device}: too little memory for one step of {config.model.kind}: {str(error).splitlines()[0]} "
            f"Use trainer.checkpoint_activations=true, a smaller --size of meshnet-prepare, or a larger GPU"
        ) from error


def _train(config: TrainConfig, fabric: Fabric, command: str, until_epoch: int | None) -> Progress:
    seed_everything(config.seed + 1000 * config.restart, workers=False, verbose=False)
    run = _start(fabric, config, command)
    if (run.folder / "state.pt").is_file():
        keep_cases(run.folder, run.source.cases)
        _resume(run)
    elif fabric.is_global_zero:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "config.yaml").write_text(as_yaml(config))
        (run.folder / "log.csv").unlink(missing_ok=True)  # of a run killed before its first save
        (run.folder / "cases.json").unlink(missing_ok=True)
        keep_cases(run.folder, run.source.cases)
    if until_epoch is None:
        _loop(run, run.steps)
    else:
        _loop(run, min(_steps(fabric, until_epoch * run.source.steps_per_epoch), run.steps))
        if run.progress.score is None:  # stopped here before: the score is not part of the saved state
            run.progress.score = validate(run.fabric, run.model, run.source)
    if run.progress.step == run.steps and fabric.is_global_zero:
        mark_finished(run.folder, run.progress.step)
    return run.progress


def _steps(fabric: Fabric, volumes: int) -> int:
    """Optimiser steps over so many volumes: every device takes one of its own in each."""
    return -(-volumes // fabric.world_size)


def _start(fabric: Fabric, config: TrainConfig, command: str) -> Run:
    source = open_source(config)
    size = source.item(0).image.shape
    check_memory(config, size, fabric.device)
    network = build_network(config, (size[0], size[1], size[2]))
    if config.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, config.optimizer)
    schedule = build_schedule(optimizer, config.schedule, _steps(fabric, source.steps))
    compiled = cast(nn.Module, torch.compile(network)) if config.trainer.compile else network
    model, wrapped = fabric.setup(compiled, optimizer)
    steps, folder = _steps(fabric, source.steps), Path(config.run)
    return Run(fabric, config, source, network, model, wrapped, schedule, folder, command, Progress(), steps)


def _resume(run: Run) -> None:
    state = run.state()
    run.fabric.load(run.folder / "state.pt", state)
    if "precision" in state:
        run.fabric.strategy.precision.load_state_dict(state["precision"])
    run.progress = Progress(int(state["step"]), float(state["best"]))
    if run.fabric.is_global_zero:
        keep_log_until(run.folder / "log.csv", run.progress.step)
    run.fabric.print(f"{run.folder}: resumed at step {run.progress.step} of {run.steps}")


def _fabric(config: TrainConfig) -> Fabric:
    t = config.trainer
    accelerator = t.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    precision = t.precision
    if precision == "auto":
        precision = "16-mixed" if accelerator == "cuda" else "32-true"
    return Fabric(
        accelerator=accelerator,
        devices=t.devices,
        num_nodes=t.nodes,
        strategy=t.strategy,
        precision=precision,  # type: ignore[arg-type]
    )


def _loop(run: Run, stop: int) -> None:
    """Steps up to `stop`, validated and saved there."""
    t, progress, devices = run.config.trainer, run.progress, run.fabric.world_size
    every = t.validate_every or max(1, min(_steps(run.fabric, run.source.steps_per_epoch), run.steps // 20))
    # Fabric deals the volumes to the devices in turn
    loader = DataLoader(
        Steps(run.source, progress.step * devices, max(stop, progress.step) * devices),
        batch_size=1,
        num_workers=run.config.data.workers,
        pin_memory=run.fabric.device.type == "cuda",
    )
    batches = run.fabric.setup_dataloaders(loader)
    bar = tqdm(batches, initial=progress.step, total=run.steps, desc=run.folder.name, mininterval=5, disable=None)
    saved = time.monotonic()
    with LogFile(run.folder, write=run.fabric.is_global_zero) as log:
        for image, labels in bar:
            value = _step(run, image, labels)
            progress.step += 1
            done = progress.step == stop
            score = progress.score = None
            row = {"step": progress.step, "loss": value, "lr": float(run.optimizer.param_groups[0]["lr"])}
            if done or progress.step % every == 0:
                score = progress.score = validate(run.fabric, run.model, run.source)
                log.row(row if score is None else row | {"dice": score})
                if score is None or score >= progress.best:
                    progress.best = progress.best if score is None else score
                    _save_network(run, "best", score)
            elif progress.step % t.log_every == 0:
                bar.set_postfix(loss=f"{value:.3f}", best=f"{progress.best:.3f}")
                log.row(row)
            if done or time.monotonic() - saved > t.save_every_s:
                _save(run, score)
                saved = time.monotonic()


def _step(run: Run, image: Tensor, labels: Tensor) -> float:
    """One optimiser step; returns the loss. Raises FloatingPointError where it is not finite."""
    t = run.config.trainer
    # what a step draws (dropout) depends on its number alone, so that a resumed run draws the same
    torch.manual_seed((run.config.seed + 1000 * run.config.restart) * 10_000_019 + run.progress.step)
    run.model.train()
    if run.progress.step >= t.freeze_norm_after * run.steps:
        freeze_norm(run.network)
    batch = image.to(memory_format=torch.channels_last_3d) if t.channels_last else image
    loss = segmentation_loss(run.model(batch), labels, run.config.loss)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"{run.folder}: loss is {value} at step {run.progress.step}; lower optimizer.lr")
    run.fabric.backward(loss)
    run.fabric.clip_gradients(run.model, run.optimizer, max_norm=t.gradient_clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.schedule.step()
    return value


def _save(run: Run, score: float | None) -> None:
    """Write `last/` (`score`: of validation at this step, None without) and `state.pt`, the latter replaced
    at once, so that a kill leaves the old or the new.
    """
    _save_network(run, "last", score)
    partial = run.folder / "state.partial.pt"
    run.fabric.save(partial, run.state())
    if run.fabric.is_global_zero:
        partial.replace(run.folder / "state.pt")


def _save_network(run: Run, name: str, score: float | None) -> None:
    if run.fabric.is_global_zero:
        source = run.source
        about = Trained(source.description, source.size, source.voxel_size_mm, run.command, _commit(), score)
        save_network(run.folder / name, run.network, run.config, about)


def _commit() -> str:
    """The commit of the code, `unknown` outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], check=False, capture_output=True, text=True
    )
    return result.stdout.strip() if result.returncode == 0 else "unknown"
