"""The training loop: one run, resumable after any step.

A run folder holds `config.yaml`, `log.csv`, TensorBoard events, the model folders `last/` and `best/`, and `state.pt`
with the state to resume from. `finished.json` is written after the last step.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric, seed_everything
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from meshnet.train.collapse import collapse_reason
from meshnet.train.config import ConfigError, TrainConfig, as_yaml
from meshnet.train.fabric import make_fabric
from meshnet.train.items import Source
from meshnet.train.loader import make_loader
from meshnet.train.losses import batch_loss
from meshnet.train.memory import check_memory, recomputes
from meshnet.train.networks import Trained, bare, build_network, freeze_norm, save_network
from meshnet.train.optimizer import build_optimizer, build_schedule
from meshnet.train.run_folder import check_is_run_folder, check_same_run, keep_cases, mark_finished
from meshnet.train.run_log import LogFile, UnreadLosses, keep_log_until
from meshnet.train.sources import open_source
from meshnet.train.time_budget import TimeBudget, step_schedule
from meshnet.train.validate import validate


@dataclass
class Progress:
    """Progress of a run.

    step: steps done. best: highest validation Dice so far, -1 before the first. score: validation Dice after exactly
    `step` steps, None without validation there. collapsed: why the finished run counts as collapsed, else empty.
    """

    step: int = 0
    best: float = -1.0
    score: float | None = None
    collapsed: str = ""


@dataclass
class Run:
    """A run in progress.

    network: the plain module. model: the same, wrapped by Fabric. average: the exponential moving average of its
    weights, None without `trainer.ema_decay`. steps: optimiser steps of the schedule, each over
    `trainer.batch_size` volumes per device.
    stop: the step after which the run is finished. budget: seconds after which it is, whichever comes first.
    """

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
    stop: int
    budget: TimeBudget
    average: AveragedModel | None = None

    def state(self) -> dict[str, Any]:
        """The entries of `state.pt`."""
        scale = self.fabric.strategy.precision.state_dict()  # of the loss in half precision, else empty
        optional = ({"precision": scale} if scale else {}) | ({"average": self.average} if self.average else {})
        return optional | {
            "network": self.model,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "step": self.progress.step,
            "best": self.progress.best,
            "spent_s": self.budget.spent_s(),
        }

    def result(self) -> nn.Module:
        """The network that is validated and saved: the averaged one where there is an average."""
        return self.average.module if self.average else self.network


def train(config: TrainConfig, *, command: str, until_epoch: int | None = None) -> Progress:
    """Start or resume a run and train to its last step; scores are the mean Dice of the foreground classes.

    command: for the provenance. until_epoch: validate, save and return after this epoch, on the schedule of all
    `trainer.epochs`; a later call continues and ends with the weights of an uninterrupted run. Raises ConfigError
    where the run folder was started with settings that give another result, MemoryError where a step does not fit
    into the device's memory, and FloatingPointError where the loss is not finite.
    """
    folder = Path(config.run)
    check_is_run_folder(folder)
    if (folder / "state.pt").is_file():
        check_same_run(folder, config)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    fabric = make_fabric(config.trainer)
    fabric.launch()
    try:
        return _train(config, fabric, command, until_epoch)
    except torch.OutOfMemoryError as error:  # `check_memory` computes a lower bound only
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
        (run.folder / "log.csv").unlink(missing_ok=True)  # of a run that was killed before its first save
        (run.folder / "cases.json").unlink(missing_ok=True)
        keep_cases(run.folder, run.source.cases)
    stop = run.stop
    if until_epoch is not None:
        stop = min(stop, _steps(fabric, config, until_epoch * run.source.steps_per_epoch))
    _loop(run, stop)
    if until_epoch is not None and run.progress.score is None:  # stopped here before: the state holds no score
        run.progress.score = _validate(run)
    if run.progress.step == run.stop and fabric.is_global_zero:
        run.progress.collapsed = collapse_reason(fabric, config, run.result(), run.source, run.progress.score)
        mark_finished(run.folder, run.progress.step, run.progress.collapsed)
        if run.progress.collapsed:
            print(f"{run.folder}: collapsed: {run.progress.collapsed}; train another restart", file=sys.stderr)
    return run.progress


def _steps(fabric: Fabric, config: TrainConfig, volumes: int) -> int:
    """Optimiser steps over `volumes` volumes."""
    return -(-volumes // _volumes_per_step(fabric, config))


def _volumes_per_step(fabric: Fabric, config: TrainConfig) -> int:
    """Volumes of one optimiser step, over all devices."""
    return fabric.world_size * config.trainer.batch_size


def _start(fabric: Fabric, config: TrainConfig, command: str) -> Run:
    source = open_source(config)
    size = source.item(0).image.shape
    check_memory(config, size, fabric.device)
    recompute = recomputes(config, size, fabric.device)
    config = replace(config, trainer=replace(config.trainer, checkpoint_activations=recompute))
    network = build_network(config, (size[0], size[1], size[2]))
    if config.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = build_optimizer(network, config.optimizer)
    schedule = build_schedule(optimizer, config.schedule, _steps(fabric, config, source.steps))
    compiled = cast(nn.Module, torch.compile(network)) if config.trainer.compile else network
    model, wrapped = fabric.setup(compiled, optimizer)
    steps, folder, average = _steps(fabric, config, source.steps), Path(config.run), _average(config, network)
    stop = min(steps, config.trainer.stop_at_step or steps)
    return Run(
        fabric=fabric,
        config=config,
        source=source,
        network=network,
        model=model,
        optimizer=wrapped,
        schedule=schedule,
        folder=folder,
        command=command,
        progress=Progress(),
        steps=steps,
        stop=stop,
        budget=TimeBudget(fabric, config.trainer.stop_after_s),
        average=average,
    )


def _average(config: TrainConfig, network: nn.Module) -> AveragedModel | None:
    """A copy of the network that collects the moving average of weights and running statistics. Raises ConfigError."""
    decay = config.trainer.ema_decay
    if not decay:
        return None
    if config.model.kind != "meshnet":  # the blocks of a baseline that recomputes activations can't be copied
        raise ConfigError(f"trainer.ema_decay: expected 0 for the baseline {config.model.kind}, got {decay}")
    mean = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(bare(network), multi_avg_fn=mean, use_buffers=True)
    return average.eval().requires_grad_(False)


def _resume(run: Run) -> None:
    state = run.state()
    if not run.config.trainer.stop_after_s:
        del state["spent_s"]  # absent from the state of earlier versions
    run.fabric.load(run.folder / "state.pt", state)
    if "precision" in state:
        run.fabric.strategy.precision.load_state_dict(state["precision"])
    run.progress = Progress(int(state["step"]), float(state["best"]))
    run.budget.begin(float(state.get("spent_s", 0.0)))
    if run.budget.share() >= 1:
        run.stop = run.progress.step
    if run.fabric.is_global_zero:
        keep_log_until(run.folder / "log.csv", run.progress.step)
    run.fabric.print(f"{run.folder}: resumed at step {run.progress.step} of {run.stop}")


def _loop(run: Run, stop: int) -> None:
    """Train up to the step `stop`, then validate and save."""
    t, progress, volumes = run.config.trainer, run.progress, _volumes_per_step(run.fabric, run.config)
    epoch = _steps(run.fabric, run.config, run.source.steps_per_epoch)
    every = t.validate_every or max(1, min(epoch, run.steps // 20))
    # Fabric gives the volumes to the devices in turn
    first, last = progress.step * volumes, max(stop, progress.step) * volumes
    loader = make_loader(run.source, run.config.data, run.fabric.device, first, last, batch_size=t.batch_size)
    batches = run.fabric.setup_dataloaders(loader)
    bar = tqdm(batches, initial=progress.step, total=stop, desc=run.folder.name, mininterval=5, disable=None)
    saved = time.monotonic()
    losses, loss = UnreadLosses(), math.nan
    with LogFile(run.folder, write=run.fabric.is_global_zero) as log:
        for image, labels, lesion_only in bar:
            losses.add(_step(run, image, labels, lesion_only))
            if run.average:
                run.average.update_parameters(bare(run.network))
            progress.step += 1
            if run.budget.share() >= 1:
                stop = run.stop = progress.step
            done = progress.step == stop
            due = time.monotonic() - saved > t.save_every_s
            score = progress.score = None
            if done or due or progress.step % every == 0 or progress.step % t.log_every == 0:
                loss = losses.read(run.folder, progress.step)
            row = {"step": progress.step, "loss": loss, "lr": float(run.optimizer.param_groups[0]["lr"])}
            if done or progress.step % every == 0:
                score = progress.score = _validate(run)
                log.row(row if score is None else row | {"dice": score})
                if score is None or score >= progress.best:
                    progress.best = progress.best if score is None else score
                    _save_network(run, "best", score)
            elif progress.step % t.log_every == 0:
                bar.set_postfix(loss=f"{loss:.3f}", best=f"{progress.best:.3f}")
                log.row(row)
            if done or due:
                _save(run, score)
                saved = time.monotonic()
            if done:
                bar.close()
                break


def _step(run: Run, image: Tensor, labels: Tensor, lesion_only: Sequence[bool]) -> Tensor:
    """One optimiser step; returns the loss, a scalar on the device."""
    t = run.config.trainer
    # dropout masks depend on the step's number only, so that a resumed run draws the same ones
    torch.manual_seed((run.config.seed + 1000 * run.config.restart) * 10_000_019 + run.progress.step)
    run.model.train()
    share = run.budget.share()
    if max(run.progress.step, share * run.steps) >= t.freeze_norm_after * run.steps:
        freeze_norm(run.network)
    batch = image.to(memory_format=torch.channels_last_3d) if t.channels_last else image
    loss = batch_loss(run.model(batch), labels.long(), run.config.loss, lesion_only)
    run.fabric.backward(loss)
    if t.gradient_clip:
        run.fabric.clip_gradients(run.model, run.optimizer, max_norm=t.gradient_clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    step_schedule(run.schedule, run.progress.step + 1, run.steps, share)
    return loss.detach()


def _validate(run: Run) -> float | None:
    return validate(run.fabric, run.average.module if run.average else run.model, run.source)


def _save(run: Run, score: float | None) -> None:
    """Write `last/` and `state.pt`; `state.pt` is replaced atomically. score: validation Dice at this step, or None."""
    _save_network(run, "last", score)
    partial = run.folder / "state.partial.pt"
    run.fabric.save(partial, run.state())
    if run.fabric.is_global_zero:
        partial.replace(run.folder / "state.pt")


def _save_network(run: Run, name: str, score: float | None) -> None:
    if run.fabric.is_global_zero:
        source = run.source
        about = Trained(_description(run), source.size, source.voxel_size_mm, run.command, _commit(), score)
        save_network(run.folder / name, run.result(), run.config, about)


def _description(run: Run) -> str:
    """Of the data, for the provenance."""
    if not run.budget.seconds:
        return run.source.description
    return f"{run.source.description}; {run.progress.step} of {run.steps} steps, ended by trainer.stop_after_s"


def _commit() -> str:
    """The commit of the code, `unknown` outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], check=False, capture_output=True, text=True
    )
    return result.stdout.strip() if result.returncode == 0 else "unknown"
