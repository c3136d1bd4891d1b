"""From per-case scores to the paper's table: means, two kinds of s.d., and tests against a reference model."""

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
    """One value of one metric: case `subject` of outer fold `fold`, by restart `restart` of `model`."""

    model: str
    fold: int
    restart: int
    subject: str
    value: float


@dataclass(frozen=True)
class Summary:
    """mean over subjects; sd_folds: s.d. of the outer folds' means; sd_subjects: s.d. over all subjects
    (both with n - 1). p, p_holm: against the reference; NaN for the reference itself."""

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
    """`{model: {(fold, subject): value}}`: scans of a subject and restarts averaged, restarts last.

    Undefined values (NaN) are left out of a subject's average; a subject with nothing else is left
    out. Infinite values (HD95 where nothing was found) stay: they are the worst, not missing.
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
    """One summary per model, best-known order kept as first seen; p by Wilcoxon's signed-rank test on
    subjects that both models have, Holm's correction over all other models (of this one metric)."""
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
    """Sample s.d.; NaN for fewer than two values or infinite ones."""
    return float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else float("nan")


def _wilcoxon(a: dict[tuple[int, str], float], b: dict[tuple[int, str], float]) -> float:
    """Two-sided p on subject-wise pairs; 1 where every pair is equal, NaN without pairs."""
    pairs = [(a[key], b[key]) for key in a if key in b]
    if not pairs:
        return float("nan")
    x, y = np.array(pairs).T
    # an infinite distance on both sides is a tie; on one side it outranks every finite difference
    equal = x == y
    difference = np.zeros(len(x))
    largest = np.abs(x[np.isfinite(x)]).max(initial=0.0) + np.abs(y[np.isfinite(y)]).max(initial=0.0) + 1.0
    difference[~equal] = np.clip(x[~equal] - y[~equal], -largest, largest)
    return 1.0 if equal.all() else float(wilcoxon(difference).pvalue)
