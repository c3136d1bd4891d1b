"""The folder of a training run: its settings, its cases, and whether it is finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from yaml import YAMLError  # type: ignore[import-untyped]

from meshnet.cohort.arguments import kind_of_folder
from meshnet.model.folders import file_in_the_way
from meshnet.train.config import ConfigError, TrainConfig, config_errors, differences, resolve

_T = TypeVar("_T")


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run, from its `config.yaml`. Raises ConfigError for a file that meshnet-train didn't write."""
    path = folder / "config.yaml"
    try:
        with config_errors(str(path)):
            return resolve(OmegaConf.load(path))  # type: ignore[arg-type]
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: cannot be read ({reason}); expected the settings of a run; delete the folder and train again"
        ) from error


def check_same_run(folder: Path, config: TrainConfig) -> None:
    """Raise ConfigError where the folder holds a run whose settings give another result."""
    path = folder / "config.yaml"
    if path.is_file():
        changed = differences(read_config(folder), config)
        if changed:
            raise ConfigError(f"{folder}: cannot be resumed: {'; '.join(changed)}; use another run=FOLDER")


def check_is_run_folder(folder: Path) -> None:
    """Raise ConfigError where `folder` is a file, lies below one, or is a folder of another kind."""
    file = file_in_the_way(folder)
    if file is not None:
        raise ConfigError(f"run={folder}: {file} is a file; expected a folder, or one that doesn't exist yet")
    if (folder / "config.yaml").is_file():
        return
    kind = kind_of_folder(folder)
    if kind is not None:
        raise ConfigError(f"run={folder}: holds {kind}, no training run; use another run=FOLDER")


def keep_cases(folder: Path, cases: Sequence[str]) -> None:
    """Write the names of the training cases to `cases.json`; raise ConfigError where the run started with others."""
    before = trained_cases(folder)
    if before is not None and before != set(cases):
        changed = len(before ^ set(cases))
        raise ConfigError(
            f"{folder}: cannot be resumed: {changed} cases came into the training set or left it (the data were "
            f"prepared again); use another run=FOLDER"
        )
    (folder / "cases.json").write_text(json.dumps(list(cases)) + "\n")


def trained_cases(folder: Path) -> set[str] | None:
    """Names of the cases that the run trains on; None where the folder has no `cases.json`."""
    path = folder / "cases.json"
    return set(_json(path, list)) if path.is_file() else None


def is_finished(folder: Path) -> bool:
    """Whether the run has done its last step."""
    return (folder / "finished.json").is_file()


def mark_finished(folder: Path, steps: int, collapsed: str = "") -> None:
    """Write `finished.json`. steps: of the optimiser. collapsed: why the run counts as collapsed, else empty."""
    (folder / "finished.json").write_text(json.dumps({"steps": steps, "collapsed": collapsed}) + "\n")


def collapse_of(folder: Path) -> str:
    """Why the finished run counts as collapsed; empty for any other run."""
    path = folder / "finished.json"
    return str(_json(path, dict).get("collapsed", "")) if path.is_file() else ""


def _json(path: Path, kind: type[_T]) -> _T:
    """The content of a JSON file of the run. Raises ConfigError where it is not of this kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); expected a file of meshnet-train; delete the folder and train again"
        ) from error
    if not isinstance(content, kind):
        raise ConfigError(
            f"{path}: expected a JSON {'object' if kind is dict else 'list'}, got {type(content).__name__}; delete the "
            f"folder and train again"
        )
    return content
