"""The Markdown table of `meshnet.lab.evaluate_models`, with the targets that our own models must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Models trained in this project, which have targets; the others are published ones.
OWN = ("t2-lesion", "tissue")


@dataclass(frozen=True)
class Row:
    """Scores of one model on one case. Dice scores are 0 to 1, volumes in mL. dice_grey and dice_white are NaN if the
    reference does not separate them. consensus: of the voxels that both published lesion models mark, the share that
    this model marks; NaN except on M2265."""

    model: str
    sha256: str
    group: str
    case: str
    dice: float
    dice_grey: float
    dice_white: float
    volume_ml: float
    true_ml: float
    consensus: float = float("nan")


@dataclass(frozen=True)
class Measure:
    """A number computed from all rows of one group and model. least: target for our own models; None: no target."""

    group: str
    name: str
    value: Callable[[Sequence[Row]], float]
    least: float | None


def _mean(rows: Sequence[Row]) -> float:
    return float(np.mean([r.dice for r in rows]))


def _median(rows: Sequence[Row]) -> float:
    return float(np.median([r.dice for r in rows]))


def _correlation(rows: Sequence[Row]) -> float:
    """Pearson's r of predicted and true volumes; NaN for fewer than three cases."""
    if len(rows) < 3:
        return float("nan")
    return float(np.corrcoef([r.volume_ml for r in rows], [r.true_ml for r in rows])[0, 1])


def _within_1_ml(rows: Sequence[Row]) -> float:
    return float(np.mean([r.volume_ml <= 1.0 for r in rows]))


def _lowest(name: str) -> Callable[[Sequence[Row]], float]:
    return lambda rows: float(min(getattr(r, name) for r in rows))


MEASURES = (
    Measure("synthetic lesion", "lesion Dice, mean", _mean, 0.75),
    Measure("synthetic lesion", "lesion Dice, median", _median, 0.80),
    Measure("synthetic lesion", "volume, Pearson's r", _correlation, 0.95),
    Measure("synthetic lesion-free", "share of subjects with at most 1 mL marked", _within_1_ml, 0.9),
    Measure("Colin27, unseen contrast", "share of renderings with at most 1 mL marked", _within_1_ml, 0.9),
    Measure("M2265", "lesion Dice, lower of the scan and its regridded copy", _lowest("dice"), 0.65),
    Measure("M2265", "share of what both published models mark, lower of the two", _lowest("consensus"), 0.8),
    Measure("t1_crop", "brain (grey and white) Dice", _lowest("dice"), 0.95),
    Measure("t1_crop", "grey Dice", _lowest("dice_grey"), 0.80),
    Measure("t1_crop", "white Dice", _lowest("dice_white"), 0.85),
    Measure("Colin27", "brain Dice", _lowest("dice"), 0.95),
)


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line per measure, one column per model; `-` if the model was not scored on the group. `(missed)`
    follows a value of our own models that is below its target."""
    models = sorted({r.model for r in rows}, key=lambda m: (m not in OWN, m))
    lines = [
        "| cases | measure | target | " + " | ".join(f"`{m}`" for m in models) + " |",
        "|---" * (3 + len(models)) + "|",
    ]
    for measure in MEASURES:
        mine = [r for r in rows if r.group == measure.group]
        if not mine:
            continue
        count = len({r.case for r in mine})
        cells = [_cell(measure, [r for r in mine if r.model == m], m) for m in models]
        target = "" if measure.least is None else f"≥ {measure.least:g}"
        lines.append(f"| {measure.group} ({count}) | {measure.name} | {target} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(measure: Measure, rows: Sequence[Row], model: str) -> str:
    if not rows:
        return "-"
    value = measure.value(rows)
    if np.isnan(value):
        return "-"
    missed = model in OWN and measure.least is not None and value < measure.least
    return f"{value:.3f}" + (" (missed)" if missed else "")
