"""The Markdown table of `meshnet.lab.evaluate_models`, with the targets that our own models must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Models trained in this project, which have targets; the others are published ones.
OWN = ("t2-lesion", "lesion", "tissue", "brain", "deep")

_REAL = "real heads without a stroke"


@dataclass(frozen=True)
class Row:
    """Scores of one model on one case. Dice scores are 0 to 1, volumes in mL. dice_grey and dice_white are NaN if the
    reference does not separate them. consensus: of the voxels that both published lesion models mark, the share that
    this model marks; NaN except on M2265. outside_ml: marked farther than 5 mm outside the brain; NaN without a mask
    of the brain."""

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
    outside_ml: float = float("nan")


@dataclass(frozen=True)
class Measure:
    """A number computed from the rows of one group and model. least, most: target for our own models, one of them.

    case: only cases whose name has this text.
    """

    group: str
    name: str
    value: Callable[[Sequence[Row]], float]
    least: float | None = None
    most: float | None = None
    case: str = ""

    @property
    def target(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"

    def reached(self, value: float) -> bool:
        return value >= self.least if self.least is not None else self.most is None or value <= self.most


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


def _highest(name: str) -> Callable[[Sequence[Row]], float]:
    return lambda rows: float(max(getattr(r, name) for r in rows))


def _mean_below(ml: float) -> Callable[[Sequence[Row]], float]:
    """Mean Dice of the lesions smaller than `ml`; NaN where there are none."""

    def value(rows: Sequence[Row]) -> float:
        small = [r for r in rows if r.true_ml < ml]
        return _mean(small) if small else float("nan")

    return value


def _label_map_measures(contrast: str, mean: float, median: float, small: float) -> tuple[Measure, ...]:
    lesion, healthy, case = "label-map heads, lesion", "label-map heads, lesion-free", f"-{contrast}-"
    return (
        Measure(lesion, f"{contrast}: lesion Dice, mean", _mean, mean, case=case),
        Measure(lesion, f"{contrast}: lesion Dice, median", _median, median, case=case),
        Measure(lesion, f"{contrast}: lesion Dice below 5 mL, mean", _mean_below(5), small, case=case),
        Measure(lesion, f"{contrast}: volume, Pearson's r", _correlation, 0.95, case=case),
        Measure(healthy, f"{contrast}: share of subjects with at most 1 mL marked", _within_1_ml, 0.95, case=case),
    )


MEASURES = (
    Measure(_REAL, "most outside the brain in one, mL", _highest("outside_ml"), most=0.5),
    Measure(_REAL, "`oms` T2w: most marked in one, mL", _highest("volume_ml"), most=2, case="T2W"),
    Measure(_REAL, "most marked in one, mL", _highest("volume_ml"), most=5),
    *_label_map_measures("T2w", 0.78, 0.85, 0.50),
    *_label_map_measures("T1w", 0.70, 0.77, 0.42),
    *_label_map_measures("FLAIR", 0.70, 0.77, 0.42),
    Measure("synthetic lesion", "lesion Dice, mean", _mean, 0.75),
    Measure("synthetic lesion", "lesion Dice, median", _median, 0.80),
    Measure("synthetic lesion", "volume, Pearson's r", _correlation, 0.95),
    Measure("synthetic lesion-free", "share of subjects with at most 1 mL marked", _within_1_ml, 0.9),
    Measure("Colin27, unseen contrast", "share of renderings with at most 1 mL marked", _within_1_ml, 0.9),
    Measure("M2265", "lesion Dice, lower of the scan and its regridded copy", _lowest("dice"), 0.82),
    Measure("M2265", "share of what both published models mark, lower of the two", _lowest("consensus"), 0.84),
    Measure("t1_crop", "brain (grey and white) Dice", _lowest("dice"), 0.96),
    Measure("t1_crop", "grey Dice", _lowest("dice_grey"), 0.85),
    Measure("t1_crop", "white Dice", _lowest("dice_white"), 0.88),
    Measure("Colin27", "brain Dice", _lowest("dice"), 0.95),
    *(
        Measure(
            "label-map heads, structures",
            f"{contrast}: Dice of the structures, mean",
            _mean,
            0.80,
            case=f"-{contrast}-",
        )
        for contrast in ("T1w", "T2w", "FLAIR")
    ),
    Measure("t1_crop, structures", "Dice of the structures, mean", _mean, 0.75),
    Measure("real heads, brain", "brain Dice, lowest of the scans", _lowest("dice"), 0.95),
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
        mine = [r for r in rows if r.group == measure.group and measure.case in r.case]
        if not mine:
            continue
        count = len({r.case for r in mine})
        cells = [_cell(measure, [r for r in mine if r.model == m], m) for m in models]
        lines.append(f"| {measure.group} ({count}) | {measure.name} | {measure.target} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(measure: Measure, rows: Sequence[Row], model: str) -> str:
    if not rows:
        return "-"
    value = measure.value(rows)
    if np.isnan(value):
        return "-"
    missed = model in OWN and not measure.reached(value)
    return f"{value:.3f}" + (" (missed)" if missed else "")
