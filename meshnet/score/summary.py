"""Statistics of the paper's table: means, two standard deviations, and tests against a reference model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from statsmodels.stats.multitest import multipletests


@dataclass(frozen=True)
class Observation:
    """One value of one metric: a case of `subject`, tested in outer fold `fold`, by restart `restart` of `model`."""

    model: str
    fold: int
    restart: int
    subject: str
    value: float


@dataclass(frozen=True)
class Summary:
    """One metric of one model. mean, median, quartiles (first and third): over subjects. sd_folds: standard deviation
    of the outer folds' means; sd_subjects: over all subjects (both with n - 1). p, p_holm: test against the reference,
    before and after Holm's correction; NaN for the reference itself."""

    model: str
    subjects: int
    mean: float
    median: float
    quartiles: tuple[float, float]
    sd_folds: float
    sd_subjects: float
    p: float = float("nan")
    p_holm: float = float("nan")


def per_subject(observations: Sequence[Observation]) -> dict[str, dict[tuple[int, str], float]]:
    """`{model: {(fold, subject): value}}`: averaged over the scans of a subject, then over restarts.

    NaN (undefined) values are left out; a subject that has no other value is left out. Infinite values (HD95 of an
    empty mask) are kept, because they are the worst result, not a missing one.
    """
    restarts: dict[str, dict[tuple[int, str], dict[int, list[float]]]] = {}
    for o in observations:
        if not np.isnan(o.value):
            own = restarts.setdefault(o.model, {}).setdefault((o.fold, o.subject), {})
            own.setdefault(o.restart, []).append(o.value)
    return {
        model: {key: float(np.mean([np.mean(v) for v in own.values()])) for key, own in subjects.items()}
        for model, subjects in restarts.items()
    }


def summarize(observations: Sequence[Observation], reference: str) -> list[Summary]:
    """One summary per model, in the order of first appearance.

    p: Wilcoxon's signed-rank test (two-sided) against `reference` on the subjects that both models have; p_holm: with
    Holm's correction over the models, for this metric.
    """
    values = per_subject(observations)
    p_values = {m: _wilcoxon(v, values[reference]) for m, v in values.items() if reference in values and m != reference}
    holm = (
        dict(zip(p_values, multipletests(list(p_values.values()), method="holm")[1], strict=True)) if p_values else {}
    )
    return [_summary(m, v, p_values.get(m, np.nan), holm.get(m, np.nan)) for m, v in values.items()]


def _summary(model: str, subjects: dict[tuple[int, str], float], p: float, p_holm: float) -> Summary:
    array = np.array(list(subjects.values()))
    folds = sorted({fold for fold, _ in subjects})
    means = np.array([np.mean([v for (f, _), v in subjects.items() if f == fold]) for fold in folds])
    method: Literal["linear", "nearest"] = "linear" if np.isfinite(array).all() else "nearest"  # inf - inf is NaN
    low, middle, high = np.quantile(array, (0.25, 0.5, 0.75), method=method)
    return Summary(
        model=model,
        subjects=len(array),
        mean=float(array.mean()),
        median=float(middle),
        quartiles=(float(low), float(high)),
        sd_folds=_sd(means),
        sd_subjects=_sd(array),
        p=float(p),
        p_holm=float(p_holm),
    )


def _sd(values: NDArray[np.float64]) -> float:
    """Sample standard deviation; NaN for fewer than two values or infinite ones."""
    return float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else float("nan")


def _wilcoxon(a: dict[tuple[int, str], float], b: dict[tuple[int, str], float]) -> float:
    """Two-sided p over the subjects of both; 1 if every pair is equal, NaN without pairs."""
    pairs = [(a[key], b[key]) for key in a if key in b]
    if not pairs:
        return float("nan")
    x, y = np.array(pairs).T
    # Infinite on both sides is a tie; infinite on one side ranks above every finite difference.
    equal = x == y
    difference = np.zeros(len(x))
    largest = np.abs(x[np.isfinite(x)]).max(initial=0.0) + np.abs(y[np.isfinite(y)]).max(initial=0.0) + 1.0
    difference[~equal] = np.clip(x[~equal] - y[~equal], -largest, largest)
    return 1.0 if equal.all() else float(wilcoxon(difference).pvalue)
