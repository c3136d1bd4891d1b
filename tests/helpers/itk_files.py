"""NRRD and MetaImage files, written by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from tests.helpers.scan_files import GEOMETRIES, blob

#: Geometries that ITK can hold: its directions are orthogonal.
ORTHOGONAL = [name for name in GEOMETRIES if name != "sheared"]


def write_itk(path: Path, name: str, dtype: type = np.int16, *, compressed: bool = False) -> sitk.Image:
    """A blob of this geometry, written by SimpleITK; the direction of a NIfTI affine in LPS."""
    affine, shape = GEOMETRIES[name]
    return write_itk_volume(path, blob(shape).astype(dtype), affine, compressed=compressed)


def write_itk_volume(
    path: Path, data: NDArray[np.generic], affine_vox2ras: NDArray[np.float64], *, compressed: bool = False
) -> sitk.Image:
    """Voxels [i, j, k] on this grid; the image that was written."""
    lps = np.diag([-1, -1, 1, 1]) @ affine_vox2ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(data.T)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).reshape(-1).tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return image
