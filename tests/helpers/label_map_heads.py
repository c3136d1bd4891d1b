"""Small label maps for tests: a head of nested ellipsoids with the structures that place it in MNI space."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

#: The test head is this much smaller than MNI's.
SCALE = 0.4
SHAPE = (70, 83, 89)
#: Voxel (LIA) of the MNI origin.
ORIGIN = np.array([35.0, 38.0, 41.0])
_BALLS = (
    *(
        ((side * x, y, z), r, numbers)
        for x, y, z, r, numbers in (
            (11, -18, 7, 11, (10, 49)),
            (13, 10, 10, 9, (11, 50)),
            (25, 2, 0, 9, (12, 51)),
            (26, -21, -14, 9, (17, 53)),
            (10, -5, 24, 9, (4, 43)),
            (25, -63, -36, 22, (8, 47)),
            (32, 58, -30, 14, (506, 506)),
        )
        for side in (-1, 1)
    ),
    ((0, -30, -32), 13, (16, 16)),
)


def ellipsoid_labels() -> NDArray[np.int32]:
    """int32 [i, j, k], LIA: scalp, skull, fluid, cortex, white matter, deep structures, eyes, and a neck."""
    i, j, k = np.meshgrid(*(np.arange(n, dtype=float) for n in SHAPE), indexing="ij")
    x, y, z = (-(i - ORIGIN[0]) / SCALE, (k - ORIGIN[2]) / SCALE, -(j - ORIGIN[1]) / SCALE)
    radius = np.sqrt((x / 69) ** 2 + ((y + 16.5) / 87.5) ** 2 + ((z - 10) / 68) ** 2)
    left = x < 0
    labels = np.zeros(SHAPE, np.int32)
    neck = (np.abs(x) < 40) & (np.abs(y + 20) < 45) & (z < -20)
    labels[neck] = 507
    labels[radius < 1.22] = 511
    labels[radius < 1.14] = 515
    labels[radius < 1.06] = 24
    labels[radius < 1.0] = np.where(left, 3, 42)[radius < 1.0]
    labels[radius < 0.8] = np.where(left, 2, 41)[radius < 0.8]
    for (cx, cy, cz), size, numbers in _BALLS:
        inside = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < size**2
        labels[inside] = numbers[0] if cx < 0 else numbers[1]
    return labels


def save_label_map(path: Path, labels: NDArray[np.generic], order: str = "LIA", voxel_size_mm: float = 1.0) -> None:
    """Write [i, j, k] LIA labels with their axes in `order`."""
    affine = np.array([[-1.0, 0, 0, 35], [0, 0, 1.0, -41], [0, -1.0, 0, 38], [0, 0, 0, 1]])
    affine[:3] *= voxel_size_mm
    image = nib.Nifti1Image(labels, affine)
    ornt = nib.orientations
    turn = ornt.ornt_transform(ornt.axcodes2ornt(("L", "I", "A")), ornt.axcodes2ornt(tuple(order)))
    nib.save(image.as_reoriented(turn), path)
