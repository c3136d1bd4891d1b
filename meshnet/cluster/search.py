"""A hyper-parameter search as plain data: searched keys, rungs, trials and the files with the result.

`meshnet.cluster.tune` runs it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meshnet.cohort.bids import CohortError
from meshnet.cohort.splits import INNER_FOLDS
from meshnet.train.config import ConfigError, compose_config
from meshnet.train.networks import build_network
from meshnet.train.sources import open_source

#: The search uses the training set of this outer fold: the paper's first, counted from 0.
OUTER_FOLD = 0

#: Overrides drawn for each trial, unless the command line fixes them. `loss.class_weights` is drawn as the
#: background's weight, the lesion's being 1.
SEARCHED = ("model.channels", "optimizer.lr", "optimizer.weight_decay", "loss.class_weights", "schedule.warmup")

_SET_BY_THE_SEARCH = ("data", "data.folder", "data.source", "data.inner_fold", "fold", "run", "trainer.epochs")


@dataclass(frozen=True)
class Search:
    """The settings of a search.

    data, out: folders. fixed: overrides that all trials share. min_epochs, max_epochs: the first and the last rung; at
    each rung one trial in `reduction` continues, to `reduction` times the epochs.
    """

    data: Path
    out: Path
    fixed: tuple[str, ...]
    trials: int
    min_epochs: int
    max_epochs: int
    reduction: int
    inner_folds: tuple[int, ...]
    seed: int

    def rungs(self) -> list[int]:
        """Epochs at which a trial is judged: 15, 30, 50 for the defaults."""
        rungs = []
        epochs = self.min_epochs
        while epochs < self.max_epochs:
            rungs.append(epochs)
            epochs *= self.reduction
        return [*rungs, self.max_epochs]

    def free(self) -> list[str]:
        """Keys of SEARCHED that no override fixes."""
        fixed = {key_of(override) for override in self.fixed}
        return [key for key in SEARCHED if key not in fixed]


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    epochs, dice: of the last rung that it reached; dice is the mean validation Dice. failure: one line; empty where the
    trial finished or was stopped for a low score.
    """

    id: str
    epochs: int
    dice: float
    failure: str
    overrides: tuple[str, ...]


def check_search(search: Search) -> None:
    """Raise ConfigError or CohortError for settings with which every trial would fail, before any worker starts."""
    if not 1 <= search.min_epochs <= search.max_epochs:
        raise ConfigError(
            f"--min-epochs {search.min_epochs}, --max-epochs {search.max_epochs}: expected 1 <= min <= max"
        )
    if not search.inner_folds or set(search.inner_folds) - set(range(INNER_FOLDS)):
        raise ConfigError(f"--inner-folds: expected some of 0..{INNER_FOLDS - 1}, got {search.inner_folds}")
    for override in search.fixed:
        if override.startswith("@") or key_of(override) in _SET_BY_THE_SEARCH:
            raise ConfigError(f"{override}: meshnet-tune sets this itself; see --data, --inner-folds, --max-epochs")
    for inner in search.inner_folds:
        config = compose_config(run_overrides(search, "check", {}, inner))
        if config.model.kind != "meshnet" and "model.channels" in search.free():
            raise ConfigError(f"model={config.model.kind}: the searched model.channels is MeshNet's; fix it")
        source = open_source(config)
        if not source.validation_count():
            raise CohortError(f"{search.data}: inner fold {inner} of outer fold {OUTER_FOLD} holds no case")
        shape = source.item(0).image.shape
        build_network(config, (shape[0], shape[1], shape[2]))


def run_overrides(search: Search, trial: str, drawn: Mapping[str, Any], inner: int) -> list[str]:
    """Overrides of meshnet-train for the run of a trial on one inner fold."""
    return [
        *search.fixed,
        *drawn_overrides(drawn),
        f"data={search.data}",
        f"fold={OUTER_FOLD}",
        f"data.inner_fold={inner}",
        f"trainer.epochs={search.max_epochs}",
        f"run='{search.out / 'trials' / trial / f'inner{inner}'}'",
    ]


def drawn_overrides(drawn: Mapping[str, Any]) -> tuple[str, ...]:
    """Drawn values by key as overrides, with six digits: the run trains with exactly the numbers in the file."""
    return tuple(
        f"{key}=[{value:.6g},1.0]" if key == "loss.class_weights" else f"{key}={value:.6g}"
        for key, value in drawn.items()
    )


def key_of(override: str) -> str:
    """`optimizer.lr` of `+optimizer.lr=1e-3`."""
    return override.lstrip("+~").partition("=")[0]


def check_same_search(search: Search) -> None:
    """Write the settings to `search.json`; raise ConfigError where the folder holds a search with other settings."""
    path = search.out / "search.json"
    wanted = json.loads(json.dumps({k: v for k, v in asdict(search).items() if k != "out"}, default=str))
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        changed = [f"{key} was {stored.get(key)}, now {v}" for key, v in wanted.items() if stored.get(key) != v]
        if changed:
            raise ConfigError(f"{search.out}: cannot be resumed: {'; '.join(changed)}; use another -o FOLDER")
    else:
        search.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The best first. A score after more epochs ranks before any after fewer, which was stopped for being lower."""
    return sorted(trials, key=lambda t: (bool(t.failure), -t.epochs, -t.dice))


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """Write all trials as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", "epochs", "dice", "failure", "overrides"])
        writer.writerows([t.id, t.epochs, f"{t.dice:.4f}", t.failure, " ".join(t.overrides)] for t in trials)


def write_best(path: Path, search: Search, best: Trial) -> None:
    """Write the best trial as overrides, one per line, for `meshnet-train @FILE`."""
    folds = ", ".join(map(str, search.inner_folds))
    about = [
        f"# meshnet-tune: trial {best.id}, best of {search.trials}; mean validation Dice {best.dice:.4f}",
        f"# after {best.epochs} epochs on inner folds {folds} of outer fold {OUTER_FOLD} of {search.data.name}",
    ]
    lines = [*about, *search.fixed, *best.overrides, f"trainer.epochs={search.max_epochs}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
