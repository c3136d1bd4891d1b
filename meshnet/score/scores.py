"""Scores of single cases and the CSV file that stores them. docs/training.md defines every number."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

METRICS = ("dice_lesion", "dice_macro", "avd", "mcc", "hd95_mm", "lesion_f1", "volume_error_ml")
_COLUMNS = ("model", "parameters", "fold", "restart", "subject", "name", *METRICS, "data")


@dataclass(frozen=True)
class Score:
    """Scores of one case by one run. model: its name in tables; prediction: the label file; values: score by metric."""

    model: str
    parameters: int
    fold: int
    restart: int
    subject: str
    name: str
    prediction: Path
    values: dict[str, float]


def read_scores(path: Path) -> list[Score]:
    """Read `scores-STATE.csv` of a run's folder; the predictions lie beside it in `predictions-STATE/`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Score(
                line["model"],
                int(line["parameters"]),
                int(line["fold"]),
                int(line["restart"]),
                line["subject"],
                line["name"],
                path.parent / path.stem.replace("scores", "predictions") / f"{line['name']}.nii.gz",
                {m: float(line[m]) for m in METRICS},
            )
            for line in csv.DictReader(file)
        ]


def data_of(path: Path) -> str:
    """The prepared folder that these scores were computed on; empty if the file has no rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return next((line.get("data", "") for line in csv.DictReader(file)), "")


def write_scores(path: Path, scores: Sequence[Score], data: Path) -> None:
    """Write one line per case and run, with the prepared folder `data`."""
    partial = path.with_suffix(".partial")
    folder = str(data.resolve())
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for s in scores:
            head = (s.model, s.parameters, s.fold, s.restart, s.subject, s.name)
            writer.writerow([*head, *(s.values[m] for m in METRICS), folder])
    os.replace(partial, path)
