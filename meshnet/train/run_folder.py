"""What the folder of a training run says about it: its settings, and whether it has come to its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from meshnet.train.config import ConfigError, TrainConfig, differences, resolve


def check_same_run(folder: Path, config: TrainConfig) -> None:
    """Raise ConfigError where the folder holds a run whose settings give another result."""
    if (folder / "config.yaml").is_file():
        changed = differences(resolve(OmegaConf.load(folder / "config.yaml")), config)  # type: ignore[arg-type]
        if changed:
            raise ConfigError(f"{folder}: cannot be resumed: {'; '.join(changed)}; use another run=FOLDER")


def keep_cases(folder: Path, cases: Sequence[str]) -> None:
    """Write down what the run trains on; raise ConfigError where it was started with other cases."""
    before = trained_cases(folder)
    if before is not None and before != set(cases):
        changed = len(before ^ set(cases))
        raise ConfigError(
            f"{folder}: cannot be resumed: {changed} cases came into the training set or left it (the data were "
            f"prepared again); use another run=FOLDER"
        )
    (folder / "cases.json").write_text(json.dumps(list(cases)) + "\n")


def trained_cases(folder: Path) -> set[str] | None:
    """Names of the cases the run of this folder trained on; None where it doesn't say."""
    path = folder / "cases.json"
    return set(json.loads(path.read_text())) if path.is_file() else None


def is_finished(folder: Path) -> bool:
    """Whether the run of this folder has come to its last step."""
    return (folder / "finished.json").is_file()


def mark_finished(folder: Path, steps: int) -> None:
    """Say so; steps: of the optimiser."""
    (folder / "finished.json").write_text(json.dumps({"steps": steps}) + "\n")
