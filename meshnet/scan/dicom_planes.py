"""Where the slices of a DICOM series lie on the grid of the converted scan: geometry alone, no file is read.

DICOM's patient axes are LPS and NIfTI's are RAS. Pixel (c, r), column and row counted from 0, of a slice lies at
`ImagePositionPatient + c * Δc * IOP[0:3] + r * Δr * IOP[3:6]` (DICOM PS3.3, C.7.6.2.1.1). The page has the same rules
(static/src/volume/dicom/planes.ts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Farthest that a pixel of a slice may lie from its voxel's centre, in voxels. Positions are rounded text in DICOM, and
#: dcm2niix keeps one distance between slices.
TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True)
class SliceGeometry:
    """One slice as its header has it, in LPS and mm."""

    position_mm: Sequence[float]  #: ImagePositionPatient, the centre of the first pixel
    orientation: Sequence[float]  #: ImageOrientationPatient: direction along a row, then along a column
    spacing_mm: Sequence[float]  #: PixelSpacing: between rows, then between columns
    rows: int
    columns: int


@dataclass(frozen=True)
class PlaneOnGrid:
    """A plane of the grid: the voxels that the pixels of one slice are."""

    axis: int  #: of the grid, 0 to 2, that the plane is perpendicular to
    index: int  #: of the plane along that axis
    is_transposed: bool  #: whether the lower of the two other axes runs along a row
    flip_rows: bool  #: whether the grid's index falls from row to row
    flip_columns: bool  #: whether the grid's index falls from column to column


def plane_on_grid(
    geometry: SliceGeometry, affine_vox2ras: NDArray[np.float64], shape: tuple[int, ...]
) -> PlaneOnGrid | None:
    """The plane of a grid that a slice is, or None if it lies on none.

    affine_vox2ras [4, 4]: voxel to RAS, mm. Every pixel must lie on a voxel within TOLERANCE_VOXELS, and the slice must
    cover the plane.
    """
    to_voxels = np.linalg.inv(affine_vox2ras) @ _pixel2ras(geometry)
    steps = np.rint(to_voxels[:3, :2])
    if not (np.abs(steps).sum(axis=0) == 1).all() or (np.abs(steps).sum(axis=1) > 1).any():
        return None
    along_row, along_column = (int(np.abs(steps[:, n]).argmax()) for n in (0, 1))
    if (shape[along_row], shape[along_column]) != (geometry.columns, geometry.rows):
        return None
    start = np.rint(to_voxels[:3, 2])
    flip_columns, flip_rows = steps[along_row, 0] < 0, steps[along_column, 1] < 0
    expected = (shape[along_row] - 1 if flip_columns else 0, shape[along_column] - 1 if flip_rows else 0)
    axis = 3 - along_row - along_column
    if (start[along_row], start[along_column]) != expected or not 0 <= start[axis] < shape[axis]:
        return None
    corners = np.array([[c, r, 1.0] for c in (0, geometry.columns - 1) for r in (0, geometry.rows - 1)]).T
    if np.abs(to_voxels[:3] @ corners - np.column_stack([steps, start]) @ corners).max() > TOLERANCE_VOXELS:
        return None
    return PlaneOnGrid(axis, int(start[axis]), along_row < along_column, bool(flip_rows), bool(flip_columns))


def pixels_of(voxels: NDArray[np.generic], plane: PlaneOnGrid) -> NDArray[np.generic]:
    """The pixels [row, column] of one slice from voxels [i, j, k] on the grid."""
    pixels: NDArray[np.generic] = np.take(voxels, plane.index, axis=plane.axis)
    if plane.is_transposed:
        pixels = pixels.T
    return pixels[:: -1 if plane.flip_rows else 1, :: -1 if plane.flip_columns else 1]


def _pixel2ras(geometry: SliceGeometry) -> NDArray[np.float64]:
    """[4, 3]: (column, row, 1) to RAS in mm, homogeneous."""
    orientation = np.asarray(geometry.orientation, float)
    matrix = np.zeros((4, 3))
    matrix[:3, 0] = orientation[:3] * geometry.spacing_mm[1]
    matrix[:3, 1] = orientation[3:] * geometry.spacing_mm[0]
    matrix[:3, 2] = geometry.position_mm
    matrix[:2] *= -1  # LPS to RAS
    matrix[3, 2] = 1
    return matrix
