"""Checks the values of a training run that types alone don't exclude."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from operator import attrgetter
from typing import get_args

import torch

from meshnet.cohort.splits import INNER_FOLDS
from meshnet.model.spec import ID_PATTERN, ID_RULE, NAME_LENGTH, Activation
from meshnet.train.baselines import BASELINES
from meshnet.train.overrides import nearest
from meshnet.train.settings import NORMS, ConfigError, DataConfig, ModelConfig, Stage, TrainConfig, TrainerConfig

#: Settings that take one of these values. Precisions: those of Lightning Fabric that a network here can be trained in.
CHOICES: dict[str, tuple[str, ...]] = {
    "model.kind": ("meshnet", *BASELINES),
    "model.activation": get_args(Activation),
    "model.norm": tuple(NORMS),
    "data.source": ("prepared", "synth", "synth_heads"),
    "optimizer.kind": ("adamw", "muon"),
    "trainer.precision": ("auto", "32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"),
    "trainer.accelerator": ("auto", "cpu", "cuda", "gpu", "mps"),
}

#: Layers and dilation of a MeshNet, classes, and characters of a label's name: at most, as model.json takes them.
_LAYERS, _DILATION, _CLASSES, _LABEL_NAME = 64, 64, 256, 100

#: The axis of each direction, named by its positive end.
_AXIS_OF = {"L": "R", "P": "A", "I": "S"}

#: Each range: the values that are in it, as the message names them, and the settings that must be.
RANGES: tuple[tuple[Callable[[float], bool], str, tuple[str, ...]], ...] = (
    (
        lambda value: value >= 1,
        "1 or more",
        ("trainer.epochs", "trainer.batch_size", "trainer.devices", "trainer.nodes", "trainer.log_every"),
    ),
    (lambda value: 1 <= value <= 512, "a number from 1 to 512", ("model.channels",)),
    (
        lambda value: 0 < value < math.inf,
        "a number above 0",
        ("optimizer.lr", "optimizer.muon_lr", "optimizer.eps", "schedule.div_factor", "schedule.final_div"),
    ),
    (
        lambda value: 0 <= value < math.inf,
        "0 or more",
        (
            *("restart", "seed", "optimizer.weight_decay", "loss.dice", "loss.dice_offset_voxels"),
            *("trainer.gradient_clip", "trainer.validate_every", "trainer.save_every_s"),
            *("data.sulci", "data.outside_texture", "data.margin_mm", "data.validation_subjects"),
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
    (math.isfinite, "a finite number", ("data.lesion_size_power",)),
    (lambda value: 0 <= value <= 180, "degrees from 0 to 180", ("data.rotation_deg",)),
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
    for key, choices in CHOICES.items():
        value = attrgetter(key)(config)
        if value not in choices:
            raise ConfigError(f"{key}={value}: expected one of {', '.join(choices)}{nearest(value, choices)}")
    _check_names(config)
    _check_model(config.model)
    _check_data(config.data)
    _check_weights(config.loss.class_weights, config.data.labels)
    _check_batch(config.data, config.trainer)
    _check_workers(config.data)
    _check_accelerator(config.trainer.accelerator)


def _check_names(config: TrainConfig) -> None:
    """The model's folder must be readable again, so its id and name are checked before anything is trained."""
    if not re.fullmatch(ID_PATTERN, config.id):
        raise ConfigError(f"id={config.id}: expected {ID_RULE}")
    if not 1 <= len(config.name) <= NAME_LENGTH:
        raise ConfigError(f"name={config.name}: expected 1 to {NAME_LENGTH} characters, got {len(config.name)}")


def _check_model(model: ModelConfig) -> None:
    dilations, sha256 = model.dilations, model.init_sha256
    if not 1 <= len(dilations) <= _LAYERS or not all(1 <= dilation <= _DILATION for dilation in dilations):
        raise ConfigError(
            f"model.dilations={dilations}: expected one whole number from 1 to {_DILATION} for each of 1 to {_LAYERS} "
            f"layers, such as [1,2,4,8,16,16,8,4,2]"
        )
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ConfigError(f"model.init_sha256={sha256}: expected 64 digits of 0-9 and a-f, or '' for any weights")


def _check_data(data: DataConfig) -> None:
    if data.inner_fold is not None and not 0 <= data.inner_fold < INNER_FOLDS:
        raise ConfigError(
            f"data.inner_fold={data.inner_fold}: expected 0..{INNER_FOLDS - 1}, or null to train on all inner folds"
        )
    if not 2 <= len(data.labels) <= _CLASSES or not all(1 <= len(name) <= _LABEL_NAME for name in data.labels):
        raise ConfigError(
            f"data.labels={data.labels}: expected 2 to {_CLASSES} names of 1 to {_LABEL_NAME} characters, the "
            f"background first, such as [background,lesion]"
        )
    if sorted(_AXIS_OF.get(letter, letter) for letter in data.orientation) != ["A", "R", "S"]:
        raise ConfigError(
            f"data.orientation={data.orientation}: expected one letter of each pair L/R, P/A and I/S, such as "
            f"LIA or RAS"
        )
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", data.device):
        raise ConfigError(f"data.device={data.device}: expected cpu or cuda")
    folders = [data.lesions] if isinstance(data.lesions, str) else data.lesions
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise ConfigError(f"data.lesions={data.lesions}: expected a folder of lesion masks, or a list such as [A,B]")
    weights = data.contrasts.values()
    if not all(0 <= weight < math.inf for weight in weights) or (weights and not any(weights)):
        raise ConfigError(f"data.contrasts={data.contrasts}: expected weights of 0 or more, not all 0")
    if len(data.eye_of_fluid) != 2 or not 0 <= data.eye_of_fluid[0] <= data.eye_of_fluid[1] < math.inf:
        raise ConfigError(f"data.eye_of_fluid={data.eye_of_fluid}: expected two numbers of 0 or more, the lower first")
    for number, stage in enumerate(data.stages):
        _check_stage(f"data.stages[{number}]", stage)


def _check_stage(where: str, stage: Stage) -> None:
    if stage.steps < 1:
        raise ConfigError(f"{where}.steps={stage.steps}: expected 1 or more")
    if len(stage.size) != 3 or min(stage.size) < 1:
        raise ConfigError(f"{where}.size={stage.size}: expected voxels along three axes, such as [96,96,96]")
    low_high = stage.voxel_size_mm
    if len(low_high) != 2 or not 0 < low_high[0] <= low_high[1] < math.inf:
        raise ConfigError(
            f"{where}.voxel_size_mm={low_high}: expected two sizes above 0 mm, the lower first: [1.0,2.0]"
        )


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
    if name in ("cuda", "gpu") and not torch.cuda.is_available():
        raise ConfigError(
            f"trainer.accelerator={name}: PyTorch finds no GPU here; use trainer=cpu, or trainer.accelerator=auto"
        )
