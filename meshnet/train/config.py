"""What a training run is: typed configuration, composed by Hydra from `meshnet/conf`.

A misspelt or mistyped key is an error, not a default. Everything that changes the result is here;
a run's folder keeps the resolved copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meshnet.synth.draw import SynthConfig


class ConfigError(ValueError):
    """A configuration that cannot be run; the message names the key and what it takes."""


@dataclass
class ModelConfig:
    """kind: `meshnet`, or the name of a baseline of the paper's Table 1. The rest is for MeshNet."""

    kind: str = "meshnet"
    channels: int = 5
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 16, 8, 4, 2])
    activation: str = "relu"
    norm: str = "batch"
    init_from: str = ""


@dataclass
class Stage:
    """A stretch of synthetic training: patches of `size` voxels, of a voxel size drawn from `voxel_size_mm`."""

    steps: int = 1000
    size: list[int] = field(default_factory=lambda: [96, 96, 96])
    voxel_size_mm: list[float] = field(default_factory=lambda: [1.0, 1.0])


@dataclass
class DataConfig:
    """source: `prepared` (a folder written by meshnet-prepare) or `synth` (rendered on the fly).

    anatomies, rotation_deg, stripped_probability, device are for the source `synth_heads`; lesions: a folder, or for
    `synth_heads` a list of folders. eye_of_fluid: range of the eyes' brightness in T2w, for `synth`.
    lesion_size_power: lesion masks are drawn in proportion to their size to this power (0: all alike).
    """

    source: str = "prepared"
    folder: str = ""
    inner_fold: int | None = None
    task: str = "lesion"
    labels: list[str] = field(default_factory=lambda: ["background", "lesion"])
    modality: list[str] = field(default_factory=lambda: ["T2w"])
    orientation: str = "LIA"
    templates: str = "/usr/share/mricron/templates"
    anatomies: str = ""
    lesions: Any = ""
    held_out: str = ""
    cache: str = "runs/cache"
    contrasts: dict[str, float] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    lesion_probability: float = SynthConfig.lesion_probability
    lesion_size_power: float = 0.5
    sulci_probability: float = SynthConfig.sulci_probability
    sulci: float = SynthConfig.sulci
    outside_texture: float = SynthConfig.outside_texture
    eye_of_fluid: list[float] = field(default_factory=lambda: list(SynthConfig.eye_of_fluid))
    rotation_deg: float = 30.0
    stripped_probability: float = 0.12
    device: str = "cpu"
    margin_mm: float = 8.0
    validation_subjects: int = 8
    workers: int = 0


@dataclass
class OptimizerConfig:
    """kind: `adamw`, or `muon` (which takes hidden convolutions at `muon_lr`, AdamW the rest; optimizer.py)."""

    kind: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 3e-5
    eps: float = 1e-4
    muon_lr: float = 0.02


@dataclass
class ScheduleConfig:
    """OneCycleLR from lr / div_factor, warm-up for `warmup` of all steps, down to lr / div_factor / final_div."""

    warmup: float = 0.01
    div_factor: float = 100.0
    final_div: float = 1e4


@dataclass
class LossConfig:
    """Cross-entropy with label smoothing and class weights, plus `dice` times soft Dice loss.

    dice_offset_voxels: added to both sides of soft Dice; lesions much smaller than it count little, empty patches too.
    """

    label_smoothing: float = 0.01
    class_weights: list[float] = field(default_factory=lambda: [0.5, 1.0])
    dice: float = 0.0
    dice_offset_voxels: float = 200.0


@dataclass
class TrainerConfig:
    """How the loop runs. precision: as Lightning Fabric names it, or `auto` (16-mixed on CUDA, else 32-true)."""

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
    """Hydra overrides (`model=meshnet26 data=FOLDER fold=0 optimizer.lr=2e-3`) to a TrainConfig.

    `data=FOLDER` with a prepared folder is short for `data=prepared data.folder=FOLDER`. A file
    written by meshnet-tune is given as `@FILE`: one override per line. Raises ConfigError.
    """
    expanded = [part for o in overrides for part in _expand(o)]
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    try:
        with initialize_config_module("meshnet.conf", version_base="1.3"):
            composed = compose("train", overrides=expanded)
        return resolve(composed)
    except HydraException as error:
        raise ConfigError(
            f"configuration: {error}; see meshnet-train --help for the groups and their choices"
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {error}") from error


def resolve(composed: DictConfig | dict[str, Any]) -> TrainConfig:
    """A plain configuration to a checked TrainConfig."""
    merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), composed)
    config = OmegaConf.to_object(merged)
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"configuration: expected the keys of a training run, got {type(config).__name__}")
    return config


def as_yaml(config: TrainConfig) -> str:
    """The resolved configuration, as kept in a run's folder."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


#: What may change between a run and its resumption: where and how it computes, not what.
_MAY_CHANGE = {
    *("name", "description", "license", "run"),
    *("data.folder", "data.cache", "data.templates", "data.lesions", "data.workers", "data.anatomies", "data.device"),
    *("trainer.accelerator", "trainer.strategy", "trainer.threads"),
    *("trainer.checkpoint_activations", "trainer.channels_last", "trainer.compile"),
    *("trainer.save_every_s", "trainer.validate_every", "trainer.log_every"),
}


def differences(before: TrainConfig, now: TrainConfig) -> list[str]:
    """`key was X, now Y` for every setting that changes the result of a run."""
    old, new = _flat(asdict(before)), _flat(asdict(now))
    keys = [key for key in {**old, **new} if key not in _MAY_CHANGE and old.get(key) != new.get(key)]
    return [f"{key} was {old.get(key)}, now {new.get(key)}" for key in keys]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _expand(override: str) -> list[str]:
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
