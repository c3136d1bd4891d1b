"""Values far outside the rest of a scan, which would take the grey scale for themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note

#: Shares of the voxels below the lower and below the upper quantile.
QUANTILE_SHARES = (0.005, 0.995)
#: Distances from the quantiles, in multiples of their difference, beyond which a value is an outlier.
SPANS_BELOW, SPANS_ABOVE = 2, 10


def clip_outliers(data: NDArray[Any]) -> tuple[NDArray[Any], list[Note]]:
    """The data [i, j, k] with outliers clipped to the nearest other value, and a note of them.

    With the quantiles q0.5 % and q99.5 % and span = q99.5 % - q0.5 %, outliers are values below q0.5 % - 2 span or
    above q99.5 % + 10 span. Data without outliers, or with a span of 0, is returned unchanged.
    """
    low, high = quantiles(data, *QUANTILE_SHARES)
    span = high - low
    # float64, so that float32 data is compared with the bounds themselves
    least, most = np.float64(low - SPANS_BELOW * span), np.float64(high + SPANS_ABOVE * span)
    if not span > 0 or (float(data.min()) >= least and float(data.max()) <= most):
        return data, []
    far = (data < least) | (data > most)
    outliers, rest = data[far], data[~far]
    rest_range = float(rest.min()), float(rest.max())
    note = make_note(
        "outliers-clipped", far.sum(), far.mean(), (float(outliers.min()), float(outliers.max())), rest_range
    )
    return np.clip(data, rest.min(), rest.max()), [note]


def quantiles(data: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """The values of rank floor(low n) and ceil(high n) - 1 (from 0) among the n voxels."""
    n = data.size
    ranks = int(np.floor(low * n)), int(np.ceil(high * n)) - 1
    ordered = np.partition(data.ravel(order="K"), ranks)
    return float(ordered[ranks[0]]), float(ordered[ranks[1]])
