"""Conform: any scan to 256^3 voxels of 1 mm, uint8, strict LIA, as FreeSurfer's `mri_convert --conform`
in the form FastSurfer computes it by default. docs/conform.md is the specification, formula by formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from meshnet.scan.nifti import Scan
from meshnet.scan.scan_stream import ScanError

SIZE = 256
VOXEL_SIZE_MM = 1.0

#: Direction of the conformed axes i, j, k: left, inferior, anterior, as columns.
LIA_DIRECTIONS = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])

#: In voxels. Rounding noise of an affine must not decide whether the outermost voxel is inside.
TOLERANCE = 1e-6

HISTOGRAM_BINS = 1000
UPPER_FRACTION = 0.999


@dataclass(frozen=True)
class Conformed:
    """A scan on the conformed grid."""

    data: NDArray[np.uint8]  #: [i, j, k], LIA
    affine_vox2ras: NDArray[np.float64]  #: [4, 4], mm


def conform(scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM) -> Conformed:
    """The scan resampled to a `size`^3 LIA grid and scaled to 0-255 (uint8).

    An already conformed scan is returned unchanged. Raises ScanError where the grey levels collapse
    into one.
    """
    if is_conformed(scan, size=size, voxel_size_mm=voxel_size_mm):
        return Conformed(scan.data, scan.affine_vox2ras)
    affine = conformed_affine(scan.affine_vox2ras, scan.data.shape, size=size, voxel_size_mm=voxel_size_mm)
    mapped = resample_linear(scan.data, scan.affine_vox2ras, affine, (size, size, size))
    if scan.stored_dtype == np.uint8:
        grey = np.clip(np.rint(mapped, out=mapped), 0, 255, out=mapped).astype(np.uint8)
    else:
        grey = to_grey_levels(mapped, *intensity_offset_factor(scan.data))
    if grey.min() == grey.max():
        raise ScanError(
            f"{scan.where}: conformed to 0-255, every voxel has the value {grey.flat[0]}: an outlier or the header's "
            f"slope takes the whole range of intensities; clip outliers or correct the slope and try again"
        )
    return Conformed(grey, affine)


def is_conformed(scan: Scan, *, size: int = SIZE, voxel_size_mm: float = VOXEL_SIZE_MM) -> bool:
    """Whether the scan already is what `conform` makes: shape, voxel size, strict LIA, unscaled uint8."""
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
    """Affine [4, 4] of the conformed grid; keeps the world position of `dims / 2` (FreeSurfer's c_ras)."""
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
    """Trilinear resampling of `data` [i, j, k] onto another grid, in float64; 0 outside [0, n - 1]."""
    matrix = vox2vox(affine_to, affine_from)
    if (np.abs(matrix - np.rint(matrix)) <= TOLERANCE).all():
        matrix = np.rint(matrix)  # a flip, permutation and shift: copies voxels exactly
    mapped = np.zeros(shape_to)
    low, high = _box_of_source(matrix, data.shape, shape_to)
    box_matrix = matrix.copy()
    box_matrix[:3, 3] += matrix[:3, :3] @ low
    # `nearest` clamps coordinates to [0, n - 1]; what lies outside is then set to 0, with our tolerance.
    box = affine_transform(data, box_matrix, output_shape=tuple(high - low), output=np.float64, order=1, mode="nearest")
    for i in range(box.shape[0]):
        for x, n in zip(coordinates(box_matrix, i, box.shape), data.shape, strict=True):
            np.copyto(box[i], 0.0, where=(x < -TOLERANCE) | (x > n - 1 + TOLERANCE))
    mapped[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = box
    return mapped


def _box_of_source(
    matrix: NDArray[np.float64], shape_from: tuple[int, ...], shape_to: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last-plus-one target voxel of the box that holds the source; the rest is outside anyway."""
    corners = np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]).T
    corners[:3] *= np.array(shape_from)[:, None] - 1
    at = (np.linalg.inv(matrix) @ corners)[:3]
    low = np.clip(np.floor(at.min(axis=1)) - 1, 0, np.array(shape_to) - 1).astype(np.int64)
    high = np.clip(np.ceil(at.max(axis=1)) + 2, low + 1, shape_to).astype(np.int64)
    return low, high


def vox2vox(affine_from: NDArray[np.float64], affine_to: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4, 4]: voxel coordinates of one grid to those of another, through world space."""
    matrix: NDArray[np.float64] = np.linalg.inv(affine_to) @ affine_from
    return matrix


def coordinates(matrix: NDArray[np.float64], i: int, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Per target axis, `matrix @ (i, j, k, 1)` over one plane i, of a shape that broadcasts to [nj, nk]."""
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
    """Offset and factor that take the source's intensities to 0-255: docs/conform.md, step 4.

    `grey = (value - offset) * factor`; the brightest 0.1 % of the non-zero voxels saturate.
    """
    low, high = float(data.min()), float(data.max())
    edges = np.arange(HISTOGRAM_BINS + 1) * ((high - low) / HISTOGRAM_BINS) + low
    edges[-1] = high
    # In float64, also for float32 data: the same edges in every language.
    counts, _ = np.histogram(data.astype(np.float64, copy=False), bins=HISTOGRAM_BINS, range=(low, high))
    cumulative = np.concatenate(([0], np.cumsum(counts)))
    nonzero = int(np.count_nonzero((data >= 1e-15) | (data <= -1e-15)))
    cutoff = data.size - int((1.0 - UPPER_FRACTION) * nonzero)
    first = int(np.flatnonzero(cumulative >= cutoff)[0])
    top = float(edges[first - 2])  # first == 1 wraps around to the last edge, as it does in FastSurfer
    return low, 255.0 / (top - low) if top != low else 1.0


def to_grey_levels(mapped: NDArray[np.float64], offset: float, factor: float) -> NDArray[np.uint8]:
    """`rint(clip((mapped - offset) * factor, 0, 255))`; exact zeros (background, outside) stay 0."""
    background = mapped == 0
    grey = np.rint(np.clip((mapped - offset) * factor, 0, 255)).astype(np.uint8)
    grey[background] = 0
    return grey
