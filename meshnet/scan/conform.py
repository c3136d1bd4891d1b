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
from meshnet.scan.head import head_threshold, head_volume_ml, implausible_volume, place_cube
from meshnet.scan.nifti import Scan
from meshnet.scan.notes import Note, make_note
from meshnet.scan.outliers import clip_outliers
from meshnet.scan.scan_stream import ScanError

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
    notes: tuple[Note, ...] = ()  #: what was clipped, moved or cut off
    head_ml: float = math.nan  #: volume in mL of what is tissue by a crude threshold, in the whole scan


def conform(scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM) -> Conformed:
    """The scan resampled to a grid of `size`^3 voxels, LIA, and scaled to uint8 0-255.

    A scan that is conformed already is returned unchanged. Raises ScanError if all voxels would get one grey level.
    """
    head_ml = head_volume_ml(scan.data, head_threshold(scan.data), scan.affine_vox2ras)
    implausible = implausible_volume(head_ml)
    if is_conformed(scan, size=size, voxel_size_mm=voxel_size_mm):
        notes = (*implausible, *appearance_notes(scan.data, 0.0, 1.0))
        return Conformed(scan.data, scan.affine_vox2ras, notes, head_ml)
    affine, placed = conformed_grid(scan, size=size, voxel_size_mm=voxel_size_mm)
    data, clipped = (scan.data, []) if scan.stored_dtype == np.uint8 else clip_outliers(scan.data)
    scale = (0.0, 1.0) if scan.stored_dtype == np.uint8 else intensity_offset_factor(data)
    mapped = resample_linear(data, scan.affine_vox2ras, affine, (size, size, size))
    if scan.stored_dtype == np.uint8:
        grey = np.clip(np.rint(mapped, out=mapped), 0, 255, out=mapped).astype(np.uint8)
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
) -> NDArray[np.float64]:
    """`data` [i, j, k] resampled trilinearly onto another grid, float64; 0 outside [0, n - 1] of `data`.

    Affines [4, 4]: voxel to RAS, mm.
    """
    matrix = vox2vox(affine_to, affine_from)
    if (np.abs(matrix - np.rint(matrix)) <= TOLERANCE).all():
        matrix = np.rint(matrix)  # flips, permutations and shifts by whole voxels copy voxels exactly
    mapped = np.zeros(shape_to)
    low, high = _box_of_source(matrix, data.shape, shape_to)
    box_matrix = matrix.copy()
    box_matrix[:3, 3] += matrix[:3, :3] @ low
    # `nearest` clamps coordinates to [0, n - 1]; voxels outside by more than the tolerance are then set to 0.
    box = affine_transform(data, box_matrix, output_shape=tuple(high - low), output=np.float64, order=1, mode="nearest")
    for i in range(box.shape[0]):
        for x, n in zip(coordinates(box_matrix, i, box.shape), data.shape, strict=True):
            np.copyto(box[i], 0.0, where=(x < -TOLERANCE) | (x > n - 1 + TOLERANCE))
    mapped[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = box
    return mapped


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
    counts, _ = np.histogram(data.astype(np.float64, copy=False), bins=HISTOGRAM_BINS, range=(low, high))
    cumulative = np.concatenate(([0], np.cumsum(counts)))
    nonzero = int(np.count_nonzero((data >= 1e-15) | (data <= -1e-15)))
    cutoff = data.size - int((1.0 - UPPER_FRACTION) * nonzero)
    first = int(np.flatnonzero(cumulative >= cutoff)[0])
    top = float(edges[first - 2])  # first == 1 takes the last edge (index -1), as in FastSurfer
    return low, 255.0 / (top - low) if top != low else 1.0


def to_grey_levels(mapped: NDArray[np.float64], offset: float, factor: float) -> NDArray[np.uint8]:
    """`rint(clip((mapped - offset) * factor, 0, 255))`; exact zeros (background, outside the scan) stay 0."""
    background = mapped == 0
    grey = np.rint(np.clip((mapped - offset) * factor, 0, 255)).astype(np.uint8)
    grey[background] = 0
    return grey
