"""The settings of a training run, typed and composed by Hydra from `meshnet/conf`.

A misspelt or mistyped key is an error. Every setting that changes the result is here; the run folder keeps the
resolved copy in `config.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meshnet.synth.draw import SynthConfig


class ConfigError(ValueError):
    """Settings that can't be run; the message names the key and the values it takes."""


@dataclass
class ModelConfig:
    """kind: `meshnet`, or the name of a baseline of the paper's Table 1; the other keys are for MeshNet only.

    init_from: model folder to start from, empty for random weights. init_sha256: SHA-256 that its weights file must
    have, empty for any.
    """

    kind: str = "meshnet"
    channels: int = 5
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 16, 8, 4, 2])
    activation: str = "relu"
    norm: str = "batch"
    init_from: str = ""
    init_sha256: str = ""


@dataclass
class Stage:
    """Synthetic training: `steps` steps on patches of `size` voxels, their voxel size drawn uniformly between the two
    values of `voxel_size_mm`."""

    steps: int = 1000
    size: list[int] = field(default_factory=lambda: [96, 96, 96])
    voxel_size_mm: list[float] = field(default_factory=lambda: [1.0, 1.0])


@dataclass
class DataConfig:
    """source: `prepared` (a folder written by meshnet-prepare) or `synth` (heads rendered during training).

    folder: of meshnet-prepare. lesions: folder of lesion masks in MNI space (*.nii.gz), for `synth` with the task
    `lesion`. held_out: JSON file whose `lesions` are never drawn. lesion_size_power: a lesion mask is drawn with a
    probability proportional to its size to this power (0: all with the same probability).
    """

    source: str = "prepared"
    folder: str = ""
    inner_fold: int | None = None
    task: str = "lesion"
    labels: list[str] = field(default_factory=lambda: ["background", "lesion"])
    modality: list[str] = field(default_factory=lambda: ["T2w"])
    orientation: str = "LIA"
    templates: str = "/usr/share/mricron/templates"
    lesions: str = ""
    held_out: str = ""
    cache: str = "runs/cache"
    contrasts: dict[str, float] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    lesion_probability: float = SynthConfig.lesion_probability
    lesion_size_power: float = 0.5
    sulci_probability: float = SynthConfig.sulci_probability
    sulci: float = SynthConfig.sulci
    outside_texture: float = SynthConfig.outside_texture
    margin_mm: float = 8.0
    validation_subjects: int = 8
    workers: int = 0


@dataclass
class OptimizerConfig:
    """kind: `adamw`, or `muon` (Muon for hidden convolutions at rate `muon_lr`, AdamW for the rest; optimizer.py)."""

    kind: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 3e-5
    eps: float = 1e-4
    muon_lr: float = 0.02


@dataclass
class ScheduleConfig:
    """OneCycleLR: starts at lr / div_factor, reaches lr after the fraction `warmup` of all steps, ends at
    lr / div_factor / final_div."""

    warmup: float = 0.01
    div_factor: float = 100.0
    final_div: float = 1e4


@dataclass
class LossConfig:
    """Cross-entropy with label smoothing and class weights, plus `dice` times the soft Dice loss.

    dice_offset_voxels: added to numerator and denominator of soft Dice; patches without the class, and lesions much
    smaller than the offset, then have little influence.
    """

    label_smoothing: float = 0.01
    class_weights: list[float] = field(default_factory=lambda: [0.5, 1.0])
    dice: float = 0.0
    dice_offset_voxels: float = 200.0


@dataclass
class TrainerConfig:
    """Settings of the training loop.

    precision: a name of Lightning Fabric, or `auto` (16-mixed on CUDA, else 32-true). checkpoint_activations: recompute
    activations in the backward pass instead of keeping them. freeze_norm_after: fraction of the steps after which
    BatchNorm uses its running statistics. stop_at_step: the run is finished after this step, on the schedule of the
    full length (0: full length). ema_decay: decay per step of an exponential moving average of the weights, which is
    then validated and saved in place of the last weights (0: none). threads: of PyTorch on the CPU (0: its default).
    """

    epochs: int = 50
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "auto"
    checkpoint_activations: bool = True
    channels_last: bool = True
    compile: bool = False
    gradient_clip: float = 1.0
    freeze_norm_after: float = 1.0
    threads: int = 0
    save_every_s: float = 300.0
    validate_every: int = 0
    stop_at_step: int = 0
    ema_decay: float = 0.0
    log_every: int = 10


