"""Checks the values of a training run that types alone don't exclude."""

from __future__ import annotations

from itertools import pairwise

import torch

from meshnet.cohort.splits import INNER_FOLDS
from meshnet.train.settings import ConfigError, DataConfig, TrainConfig, TrainerConfig


def check_values(config: TrainConfig) -> None:
    """Raise ConfigError for a value outside its range; the message names key, value and range."""
    data, trainer, schedule, loss = config.data, config.trainer, config.schedule, config.loss
    if data.inner_fold is not None and not 0 <= data.inner_fold < INNER_FOLDS:
        raise ConfigError(
            f"data.inner_fold={data.inner_fold}: expected 0..{INNER_FOLDS - 1}, or null to train on all inner folds"
        )
    if not 0 <= data.synthetic_share < 1:
        raise ConfigError(
            f"data.synthetic_share={data.synthetic_share:g}: expected 0 or more, and less than 1; for synthetic heads "
            f"only use data=synth_heads"
        )
    for key, value in (
        ("trainer.epochs", trainer.epochs),
        ("trainer.batch_size", trainer.batch_size),
        ("trainer.devices", trainer.devices),
        ("trainer.nodes", trainer.nodes),
        ("trainer.log_every", trainer.log_every),
        ("model.channels", config.model.channels),
    ):
        if value < 1:
            raise ConfigError(f"{key}={value}: expected 1 or more")
    if trainer.stop_at_step < 0:
        raise ConfigError(f"trainer.stop_at_step: expected a step, or 0 for all, got {trainer.stop_at_step}")
    if trainer.stop_after_s < 0:
        raise ConfigError(f"trainer.stop_after_s={trainer.stop_after_s:g}: expected seconds, or 0 for no limit")
    if not 0 <= trainer.ema_decay < 1:
        raise ConfigError(
            f"trainer.ema_decay: expected a decay below 1 such as 0.999, or 0 for none, got {trainer.ema_decay}"
        )
    for name, number in (
        ("optimizer.lr", config.optimizer.lr),
        ("optimizer.eps", config.optimizer.eps),
        ("schedule.div_factor", schedule.div_factor),
        ("schedule.final_div", schedule.final_div),
    ):
        if not number > 0:
            raise ConfigError(f"{name}={number:g}: expected a number above 0")
    if not 0 < schedule.warmup < 1:
        raise ConfigError(
            f"schedule.warmup={schedule.warmup:g}: expected a fraction of all steps above 0 and below 1, such as 0.01"
        )
    if not 0 <= loss.label_smoothing < 1:
        raise ConfigError(f"loss.label_smoothing={loss.label_smoothing:g}: expected 0 or more, and less than 1")
    if len(loss.class_weights) != len(data.labels) or min(loss.class_weights) < 0:
        raise ConfigError(
            f"loss.class_weights={loss.class_weights}: expected {len(data.labels)} weights of 0 or more, one for each "
            f"of the labels {', '.join(data.labels)}"
        )
    _check_batch(data, trainer)
    _check_workers(data)
    _check_accelerator(trainer.accelerator)


def _check_batch(data: DataConfig, trainer: TrainerConfig) -> None:
    """Volumes of one batch have one size: a stage of another size starts with a new batch."""
    if trainer.batch_size == 1:
        return
    before, volumes = 0, trainer.batch_size * trainer.devices * trainer.nodes
    for stage, following in pairwise(data.stages):
        before += stage.steps
        if before % volumes and list(stage.size) != list(following.size):
            raise ConfigError(
                f"trainer.batch_size={trainer.batch_size}: data.stages change from {list(stage.size)} to "
                f"{list(following.size)} voxels after {before} items, within a batch; expected a multiple of {volumes} "
                f"items before the change"
            )


def _check_workers(data: DataConfig) -> None:
    if data.prefetch < 1:
        raise ConfigError(f"data.prefetch={data.prefetch}: expected 1 or more items")
    if data.workers is not None and data.workers < 0:
        raise ConfigError(f"data.workers={data.workers}: expected 0 or more processes, or null for the default")
    if data.workers and data.source == "synth_heads" and data.device != "cpu":
        raise ConfigError(
            f"data.workers={data.workers}: heads rendered with data.device={data.device} need no worker, and a worker "
            f"can't use the GPU; leave data.workers out, or set data.device=cpu"
        )


def _check_accelerator(name: str) -> None:
    known = ("auto", "cpu", "cuda", "gpu", "mps")
    if name not in known:
        raise ConfigError(f"trainer.accelerator={name}: expected one of {', '.join(known)}")
    if name in ("cuda", "gpu") and not torch.cuda.is_available():
        raise ConfigError(
            f"trainer.accelerator={name}: PyTorch finds no GPU here; use trainer=cpu, or trainer.accelerator=auto"
        )
