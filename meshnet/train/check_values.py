"""Checks the values of a training run that types alone don't exclude."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from operator import attrgetter

import torch

from meshnet.cohort.splits import INNER_FOLDS
from meshnet.model.spec import ID_PATTERN, ID_RULE, NAME_LENGTH
from meshnet.train.settings import ConfigError, DataConfig, TrainConfig, TrainerConfig

#: Values of `trainer.precision`, those of Lightning Fabric that a network here can be trained in.
PRECISIONS = ("auto", "32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true")

#: Each range: the values that are in it, as the message names them, and the settings that must be.
RANGES: tuple[tuple[Callable[[float], bool], str, tuple[str, ...]], ...] = (
    (
        lambda value: value >= 1,
        "1 or more",
        (
            *("trainer.epochs", "trainer.batch_size", "trainer.devices", "trainer.nodes", "trainer.log_every"),
            "model.channels",
        ),
    ),
    (
        lambda value: 0 < value < math.inf,
        "a number above 0",
        ("optimizer.lr", "optimizer.eps", "schedule.div_factor", "schedule.final_div"),
    ),
    (
        lambda value: 0 <= value < math.inf,
        "0 or more",
        (
            *("restart", "seed", "optimizer.weight_decay", "loss.dice", "loss.dice_offset_voxels"),
            *("trainer.gradient_clip", "trainer.validate_every", "trainer.save_every_s"),
        ),
    ),
    (
        lambda value: 0 <= value <= 1,
        "a number from 0 to 1",
        (
            *("data.lesion_probability", "data.sulci_probability", "data.stripped_probability"),
            "trainer.freeze_norm_after",
        ),
    ),
    (lambda value: 0 <= value < 1, "0 or more, and less than 1", ("loss.label_smoothing",)),
    (
        lambda value: 0 < value < 1,
        "a fraction of all steps above 0 and below 1, such as 0.01",
        ("schedule.warmup",),
    ),
    (
        lambda value: 0 <= value < 1,
        "0 or more, and less than 1; for synthetic heads only use data=synth_heads",
        ("data.synthetic_share",),
    ),
    (lambda value: 0 <= value < 1, "a decay below 1 such as 0.999, or 0 for none", ("trainer.ema_decay",)),
    (lambda value: 0 <= value <= 1024, "a number from 0 (PyTorch's choice) to 1024", ("trainer.threads",)),
    (lambda value: value >= 0, "seconds, or 0 for no limit", ("trainer.stop_after_s",)),
    (lambda value: value >= 0, "a step, or 0 for all", ("trainer.stop_at_step",)),
)


def check_values(config: TrainConfig) -> None:
    """Raise ConfigError for a value outside its range; the message names key, value and range."""
    for is_inside, expected, keys in RANGES:
        for key in keys:
            value = attrgetter(key)(config)
            if not is_inside(value):
                raise ConfigError(f"{key}={value:g}: expected {expected}")
    data, trainer = config.data, config.trainer
    _check_names(config)
    if not config.model.dilations or min(config.model.dilations) < 1:
        raise ConfigError(
            f"model.dilations={config.model.dilations}: expected one whole number of 1 or more for each layer, such as "
            f"[1,2,4,8,16,16,8,4,2]"
        )
    if data.inner_fold is not None and not 0 <= data.inner_fold < INNER_FOLDS:
        raise ConfigError(
            f"data.inner_fold={data.inner_fold}: expected 0..{INNER_FOLDS - 1}, or null to train on all inner folds"
        )
    if trainer.precision not in PRECISIONS:
        raise ConfigError(f"trainer.precision={trainer.precision}: expected one of {', '.join(PRECISIONS)}")
    _check_weights(config.loss.class_weights, data.labels)
    _check_batch(data, trainer)
    _check_workers(data)
    _check_accelerator(trainer.accelerator)


def _check_names(config: TrainConfig) -> None:
    """The model's folder must be readable again, so its id and name are checked before anything is trained."""
    if not re.fullmatch(ID_PATTERN, config.id):
        raise ConfigError(f"id={config.id}: expected {ID_RULE}")
    if not 1 <= len(config.name) <= NAME_LENGTH:
        raise ConfigError(f"name={config.name}: expected 1 to {NAME_LENGTH} characters, got {len(config.name)}")


def _check_weights(weights: list[float], labels: list[str]) -> None:
    if len(weights) != len(labels) or not all(0 <= w < math.inf for w in weights) or not any(weights):
        raise ConfigError(
            f"loss.class_weights={weights}: expected {len(labels)} weights of 0 or more, not all 0, one for each "
            f"of the labels {', '.join(labels)}"
        )


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
