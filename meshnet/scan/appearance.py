"""How a conformed head looks: its use of the grey scale, air in the corners, and the brightness of its fluid.

All measures are crude; the page gets the same numbers
(static/src/volume/appearance.ts). docs/lab/contrast.md has the figures on which the limits rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note
from meshnet.scan.outliers import quantiles

#: Extreme values take the grey scale if the voxels between these shares lie within the first number of levels at one of
#: its ends, and all voxels span more levels than the second number.
NEARLY_ALL = (0.03, 0.97)
NARROW_LEVELS, WIDE_LEVELS = 16, 128

#: Share of each axis that a corner has.
_CORNER = 10

#: The brain's middle lies this far (mm) below the top of the head; its sphere has this radius (mm).
BELOW_TOP_MM, RADIUS_MM = 55.0, 55.0
#: The top of the head is the first plane with this share of the fullest plane's tissue.
_TOP_SHARE = 0.5
#: Ranks of the bright parts of the sphere and of its middle.
_BRIGHT, _MIDDLE = 0.97, 0.5
#: Share of the sphere that must be tissue.
_LEAST_TISSUE = 0.5


def appearance_notes(data: NDArray[Any], offset: float, factor: float) -> list[Note]:
    """Notes if extreme values take the grey scale, or if air is bright.

    data: the scan's voxels [i, j, k] without outliers; their grey levels are `(data - offset) * factor`.
    """
    notes = []
    low, high = ((value - offset) * factor for value in quantiles(data, *NEARLY_ALL))
    first, last = ((float(value) - offset) * factor for value in (data.min(), data.max()))
    # Below the head may be air: only negative values are extreme there.
    is_narrow = high < NARROW_LEVELS or (low >= 256 - NARROW_LEVELS and float(data.min()) < 0)
    if is_narrow and last - first > WIDE_LEVELS:
        notes.append(make_note("grey-scale-narrow", math.floor(high - low) + 1))
    if _corners_are_bright(data):
        notes.append(make_note("looks-inverted"))
    return notes


def _corners_are_bright(data: NDArray[Any]) -> bool:
    """Whether the mean of each corner of the field of view is above the mean of all voxels."""
    with np.errstate(over="ignore"):
        mean = float(data.mean(dtype=np.float64))
    ends = [(slice(0, max(1, n // _CORNER)), slice(n - max(1, n // _CORNER), n)) for n in data.shape]
    return all(float(data[i, j, k].mean(dtype=np.float64)) > mean for i in ends[0] for j in ends[1] for k in ends[2])


def fluid_brightness(grey: NDArray[np.uint8], voxel_size_mm: float) -> float:
    """How many times as bright as the median the bright parts of the brain's middle are; NaN if no head is found.

    grey: conformed volume [i, j, k], LIA. The brain's middle is a sphere of 55 mm about the point 55 mm below the top
    of the head; the bright parts are its 97th percentile.
    """
    levels = np.bincount(grey.ravel(), minlength=256)
    low, high = _level_of_rank(levels, 0.02), _level_of_rank(levels, 0.98)
    tissue = grey > low + 0.2 * (high - low)
    across, down, along = (tissue.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    if not down.any():
        return math.nan
    top = int(np.flatnonzero(down >= _TOP_SHARE * down.max())[0])
    centre = (_median_plane(across), top + BELOW_TOP_MM / voxel_size_mm, _median_plane(along))
    squares = [((np.arange(n) - c) * voxel_size_mm) ** 2 for n, c in zip(grey.shape, centre, strict=True)]
    sphere = squares[0][:, None, None] + squares[1][:, None] + squares[2] < RADIUS_MM**2
    inside = np.bincount(grey[sphere], minlength=256)
    if not inside.any() or np.count_nonzero(tissue[sphere]) < _LEAST_TISSUE * inside.sum():
        return math.nan
    middle = _level_of_rank(inside, _MIDDLE)
    return _level_of_rank(inside, _BRIGHT) / middle if middle > 0 else math.nan


def _median_plane(counts: NDArray[Any]) -> int:
    """The first plane up to which at least half of the voxels lie. counts: voxels of each plane."""
    return int(np.flatnonzero(2 * np.cumsum(counts) >= counts.sum())[0])


def _level_of_rank(counts: NDArray[Any], share: float) -> int:
    """The grey level of rank floor(share (n - 1)) among n voxels. counts: voxels of each level."""
    rank = math.floor(share * (int(counts.sum()) - 1))
    return int(np.flatnonzero(np.cumsum(counts) > rank)[0])
