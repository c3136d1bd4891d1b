"""Recognise labels and probability maps by the values of the voxels, where name and header say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: FreeSurfer's aseg has 45 labels; an 8-bit scan has about 200 grey levels.
MOST_LABELS = 64
#: FreeSurfer's largest code is 14175.
LARGEST_LABEL = 20_000

#: No scan has as few different values as this.
FEW_VALUES = 16

#: Of a probability map's voxels above `_ABOVE_ZERO`, at most the first share lies in the middle and at least the second
#: one near 1. Scans scaled to 0..1 and clipped at 2 % and 98 % had 31 % or more in the middle. The bounds are exact in
#: float32.
_ABOVE_ZERO, _MIDDLE, _NEAR_ONE, _LARGEST = 2**-7, (0.25, 0.75), 0.875, 1 + 2**-10
MOST_IN_THE_MIDDLE, LEAST_NEAR_ONE = 0.25, 0.1

#: Voxels that are looked at in one step: a scan shows after a few of them that it holds no labels.
_CHUNK = 1 << 18


def is_label_like(data: NDArray[Any]) -> bool:
    """Whether all values are integers from 0 to 20,000, and at most 64 different ones."""
    voxels = data.ravel(order="K")
    seen: set[float] = set()
    for start in range(0, voxels.size, _CHUNK):
        chunk = voxels[start : start + _CHUNK]
        if not (chunk.min() >= 0 and chunk.max() <= LARGEST_LABEL):  # NaN fails too
            return False
        if chunk.dtype.kind == "f" and not (chunk == np.floor(chunk)).all():
            return False
        seen.update(np.flatnonzero(np.bincount(chunk.astype(np.int64))).tolist())
        if len(seen) > MOST_LABELS:
            return False
    return True


def count_few_values(data: NDArray[Any]) -> int | None:
    """The number of different values, if there are at most 16."""
    voxels = data.ravel(order="K")
    seen: set[float] = set()
    for start in range(0, voxels.size, _CHUNK):
        seen.update(np.unique(voxels[start : start + _CHUNK]).tolist())
        if len(seen) > FEW_VALUES:
            return None
    return len(seen)


def is_probability_like(data: NDArray[Any]) -> bool:
    """Whether the values are those of a probability map: 0 to 1, most of them 0, few of the others in the middle."""
    if not (data.min() >= 0 and _NEAR_ONE <= data.max() <= _LARGEST) or 2 * int(np.count_nonzero(data)) >= data.size:
        return False
    above = int(np.count_nonzero(data > _ABOVE_ZERO))
    middle = int(np.count_nonzero((data >= _MIDDLE[0]) & (data <= _MIDDLE[1])))
    near_one = int(np.count_nonzero(data >= _NEAR_ONE))
    return middle <= MOST_IN_THE_MIDDLE * above and near_one >= LEAST_NEAR_ONE * above


def is_mask_like(data: NDArray[Any]) -> bool:
    """Whether the values are labels or few, and most voxels are 0, as in a mask or segmentation of a head."""
    return (is_label_like(data) or count_few_values(data) is not None) and 2 * int(np.count_nonzero(data)) < data.size
