"""Tables of finished models: overlap, volumes, tests, strata, lesion sizes and scans without lesion."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from meshnet.score.agreement import Interval, bootstrap, wilson
from meshnet.score.data_set import ReferenceScan
from meshnet.score.figures import stars
from meshnet.score.model_summary import FREE_ML, MEASURES, SIZES_ML, TESTED, Estimate, FreeSummary, ModelSummary
from meshnet.score.scan_scores import ScanScore
from meshnet.score.summary import Observation, per_subject
from meshnet.score.tables import Cell, Grid

_OVERLAP = ("dice_lesion", "dice_macro", "hd95_mm", "msd_mm", "lesion_f1", "lesion_sensitivity", "false_lesions")
_OF_STRATA = ("dice_lesion", "hd95_mm", "lesion_f1", "volume_error_abs_ml")
_NOT_GIVEN = "–"


def overlap_table(models: Mapping[str, ModelSummary], reference_model: str = "") -> Grid:
    """Overlap, distances and lesions, one line per model."""
    head = ["Model", "Scans (persons)", "Dice, median", *(MEASURES[m].title() for m in _OVERLAP)]
    lines = []
    for model, of in models.items():
        line = [Cell(_name(model, reference_model)), Cell(f"{of.scans} ({of.persons})")]
        line.append(
            Cell(_estimate(of.measures["dice_lesion"].median, 3), model in _best(models, "dice_lesion", "median"))
        )
        line += [_measure(models, model, m) for m in _OVERLAP]
        lines.append(line)
    notes = ["Means over persons (a person's scans averaged first) with 95 % bootstrap intervals over persons."]
    empty = [f"{model} in {of.empty} of {of.scans}" for model, of in models.items() if of.empty]
    if empty:
        notes.append(
            f"Nothing was marked by {', '.join(empty)} scans; the distance there is the diagonal of the image."
        )
    if len({(of.scans, of.persons) for of in models.values()}) > 1:
        notes.append("The models were scored on different scans: compare them by the tests, which take common persons.")
    return Grid(head, lines, notes)


def volume_table(models: Mapping[str, ModelSummary], reference_model: str = "") -> Grid:
    """Volume errors, agreement and what lies outside the brain, one line per model."""
    measures = ["volume_error_abs_ml", "volume_error_percent"]
    outside = [m for m in ("outside_ml", "outside_far_ml") if any(m in of.measures for of in models.values())]
    head = ["Model", *(MEASURES[m].title() for m in measures), "ICC(2,1) ↑", "Bias [mL]", "Limits of agreement [mL]"]
    head += [MEASURES[m].title() for m in outside]
    best_icc = _best_values({model: of.volumes.icc for model, of in models.items() if of.volumes}, 3)
    lines = []
    for model, of in models.items():
        line = [Cell(_name(model, reference_model)), *(_measure(models, model, m) for m in measures)]
        volumes = of.volumes
        if volumes is None:
            line += [Cell(_NOT_GIVEN)] * 3
        else:
            low, high = volumes.limits_ml
            line.append(Cell(_estimate(Estimate(volumes.icc, volumes.icc_interval), 3), model in best_icc))
            line.append(Cell(_estimate(Estimate(volumes.bias_ml, volumes.bias_interval), 1)))
            line.append(Cell(_NOT_GIVEN if math.isnan(low) else f"{low:.1f} to {high:.1f}"))
        line += [_measure(models, model, m) for m in outside]
        lines.append(line)
    note = (
        "ICC, bias and limits of agreement (Bland and Altman, 95 %) are over scans; their intervals resample persons."
    )
    return Grid(head, lines, [note])


def difference_table(models: Mapping[str, ModelSummary], reference_model: str) -> Grid:
    """Differences from the reference model and their p, one line per other model."""
    head = ["Model"]
    for measure in TESTED:
        head += [f"Δ {MEASURES[measure].title()}", "p"]
    lines = []
    for model, of in models.items():
        if model == reference_model:
            continue
        line = [Cell(model)]
        for measure in TESTED:
            row = of.measures.get(measure)
            if row is None or row.difference is None:
                line += [Cell(_NOT_GIVEN), Cell(_NOT_GIVEN)]
            else:
                line += [Cell(_estimate(row.difference, MEASURES[measure].decimals)), Cell(_p(row.summary.p_holm))]
        lines.append(line)
    note = (
        f"Mean difference from {reference_model} on the persons that both were scored on, 95 % bootstrap interval. "
        "p: Wilcoxon's signed-rank test on those persons, two-sided, Holm-corrected over the models of one measure: "
        "* p < 0.05, ** p < 0.01, *** p < 0.001."
    )
    return Grid(head, lines, [note])


def stratum_table(groups: Mapping[str, Sequence[ScanScore]], kind: str, models: Sequence[str]) -> Grid:
    """One line per stratum and model: the measures of `_OF_STRATA`, means over persons."""
    head = [kind[0].upper() + kind[1:], "Model", "Scans (persons)", *(MEASURES[m].title() for m in _OF_STRATA)]
    lines = []
    for stratum, scores in groups.items():
        for model in models:
            own = [s for s in scores if s.model == model]
            if own:
                line = [Cell(stratum), Cell(model), Cell(f"{len(own)} ({len({s.subject for s in own})})")]
                lines.append(
                    [*line, *(Cell(_estimate(_over_persons(own, m), MEASURES[m].decimals)) for m in _OF_STRATA)]
                )
    return Grid(head, lines, ["Means over persons with 95 % bootstrap intervals; a single person has no interval."])


def size_table(models: Mapping[str, ModelSummary]) -> Grid:
    """Lesion sensitivity by lesion size, one line per model."""
    lower = (0.0, *SIZES_ML[:-1])
    names = [
        f"up to {high:g} mL" if low == 0 else f"{low:g} to {high:g} mL"
        for low, high in zip(lower, SIZES_ML, strict=True)
    ]
    names[-1] = f"over {SIZES_ML[-2]:g} mL"
    lines = [
        [Cell(model), *(Cell(_share(found, of)) for found, of in summary.sensitivity)]
        for model, summary in models.items()
    ]
    note = (
        "Share of the reference's lesions (connected components) that are found, with Wilson's 95 % interval and count."
    )
    return Grid(["Model", *names], lines, [note])


def lesion_free_table(free: Mapping[str, FreeSummary]) -> Grid:
    """The scans without a lesion, one line per model."""
    lines = [[Cell(model), *_free_cells(of)] for model, of in free.items()]
    return Grid(["Model", *_free_head()], lines, ["Scans whose reference is empty; the other tables don't count them."])


def lesion_free_by_table(groups: Mapping[str, Mapping[str, FreeSummary]], kind: str) -> Grid:
    """The scans without a lesion, one line per stratum and model."""
    head = [kind[0].upper() + kind[1:], "Model", *_free_head()]
    lines = [
        [Cell(stratum), Cell(model), *_free_cells(of)] for stratum, free in groups.items() for model, of in free.items()
    ]
    return Grid(head, lines, [])


def _free_head() -> list[str]:
    outside = [MEASURES[m].title() for m in ("outside_ml", "outside_far_ml")]
    return [
        "Scans (persons)",
        "Marked [mL] ↓",
        "Largest [mL] ↓",
        f"Scans with ≤ {FREE_ML:g} mL ↑",
        "False lesions ↓",
        *outside,
    ]


def _free_cells(of: FreeSummary) -> list[Cell]:
    return [
        Cell(f"{of.scans} ({of.persons})"),
        Cell(_estimate(of.marked_ml, 2)),
        Cell(f"{of.largest_ml:.2f}"),
        Cell(f"{100 * of.share_right:.0f} % {_interval_text(of.share_interval, 2)}"),
        Cell(f"{of.false_lesions:.1f}"),
        Cell(_number(of.outside_ml, 2)),
        Cell(_number(of.outside_far_ml, 2)),
    ]


def write_scan_csv(path: Path, scores: Sequence[ScanScore], scans: Mapping[str, ReferenceScan]) -> None:
    """Every value of every scan: one line per model and scan."""
    about = ("model", "scan", "subject", "contrast", "acquisition", "centre", "reference_ml", "result_ml")
    names = list(scores[0].values) if scores else list(MEASURES)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*about, *names, "lesions", "lesions_found"))
        for s in scores:
            scan = scans[s.scan]
            head = (
                s.model,
                s.scan,
                s.subject,
                scan.contrast,
                scan.acquisition,
                scan.centre,
                s.reference_ml,
                s.result_ml,
            )
            values = ["" if math.isnan(s.values[name]) else s.values[name] for name in names]
            writer.writerow((*head, *values, len(s.found), sum(s.found)))


def write_model_csv(path: Path, models: Mapping[str, ModelSummary]) -> None:
    """Every statistic with all digits: one line per model and measure, ICC and bias included."""
    head = ("model", "measure", "persons", "mean", "mean_low", "mean_high", "median", "median_low", "median_high")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*head, "sd_persons", "difference", "difference_low", "difference_high", "p", "p_holm"))
        for model, of in models.items():
            for measure, row in of.measures.items():
                spread = (row.mean.value, *row.mean.interval, row.median.value, *row.median.interval)
                apart = ("", "", "") if row.difference is None else (row.difference.value, *row.difference.interval)
                tested = (row.summary.sd_subjects, *apart, row.summary.p, row.summary.p_holm)
                writer.writerow((model, measure, row.summary.subjects, *spread, *tested))
            if of.volumes is not None:
                for name, value, interval in (
                    ("icc", of.volumes.icc, of.volumes.icc_interval),
                    ("bias_ml", of.volumes.bias_ml, of.volumes.bias_interval),
                    ("limits_of_agreement_ml", "", of.volumes.limits_ml),
                ):
                    writer.writerow((model, name, of.persons, value, *interval))


def _measure(models: Mapping[str, ModelSummary], model: str, measure: str) -> Cell:
    row = models[model].measures.get(measure)
    if row is None:
        return Cell(_NOT_GIVEN)
    return Cell(_estimate(row.mean, MEASURES[measure].decimals), model in _best(models, measure, "mean"))


def _best(models: Mapping[str, ModelSummary], measure: str, statistic: str) -> set[str]:
    """The models whose statistic, as printed, is the best; nobody where there is one model."""
    sign = {"high": 1, "low": -1}.get(MEASURES[measure].better, 0)
    found = {m: getattr(of.measures[measure], statistic).value for m, of in models.items() if measure in of.measures}
    values = {m: sign * v if sign else -abs(v) for m, v in found.items()}
    return _best_values(values, MEASURES[measure].decimals)


def _best_values(values: Mapping[str, float], decimals: int) -> set[str]:
    rounded = {m: round(v, decimals) for m, v in values.items() if math.isfinite(v)}
    return {m for m, v in rounded.items() if v == max(rounded.values())} if len(rounded) > 1 else set()


def _over_persons(scores: Sequence[ScanScore], measure: str) -> Estimate:
    own = per_subject([Observation(s.model, 0, 0, s.subject, s.values[measure]) for s in scores])
    values = list(own[scores[0].model].values()) if own else []
    return Estimate(float(np.mean(values)), bootstrap(values)) if values else Estimate(math.nan)


def _name(model: str, reference_model: str) -> str:
    return f"{model} (reference)" if model == reference_model else model


def _estimate(estimate: Estimate, decimals: int) -> str:
    interval = _interval_text(estimate.interval, decimals)
    return f"{_number(estimate.value, decimals)}{f' {interval}' if interval else ''}"


def _interval_text(interval: Interval, decimals: int) -> str:
    low, high = interval
    return "" if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else _NOT_GIVEN


def _share(found: int, of: int) -> str:
    return f"{found / of:.2f} {_interval_text(wilson(found, of), 2)} ({found}/{of})" if of else _NOT_GIVEN


def _p(p: float) -> str:
    if math.isnan(p):
        return _NOT_GIVEN
    return f"{'<0.001' if p < 0.001 else f'{p:.3f}'}{' ' if stars(p) else ''}{stars(p)}"
