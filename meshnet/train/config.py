"""The settings of a training run, composed by Hydra from `meshnet/conf` and checked.

A misspelt or mistyped key is an error. Every setting that changes the result is in settings.py; the run folder keeps
the resolved copy in `config.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meshnet.train.check_values import check_values
from meshnet.train.overrides import checked_override, expand, nearest
from meshnet.train.settings import (
    ConfigError,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    Stage,
    TrainConfig,
    TrainerConfig,
)

__all__ = [
    "ConfigError",
    "DataConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "Stage",
    "TrainConfig",
    "TrainerConfig",
    "as_yaml",
    "check_values",
    "compose_config",
    "compose_groups",
    "config_errors",
    "differences",
    "expand",
    "nearest",
    "resolve",
]


def compose_config(overrides: Sequence[str]) -> TrainConfig:
    """Settings from Hydra overrides such as `model=meshnet26 data=FOLDER fold=0 optimizer.lr=2e-3`.

    `data=FOLDER` with a prepared folder is short for `data=prepared data.folder=FOLDER`. `@FILE` takes overrides from a
    file of meshnet-tune, one per line. Raises ConfigError.
    """
    composed = compose_groups(overrides)
    with config_errors():
        config = resolve(composed)
    check_values(config)
    return config if config.run else replace(config, run=default_folder(config))


def default_folder(config: TrainConfig) -> str:
    """`runs/ID/MODEL/foldF-restartR`; MODEL is such as `meshnet26`, `meshnet8-elu` or `vnet`."""
    model, usual = config.model, ModelConfig()
    name = model.kind
    if model.kind == "meshnet":
        name = f"meshnet{model.channels}"
        name += f"-{model.activation}" if model.activation != usual.activation else ""
        name += f"-{'.'.join(map(str, model.dilations))}" if model.dilations != usual.dilations else ""
        name += f"-{model.norm}" if model.norm != usual.norm else ""
    return f"runs/{config.id}/{name}/fold{config.fold}-restart{config.restart}"


def compose_groups(overrides: Sequence[str]) -> DictConfig:
    """As `compose_config`, but still open for merging. Raises ConfigError."""
    with config_errors():
        expanded = [checked_override(part) for override in overrides for part in expand(override)]
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


def as_yaml(config: TrainConfig) -> str:
    """The resolved settings as YAML, as the run folder keeps them."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


#: Settings that a resumed run may change: they say where and how to compute, and don't change the result.
_MAY_CHANGE = {
    *("name", "description", "license", "run"),
    *("data.folder", "data.cache", "data.templates", "data.lesions", "data.workers", "data.prefetch"),
    *("data.anatomies", "data.device"),
    *("trainer.accelerator", "trainer.strategy", "trainer.threads"),
    *("trainer.checkpoint_activations", "trainer.channels_last", "trainer.compile"),
    *("trainer.tf32", "trainer.cudnn_benchmark"),
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
