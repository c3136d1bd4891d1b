"""Where the head is in a scan, from a crude threshold: its volume, and the place of the conformed cube.

The threshold separates tissue from air, nothing more. docs/conform.md, section 2, has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note
from meshnet.scan.outliers import quantiles

#: Shares of the two quantiles of the threshold, and its place between them.
THRESHOLD_SHARES, THRESHOLD_PLACE = (0.02, 0.98), 0.2

#: Volumes (mL) of tissue that a scan of a head may show.
LEAST_HEAD_ML, MOST_HEAD_ML = 300.0, 8000.0

#: A plane belongs to the head if it has this share of the fullest plane's tissue.
PLANE_SHARE = 0.01

#: The cube stays in place if no more than this is cut off on a side, in mm.
TOLERATED_CUT_MM = 2.0

#: In voxels: rounding noise of an affine must not decide in which plane a voxel lies.
_TOLERANCE = 1e-6

#: Axis of the conformed grid that runs from superior to inferior.
_INFERIOR = 1


def head_threshold(data: NDArray[Any]) -> float:
    """Intensity above which a voxel counts as head: q2 % + 0.2 (q98 % - q2 %)."""
    low, high = quantiles(data, *THRESHOLD_SHARES)
    return low + THRESHOLD_PLACE * (high - low)


def head_volume_ml(data: NDArray[Any], threshold: float, affine_vox2ras: NDArray[np.float64]) -> float:
    """Volume in mL of the voxels above `threshold`."""
    voxels = int(np.count_nonzero(data > np.float64(threshold)))
    return voxels * abs(float(np.linalg.det(affine_vox2ras[:3, :3]))) / 1000


def implausible_volume(head_ml: float) -> list[Note]:
    """A note if this volume (mL) of tissue can't be a head's."""
    return [] if LEAST_HEAD_ML <= head_ml <= MOST_HEAD_ML else [make_note("not-head-sized", head_ml)]


def place_cube(
    data: NDArray[Any], matrix: NDArray[np.float64], *, size: int, voxel_size_mm: float
) -> tuple[NDArray[np.int64], float]:
    """How far (in voxels along i, j, k) the cube has to move so that it holds the head, and the mL still outside.

    matrix [4, 4]: from voxels of `data` to voxels of the cube, which has `size` voxels per axis. The cube moves by the
    fewest whole voxels, along the axes on which more than 2 mm would be cut. A head (with neck) that is taller than the
    cube keeps its top. The volume outside is 0 if no more than 2 mm are cut.
    """
    shift = np.zeros(3, np.int64)
    tolerated = TOLERATED_CUT_MM / voxel_size_mm
    if not _exceeds(*_corner_range(data.shape, matrix), shift, size, tolerated).any():
        return shift, 0.0
    threshold = head_threshold(data)
    low, high = _head_box(data, threshold, matrix)
    for axis in np.flatnonzero(_exceeds(low, high, shift, size, tolerated)):
        first, last = sorted((int(low[axis]), int(high[axis]) - size + 1))
        taller = high[axis] - low[axis] >= size
        if axis == _INFERIOR and taller:
            shift[axis] = min(0, int(low[axis]))
        else:
            shift[axis] = min(max(0, first), last)
    if not _exceeds(low, high, shift, size, tolerated).any():
        return shift, 0.0
    outside = 0
    for x in _head_coordinates(data, threshold, matrix):
        at = np.floor(x + 0.5 + _TOLERANCE) - shift[:, None]
        outside += int(np.count_nonzero(((at < 0) | (at >= size)).any(axis=0)))
    volume_mm3 = abs(float(np.linalg.det(matrix[:3, :3]))) * voxel_size_mm**3
    return shift, outside * volume_mm3 / 1000


def _exceeds(low: Any, high: Any, shift: Any, size: int, tolerated: float) -> NDArray[np.bool_]:
    """For each axis: whether planes `low` to `high` leave the moved cube by more than `tolerated` voxels."""
    return np.asarray((shift - low > tolerated) | (high - (size - 1) - shift > tolerated))


def _corner_range(shape: tuple[int, ...], matrix: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last plane of the cube's grid that the scan's voxels reach, on each axis."""
    corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]).T
    corners[:3] *= np.array(shape)[:, None] - 1
    planes = np.floor((matrix @ corners)[:3] + 0.5 + _TOLERANCE).astype(np.int64)
    return planes.min(axis=1), planes.max(axis=1)


def _head_box(
    data: NDArray[Any], threshold: float, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last plane of the head on each axis of the cube's grid."""
    first, last = _corner_range(data.shape, matrix)
    counts = [np.zeros(int(n) + 3, np.int64) for n in last - first]
    for x in _head_coordinates(data, threshold, matrix):
        planes = np.floor(x + 0.5 + _TOLERANCE).astype(np.int64) - first[:, None] + 1
        for axis in range(3):
            counts[axis] += np.bincount(planes[axis], minlength=counts[axis].size)
    full = [np.flatnonzero(n >= PLANE_SHARE * n.max()) - 1 for n in counts]
    ends = np.array([(planes[0], planes[-1]) for planes in full])
    return first + ends[:, 0], first + ends[:, 1]


def _head_coordinates(
    data: NDArray[Any], threshold: float, matrix: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """For each plane i of the data, the cube's coordinates [3, n] of its voxels above the threshold."""
    for i in range(data.shape[0]):
        j, k = np.nonzero(data[i] > np.float64(threshold))
        yield np.array([row[0] * i + (row[1] * j + row[2] * k + row[3]) for row in matrix[:3]])
