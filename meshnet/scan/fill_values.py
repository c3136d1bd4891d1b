"""Negative values that fill parts of a volume, such as -32768 or -9999 around what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note
from meshnet.scan.outliers import QUANTILE_SHARES, quantiles

#: Most distinct fill values in one volume.
MOST_FILL_VALUES = 4


#: Fewer voxels than this do not fill a region.
LEAST_VOXELS = 100


def replace_fill(data: NDArray[Any]) -> tuple[NDArray[Any], list[Note]]:
    """The data [i, j, k] with fill values replaced by the smallest other value, and a note of them.

    A fill value is one of the four smallest values, is negative, and lies below the next value by more than that one
    lies below q99.5 %. Fill values take more than 0.5 % of the voxels, and 100 of them; others may be outliers.
    """
    value = data.min()
    if not value < 0:
        return data, []
    top, fill = quantiles(data, *QUANTILE_SHARES)[1], None
    for _ in range(MOST_FILL_VALUES):
        following = data.min(where=data > value, initial=data.max())
        if value < 0 and float(following) < top and float(following) - float(value) > top - float(following):
            fill = value
        value = following
    if fill is None:
        return data, []
    is_fill = data <= fill
    voxels = int(np.count_nonzero(is_fill))
    share = voxels / data.size
    if voxels < LEAST_VOXELS or not share > QUANTILE_SHARES[0]:
        return data, []
    least = data[~is_fill].min()
    note = make_note("fill-values", share, float(data.min()), float(fill), float(least))
    return np.where(is_fill, least, data), [note]
