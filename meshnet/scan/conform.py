"""Conform: resample a scan to 256^3 voxels of 1 mm in LIA order and scale it to 0-255.

This is FreeSurfer's `mri_convert --conform` as FastSurfer's `conform.py` computes it by default (strict LIA).
docs/conform.md states every formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from meshnet.scan.appearance import appearance_notes
from meshnet.scan.field_of_view import cut_notes
from meshnet.scan.head import head_threshold, head_volume_ml, implausible_volume, place_cube
from meshnet.scan.hounsfield import ct_notes
from meshnet.scan.nifti import Scan
from meshnet.scan.notes import Note, make_note
from meshnet.scan.outliers import clip_outliers
from meshnet.scan.scan_stream import ScanError
from meshnet.scan.short_integers import counted_values, every_value, is_short_integer, look_up

SIZE = 256
VOXEL_SIZE_MM = 1.0

#: Directions (RAS) of the conformed axes i, j, k as columns: left, inferior, anterior.
LIA_DIRECTIONS = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

#: In voxels: rounding noise of an affine must not decide whether the outermost voxel lies inside.
TOLERANCE = 1e-6

#: FastSurfer's histogram of the source: bins, and the share of non-zero voxels below the upper cut.
HISTOGRAM_BINS = 1000
UPPER_FRACTION = 0.999


@dataclass(frozen=True)
class Conformed:
    """A scan on the conformed grid."""

    data: NDArray[np.uint8]  #: [i, j, k], LIA, grey levels 0 to 255
    affine_vox2ras: NDArray[np.float64]  #: [4, 4], voxel to RAS, mm
    notes: tuple[Note, ...] = ()  #: what was clipped, moved or cut off, and what looks implausible
    head_ml: float = math.nan  #: volume in mL of what is tissue by a crude threshold, in the whole scan


def conform(scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM) -> Conformed:
    """The scan resampled to a grid of `size`^3 voxels, LIA, and scaled to uint8 0-255.

    A scan that is conformed already is returned unchanged. Raises ScanError if all voxels would get one grey level.
    """
    threshold = head_threshold(scan.data)
    head_ml = head_volume_ml(scan.data, threshold, scan.affine_vox2ras)
    # The threshold is not made for a CT, whose circular field of view can lie in values far below air.
    seen = ct_notes(scan.data) or cut_notes(scan.data, threshold, scan.affine_vox2ras, head_ml)
    implausible = [*implausible_volume(head_ml), *seen]
    if is_conformed(scan, size=size, voxel_size_mm=voxel_size_mm):
        notes = (*implausible, *appearance_notes(scan.data, 0.0, 1.0))
        return Conformed(scan.data, scan.affine_vox2ras, notes, head_ml)
    affine, placed = conformed_grid(scan, size=size, voxel_size_mm=voxel_size_mm)
    data, clipped = (scan.data, []) if scan.stored_dtype == np.uint8 else clip_outliers(scan.data)
    scale = (0.0, 1.0) if scan.stored_dtype == np.uint8 else intensity_offset_factor(data)
    mapped = resample_linear(data, scan.affine_vox2ras, affine, (size, size, size))
    if scan.stored_dtype == np.uint8:
        grey = mapped if mapped.dtype == np.uint8 else np.clip(np.rint(mapped), 0, 255).astype(np.uint8)
    else:
        grey = to_grey_levels(mapped, *scale)
    if grey.min() == grey.max():
        raise ScanError(
            f"{scan.where}: conformed to 0-255, every voxel has the value {grey.flat[0]}: an outlier or the header's "
            f"slope takes the whole range of intensities; clip outliers or correct the slope and try again"
        )
    notes = (*clipped, *placed, *implausible, *appearance_notes(data, *scale))
    return Conformed(grey, affine, notes, head_ml)


def conformed_grid(
    scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM
) -> tuple[NDArray[np.float64], list[Note]]:
    """Affine [4, 4] (voxel to RAS, mm) of the scan's conformed grid, and notes if it was moved or cuts tissue off.

    The grid is that of `conformed_affine`, moved by whole voxels where it would cut the head (head.py).
    """
    if is_conformed(scan, size=size, voxel_size_mm=voxel_size_mm):
        return scan.affine_vox2ras, []
    affine = conformed_affine(scan.affine_vox2ras, scan.data.shape, size=size, voxel_size_mm=voxel_size_mm)
    matrix = vox2vox(scan.affine_vox2ras, affine)
    shift, outside_ml = place_cube(scan.data, matrix, size=size, voxel_size_mm=voxel_size_mm)
    notes: list[Note] = []
    if shift.any():
        notes.append(make_note("cube-moved", *(float(voxels) * voxel_size_mm for voxels in shift)))
        affine[:3, 3] += affine[:3, :3] @ shift
    if outside_ml > 0:
        notes.append(make_note("cut-off", outside_ml, size * voxel_size_mm))
    return affine, notes


def is_conformed(scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM) -> bool:
    """Whether the scan has the shape, voxel size, LIA order and dtype (unscaled uint8) that `conform` makes."""
    return (
        scan.data.shape == (size, size, size)
        and scan.data.dtype == np.uint8
        and bool((np.abs(scan.affine_vox2ras[:3, :3] - LIA_DIRECTIONS * voxel_size_mm) <= TOLERANCE).all())
    )


def conformed_affine(
    affine_vox2ras: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    size: int = SIZE,
    voxel_size_mm: float = VOXEL_SIZE_MM,
) -> NDArray[np.float64]:
    """Affine [4, 4] (voxel to RAS, mm) of the conformed grid of a scan.

    The world position of `shape / 2` is kept (FreeSurfer's c_ras), so scans of odd size are interpolated.
    """
    centre_mm = affine_vox2ras[:3, :3] @ (np.asarray(shape, np.float64) / 2) + affine_vox2ras[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = LIA_DIRECTIONS * voxel_size_mm
    affine[:3, 3] = centre_mm - affine[:3, :3] @ np.full(3, size / 2)
    return affine


def resample_linear(
    data: NDArray[Any],
    affine_from: NDArray[np.float64],
    affine_to: NDArray[np.float64],
    shape_to: tuple[int, int, int],
) -> NDArray[Any]:
    """`data` [i, j, k] resampled trilinearly onto another grid; 0 outside [0, n - 1] of `data`.

    float64, or the dtype of `data` where the grids differ by flips, permutations and shifts by whole voxels, which copy
    voxels exactly. Affines [4, 4]: voxel to RAS, mm.
    """
    matrix = vox2vox(affine_to, affine_from)
    if (np.abs(matrix - np.rint(matrix)) <= TOLERANCE).all():
        matrix = np.rint(matrix)
        if _is_permutation(matrix):
            return _copy_voxels(data, matrix, shape_to)
    mapped = np.zeros(shape_to)
    low, high = _box_of_source(matrix, data.shape, shape_to)
    box_matrix = matrix.copy()
    box_matrix[:3, 3] += matrix[:3, :3] @ low
    # `nearest` clamps coordinates to [0, n - 1]; voxels outside by more than the tolerance are then set to 0.
    source = _in_order_of_reading(data, matrix)
    box = affine_transform(
        source, box_matrix, output_shape=tuple(high - low), output=np.float64, order=1, mode="nearest"
    )
    for i in range(box.shape[0]):
        for x, n in zip(coordinates(box_matrix, i, box.shape), data.shape, strict=True):
            if x.min() < -TOLERANCE or x.max() > n - 1 + TOLERANCE:
                np.copyto(box[i], 0.0, where=(x < -TOLERANCE) | (x > n - 1 + TOLERANCE))
    mapped[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = box
    return mapped


def _is_permutation(matrix: NDArray[np.float64]) -> bool:
    """Whether the matrix [4, 4] of integers only permutes, flips and shifts the axes."""
    ones = np.abs(matrix[:3, :3])
    return bool((ones.max(axis=0) == 1).all() and (ones.sum(axis=0) == 1).all() and (ones.sum(axis=1) == 1).all())


def _copy_voxels(data: NDArray[Any], matrix: NDArray[np.float64], shape_to: tuple[int, int, int]) -> NDArray[Any]:
    """Resampling through a matrix of `_is_permutation`: every voxel is copied, in the dtype of `data`."""
    order = [int(np.flatnonzero(matrix[:3, axis])[0]) for axis in range(3)]  # source axis of each target axis
    source_slices, target_slices = [], []
    for axis, from_axis in enumerate(order):
        n, sign, first = data.shape[from_axis], int(matrix[from_axis, axis]), int(matrix[from_axis, 3])
        ends = sorted((-sign * first, sign * (n - 1 - first)))  # target planes of the source's first and last plane
        low, high = max(0, ends[0]), min(shape_to[axis], ends[1] + 1)
        planes = np.arange(low, high) * sign + first
        stop = int(planes[-1]) + sign if planes.size else 0
        source_slices.append(slice(int(planes[0]), None if stop < 0 else stop, sign) if planes.size else slice(0, 0))
        target_slices.append(slice(low, max(low, high)))
    mapped: NDArray[Any] = np.zeros(shape_to, data.dtype)
    mapped[tuple(target_slices)] = data.transpose(order)[tuple(source_slices)]
    return mapped


def _in_order_of_reading(data: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[Any]:
    """The same values, with those together in memory that the last axis of the target reads one after the other.

    Scans come with i fastest; read along another axis each voxel is another cache line, which takes three times as
    long.
    """
    order = [int(np.abs(matrix[:3, axis]).argmax()) for axis in range(3)]
    if sorted(order) != [0, 1, 2]:
        return data
    return np.ascontiguousarray(data.transpose(order)).transpose(np.argsort(order))


def _box_of_source(
    matrix: NDArray[np.float64], shape_from: tuple[int, ...], shape_to: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First voxel, and last voxel plus one, of the target box that contains the source grid."""
    corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]).T
    corners[:3] *= np.array(shape_from)[:, None] - 1
    at = (np.linalg.inv(matrix) @ corners)[:3]
    low = np.clip(np.floor(at.min(axis=1)) - 1, 0, np.array(shape_to) - 1).astype(np.int64)
    high = np.clip(np.ceil(at.max(axis=1)) + 2, low + 1, shape_to).astype(np.int64)
    return low, high


