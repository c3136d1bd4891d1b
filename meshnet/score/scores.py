"""Scores of single cases and the CSV file that stores them. docs/evaluation.md defines every number."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

METRICS = ("dice_lesion", "dice_macro", "avd", "mcc", "hd95_mm", "lesion_f1", "volume_error_ml")
_COLUMNS = ("model", "parameters", "fold", "restart", "subject", "name", *METRICS, "empty", "collapsed", "data")


@dataclass(frozen=True)
class Score:
    """Scores of one case by one run. model: its name in tables; prediction: the label file; values: score by metric.

    empty: no voxel was predicted although the reference has some; the HD95 is then the diagonal of the image.
    collapsed: why the run counts as collapsed (restarts.py), empty for any other run.
    """

    model: str
    parameters: int
    fold: int
    restart: int
    subject: str
    name: str
    prediction: Path
    values: dict[str, float]
    empty: bool = False
    collapsed: str = ""


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
                line["empty"] == "1",
                line["collapsed"],
            )
            for line in csv.DictReader(file)
        ]


def data_of(path: Path) -> str:
    """The prepared folder that these scores were computed on; empty if the file has no rows or other columns."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        return next((line["data"] for line in lines), "") if lines.fieldnames == list(_COLUMNS) else ""


def write_scores(path: Path, scores: Sequence[Score], data: Path) -> None:
    """Write one line per case and run, with the prepared folder `data`."""
    partial = path.with_suffix(".partial")
    folder = str(data.resolve())
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for s in scores:
            head = (s.model, s.parameters, s.fold, s.restart, s.subject, s.name)
            writer.writerow([*head, *(s.values[m] for m in METRICS), int(s.empty), s.collapsed, folder])
    os.replace(partial, path)
