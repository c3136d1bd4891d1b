"""The folder of a training run: its settings, its cases, and whether it is finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from meshnet.train.config import ConfigError, TrainConfig, config_errors, differences, resolve


def check_same_run(folder: Path, config: TrainConfig) -> None:
    """Raise ConfigError where the folder holds a run whose settings give another result."""
    path = folder / "config.yaml"
    if path.is_file():
        with config_errors(str(path)):
            before = resolve(OmegaConf.load(path))  # type: ignore[arg-type]
        changed = differences(before, config)
        if changed:
            raise ConfigError(f"{folder}: cannot be resumed: {'; '.join(changed)}; use another run=FOLDER")


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
    return set(json.loads(path.read_text())) if path.is_file() else None


def is_finished(folder: Path) -> bool:
    """Whether the run has done its last step."""
    return (folder / "finished.json").is_file()


def mark_finished(folder: Path, steps: int, collapsed: str = "") -> None:
    """Write `finished.json`. steps: of the optimiser. collapsed: why the run counts as collapsed, else empty."""
    (folder / "finished.json").write_text(json.dumps({"steps": steps, "collapsed": collapsed}) + "\n")


def collapse_of(folder: Path) -> str:
    """Why the finished run counts as collapsed; empty for any other run."""
    path = folder / "finished.json"
    return str(json.loads(path.read_text()).get("collapsed", "")) if path.is_file() else ""
