"""Intensity normalisation of a volume for the network, as `input.normalization` of its ModelSpec states.

Computed in float64 and rounded once to float32, so that Python and TypeScript get the same numbers (docs/conform.md,
section 5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import MinMax, Quantile
from meshnet.scan.short_integers import look_up


def normalize(volume: NDArray[Any], normalization: MinMax | Quantile) -> NDArray[np.float32]:
    """`(x - low) / (high - low)`, float32, same shape as `volume` (any real dtype).

    `low` and `high` are taken over the whole volume: the extremes (MinMax: result in [0, 1]), or quantiles with linear
    interpolation (Quantile: result clipped to [0, 1] if `clip` is set). Raises ValueError if they are equal or not
    finite.
    """
    low, high = _range(volume, normalization)
    if not np.isfinite(high - low):
        raise ValueError(f"can't normalise a volume with NaN or infinite values ({low} to {high})")
    if high <= low:
        raise ValueError(
            f"can't normalise: {_describe(normalization)} of the volume are both {low}; "
            f"the image is constant, or nearly all of it is background"
        )
    if volume.dtype == np.uint8:
        table = _rescale(np.arange(256), low, high, normalization)
        return look_up(table, volume)
    return _rescale(volume, low, high, normalization)


def _range(volume: NDArray[Any], normalization: MinMax | Quantile) -> tuple[float, float]:
    if isinstance(normalization, MinMax):
        return float(volume.min()), float(volume.max())
    if volume.dtype == np.uint8:
        below = np.cumsum(np.bincount(volume.reshape(-1), minlength=256))
        return _quantile_of_counts(below, normalization.low), _quantile_of_counts(below, normalization.high)
    low, high = np.quantile(volume.astype(np.float64), (normalization.low, normalization.high))
    return float(low), float(high)


def _quantile_of_counts(below: NDArray[np.int64], q: float) -> float:
    """Quantile q of grey levels 0 to 255; below[g]: number of voxels with a value of at most g."""
    position = (int(below[-1]) - 1) * q
    index = int(position)
    lower = int(np.searchsorted(below, index, side="right"))
    upper = int(np.searchsorted(below, min(index + 1, int(below[-1]) - 1), side="right"))
    return lower + (position - index) * (upper - lower)


def _rescale(values: NDArray[Any], low: float, high: float, normalization: MinMax | Quantile) -> NDArray[np.float32]:
    scaled = (values.astype(np.float64) - low) / (high - low)
    if isinstance(normalization, Quantile) and normalization.clip:
        scaled = np.clip(scaled, 0.0, 1.0)
    return scaled.astype(np.float32)


def _describe(normalization: MinMax | Quantile) -> str:
    if isinstance(normalization, MinMax):
        return "minimum and maximum"
    return f"the quantiles {normalization.low} and {normalization.high}"