def vox2vox(affine_from: NDArray[np.float64], affine_to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix [4, 4] from voxel coordinates of one grid to those of another. Affines [4, 4]: voxel to RAS, mm."""
    matrix: NDArray[np.float64] = np.linalg.inv(affine_to) @ affine_from
    return matrix


def coordinates(matrix: NDArray[np.float64], i: int, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """The three rows of `matrix @ (i, j, k, 1)` over plane i of `shape`; each broadcasts to [nj, nk]."""
    j, k = np.arange(shape[1], dtype=np.float64)[:, None], np.arange(shape[2], dtype=np.float64)[None, :]
    planes = []
    for row in matrix[:3]:
        x = np.full((1, 1), row[0] * i + row[3])
        for factor, steps in ((row[1], j), (row[2], k)):
            if factor != 0:
                x = x + factor * steps
        planes.append(x)
    return tuple(planes)


def intensity_offset_factor(data: NDArray[Any]) -> tuple[float, float]:
    """Offset and factor with `grey = (value - offset) * factor` in 0-255 (docs/conform.md, section 4).

    Computed on the source voxels, as in FastSurfer. The brightest 0.1 % of the non-zero voxels saturate.
    """
    low, high = float(data.min()), float(data.max())
    edges = np.arange(HISTOGRAM_BINS + 1) * ((high - low) / HISTOGRAM_BINS) + low
    edges[-1] = high
    # float64 for float32 data too, so that the edges are the same in every language.
    if is_short_integer(data):
        values, each = counted_values(data)
        counts, _ = np.histogram(values.astype(np.float64), HISTOGRAM_BINS, (low, high), weights=each)
        nonzero = int(each[values != 0].sum())
    else:
        counts, _ = np.histogram(data.astype(np.float64, copy=False), bins=HISTOGRAM_BINS, range=(low, high))
        nonzero = int(np.count_nonzero((data >= 1e-15) | (data <= -1e-15)))
    cumulative = np.concatenate(([0], np.cumsum(counts)))
    cutoff = data.size - int((1.0 - UPPER_FRACTION) * nonzero)
    first = int(np.flatnonzero(cumulative >= cutoff)[0])
    top = float(edges[first - 2])  # first == 1 takes the last edge (index -1), as in FastSurfer
    return low, 255.0 / (top - low) if top != low else 1.0


def to_grey_levels(mapped: NDArray[Any], offset: float, factor: float) -> NDArray[np.uint8]:
    """`rint(clip((mapped - offset) * factor, 0, 255))` in float64; exact zeros (background, outside) stay 0."""
    if is_short_integer(mapped):
        return look_up(to_grey_levels(every_value(mapped.dtype).astype(np.float64), offset, factor), mapped)
    grey = np.empty(mapped.shape, np.uint8)
    for values, levels in zip(np.atleast_2d(mapped), np.atleast_2d(grey), strict=True):  # planes stay in the cache
        scaled = np.clip((values - offset) * factor, 0, 255)
        np.copyto(levels, np.where(values == 0, 0, np.rint(scaled)), casting="unsafe")
    return grey
