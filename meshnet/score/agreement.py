"""Agreement of two volumes over scans, and bootstrap confidence intervals that resample persons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Interval = tuple[float, float]

RESAMPLES = 2000
#: Values drawn in one step, to bound the memory of large cohorts.
_AT_ONCE = 4_000_000
_SEED = 20_240_517
_CONFIDENCE = (2.5, 97.5)

#: 97.5 % point of the normal distribution: limits that hold 95 % of the differences.
_LIMITS = 1.959964


@dataclass(frozen=True)
class Agreement:
    """Volumes in mL of `scans` scans. icc: ICC(2,1); bias_ml: mean of result minus reference; limits_ml: Bland and
    Altman's 95 % limits. Each interval is a 95 % confidence interval; NaN where there are too few scans."""

    scans: int
    icc: float
    icc_interval: Interval
    bias_ml: float
    bias_interval: Interval
    limits_ml: Interval


def agreement(result_ml: Sequence[float], reference_ml: Sequence[float], persons: Sequence[str]) -> Agreement:
    """Agreement of the volumes of each scan; persons: the scan's person, by which the intervals resample."""
    x, y = np.asarray(result_ml, float), np.asarray(reference_ml, float)
    names, index = np.unique(np.asarray(persons, str), return_inverse=True)
    per_scan = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    sums = np.zeros((len(names), per_scan.shape[1]))
    np.add.at(sums, index, per_scan)
    whole = sums.sum(axis=0, keepdims=True)
    resampled = _drawn_counts(len(names)) @ sums
    bias, sd = float((x - y).mean()), float(np.std(x - y, ddof=1)) if len(x) > 1 else float("nan")
    return Agreement(
        len(x),
        float(_icc_of_sums(whole)[0]),
        _interval(_icc_of_sums(resampled)),
        bias,
        _interval((resampled[:, 1] - resampled[:, 2]) / resampled[:, 0]),
        (bias - _LIMITS * sd, bias + _LIMITS * sd),
    )


def icc(result: Sequence[float], reference: Sequence[float]) -> float:
    """ICC(2,1): two-way random effects, absolute agreement, single measurement (Shrout and Fleiss 1979,
    doi:10.1037/0033-2909.86.2.420); NaN for fewer than two scans or without any variation."""
    x, y = np.asarray(result, float), np.asarray(reference, float)
    sums = np.array([[len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]])
    return float(_icc_of_sums(sums)[0])


def bootstrap(values: Sequence[float], statistic: Callable[..., Array] = np.mean) -> Interval:
    """95 % percentile interval of a statistic (np.mean, np.median) of one value per person (Efron 1979); NaN for fewer
    than two persons. The draws are the same in each call."""
    array = np.asarray(values, float)
    if len(array) < 2:
        return (float("nan"), float("nan"))
    rng = np.random.default_rng(_SEED)
    rows = max(1, _AT_ONCE // len(array))
    drawn = [
        statistic(array[rng.integers(0, len(array), (min(rows, RESAMPLES - start), len(array)))], axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    return _interval(np.concatenate(drawn))


def wilson(found: int, of: int) -> Interval:
    """95 % confidence interval of a proportion (Wilson 1927)."""
    if of == 0:
        return (float("nan"), float("nan"))
    z2, share = _LIMITS**2, found / of
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _LIMITS / (1 + z2 / of) * float(np.sqrt(share * (1 - share) / of + z2 / (4 * of * of)))
    return (middle - half, middle + half)


def _icc_of_sums(sums: Array) -> Array:
    """ICC(2,1) of each row of sums: n, Σx, Σy, Σx², Σy², Σxy over scans. They add up over persons, so that a resampled
    cohort costs a product of matrices."""
    n, sx, sy, sxx, syy, sxy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (sx + sy) / (2 * n)
        total = sxx + syy - 2 * n * mean**2
        rows = (sxx + 2 * sxy + syy) / 2 - 2 * n * mean**2
        columns = n * ((sx / n - mean) ** 2 + (sy / n - mean) ** 2)
        between_scans = rows / (n - 1)
        error = (total - rows - columns) / (n - 1)
        value: Array = (between_scans - error) / (between_scans + error + 2 * (columns - error) / n)
    return np.where(np.isfinite(value), value, np.nan)


def _drawn_counts(persons: int) -> Array:
    """How often each person is drawn in each resample: [RESAMPLES, persons]."""
    rng = np.random.default_rng(_SEED)
    return rng.multinomial(persons, np.full(persons, 1 / persons), size=RESAMPLES).astype(float)


def _interval(values: Array) -> Interval:
    finite = values[np.isfinite(values)]
    if len(finite) < RESAMPLES / 2 or len(np.unique(finite)) < 2:
        return (float("nan"), float("nan"))
    low, high = np.percentile(finite, _CONFIDENCE)
    return float(low), float(high)
