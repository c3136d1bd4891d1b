"""Resample labels from the conformed grid to the scan's own, and measure their volumes in mL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.conform import coordinates, vox2vox


def resample_labels(
    labels: NDArray[np.uint8],
    affine_from: NDArray[np.float64],
    affine_to: NDArray[np.float64],
    shape_to: tuple[int, ...],
) -> NDArray[np.uint8]:
    """Labels uint8 [i, j, k] resampled onto another grid by nearest neighbour; 0 outside `labels`.

    Affines [4, 4]: voxel to RAS, mm. The nearest index is `floor(x + 0.5)` after rounding x to 1e-6, so that exact ties
    are resolved alike in every language (docs/conform.md, section 7).
    """
    matrix = vox2vox(affine_to, affine_from)
    out = np.empty(shape_to, np.uint8)
    for i in range(shape_to[0]):
        indices, inside = [], np.ones((1, 1), bool)
        for x, n in zip(coordinates(matrix, i, shape_to), labels.shape, strict=True):
            index = np.floor(np.floor(x * 1e6 + 0.5) / 1e6 + 0.5)
            inside = inside & (index >= 0) & (index < n)
            indices.append(np.clip(index, 0, n - 1).astype(np.intp))
        out[i] = labels[tuple(indices)] * inside
    return out


def label_counts(labels: NDArray[np.uint8], classes: int) -> list[int]:
    """Number of voxels of each label 0 to classes - 1."""
    return [int(count) for count in np.bincount(labels.reshape(-1), minlength=classes)[:classes]]


def volume_ml(voxels: int, affine_vox2ras: NDArray[np.float64]) -> float:
    """Volume in mL of `voxels` voxels; affine [4, 4]: voxel to RAS, mm."""
    return voxels * abs(float(np.linalg.det(affine_vox2ras[:3, :3]))) / 1000.0