@dataclass
class TrainConfig:
    """One training run."""

    id: str = "stroke-lesion"
    name: str = "Stroke lesion MeshNet"
    description: str = ""
    license: str = "unknown"
    run: str = "runs/${id}/fold${fold}-restart${restart}"
    fold: int = 0
    restart: int = 0
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


def compose_config(overrides: Sequence[str]) -> TrainConfig:
    """Settings from Hydra overrides such as `model=meshnet26 data=FOLDER fold=0 optimizer.lr=2e-3`.

    `data=FOLDER` with a prepared folder is short for `data=prepared data.folder=FOLDER`. `@FILE` takes overrides from a
    file of meshnet-tune, one per line. Raises ConfigError.
    """
    composed = compose_groups(overrides)
    with config_errors():
        return resolve(composed)


def compose_groups(overrides: Sequence[str]) -> DictConfig:
    """As `compose_config`, but still open for merging. Raises ConfigError."""
    expanded = [part for override in overrides for part in expand(override)]
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    with config_errors(), initialize_config_module("meshnet.conf", version_base="1.3"):
        return compose("train", overrides=expanded)


@contextmanager
def config_errors(where: str = "configuration") -> Iterator[None]:
    """Raise ConfigError in place of the errors of Hydra and OmegaConf."""
    try:
        yield
    except HydraException as error:
        raise ConfigError(f"{where}: {error}; see meshnet-train --help for the groups and their choices") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {error}") from error


def resolve(composed: DictConfig | dict[str, Any]) -> TrainConfig:
    """Checked settings from a plain or composed configuration. Raises OmegaConf's errors."""
    merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), composed)
    config = OmegaConf.to_object(merged)
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"configuration: expected the keys of a training run, got {type(config).__name__}")
    return config


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the name of `known` most like `name`, else empty."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def as_yaml(config: TrainConfig) -> str:
    """The resolved settings as YAML, as the run folder keeps them."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


#: Settings that a resumed run may change: they say where and how to compute, and don't change the result.
_MAY_CHANGE = {
    *("name", "description", "license", "run"),
    *("data.folder", "data.cache", "data.templates", "data.lesions", "data.workers"),
    *("trainer.accelerator", "trainer.strategy", "trainer.threads"),
    *("trainer.checkpoint_activations", "trainer.channels_last", "trainer.compile"),
    *("trainer.save_every_s", "trainer.validate_every", "trainer.log_every"),
}


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """`key was X, now Y` for every changed setting that changes the result of a run."""
    old, new = _flat(asdict(before)), _flat(asdict(now))
    may_change = _MAY_CHANGE | ({"model.init_from"} if now.model.init_sha256 else set())  # the SHA-256 is compared
    keys = [key for key in {**old, **new} if key not in may_change and old.get(key) != new.get(key)]
    return [f"{key} was {old.get(key)}, now {new.get(key)}" for key in keys]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def expand(override: str) -> list[str]:
    """The overrides that `@FILE` and `data=FOLDER` stand for; any other override as it is. Raises ConfigError."""
    if override.startswith("@"):
        path = Path(override[1:])
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot read overrides ({error.strerror}); expected a file of meshnet-tune"
            ) from error
        return [line for line in (raw.strip() for raw in lines) if line and not line.startswith("#")]
    key, _, value = override.partition("=")
    if key == "data" and Path(value).is_dir():
        return ["data=prepared", f"data.folder='{Path(value).resolve()}'"]
    if key == "data" and "/" in value:
        raise ConfigError(f"data: {value}: no such folder; expected one written by meshnet-prepare")
    return [override]
