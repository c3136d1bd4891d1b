"""Separable operations as one small matrix per axis: upsampled noise, blur, thick slices.

A blur of a whole head is three matrix products of at most 256 x 256. Matrices are built in float64 on the CPU, then
moved, so that both devices multiply by the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float64]


def apply_along_axes(volume: Tensor, matrices: Sequence[Matrix | None]) -> Tensor:
    """[..., x, y, z] times a matrix [out, in] along each of the last three axes; None leaves an axis alone."""
    for axis, matrix in zip((-3, -2, -1), matrices, strict=True):
        if matrix is not None:
            weights = torch.from_numpy(matrix.astype(np.float32)).to(volume.device)
            if axis == -1:
                volume = volume @ weights.T
            elif axis == -2:
                volume = weights @ volume
            else:
                flat = volume.reshape(*volume.shape[:-2], -1)
                volume = (weights @ flat).reshape(*volume.shape[:-3], len(matrix), *volume.shape[-2:])
    return volume


def smooth_noise(
    shape_mm: Sequence[float] | NDArray[np.float64],
    positions_mm: Sequence[NDArray[np.float64]],
    grain_mm: float,
    rng: torch.Generator,
    device: torch.device,
) -> Tensor:
    """Gaussian noise of mean 0 and s.d. 1 in every voxel, [x, y, z], smooth over about `grain_mm`.

    The control points cover a box of `shape_mm`; positions_mm: where to evaluate along each axis, 0 to shape_mm. The
    same generator gives the same field at the same place, whichever positions are asked for.
    """
    counts = [int(np.ceil(size / grain_mm)) + 4 for size in shape_mm]
    control = torch.randn([1, *counts], generator=rng).to(device)
    matrices = [
        unit_variance(spline_weights(positions / grain_mm + 1.5, count))
        for positions, count in zip(positions_mm, counts, strict=True)
    ]
    return apply_along_axes(control, matrices)[0]


def spline_weights(positions: NDArray[np.float64], count: int) -> Matrix:
    """Cubic B-spline weights [len(positions), count] of control points 0..count-1; the outermost repeat."""
    weights = np.zeros((len(positions), count))
    base = np.floor(positions).astype(int)
    t = positions - base
    pieces = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    for offset, piece in enumerate(pieces):
        np.add.at(weights, (np.arange(len(positions)), np.clip(base - 1 + offset, 0, count - 1)), piece)
    return weights


def unit_variance(weights: Matrix) -> Matrix:
    """Rows of unit length: what they make of white noise has an s.d. of 1."""
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True))


def gaussian_matrix(count: int, sigma_voxels: float) -> Matrix:
    """Gaussian blur [count, count]; rows add up to 1, so that the border doesn't darken."""
    distance = np.subtract.outer(np.arange(count), np.arange(count))
    weights = np.exp(-0.5 * (distance / sigma_voxels) ** 2) * (np.abs(distance) <= 4 * sigma_voxels)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def slice_matrix(count: int, spacing_voxels: float, profile: float, offset: float) -> Matrix:
    """Thick slices and back, [count, count]: means over slices, then linear interpolation between their centres.

    spacing_voxels: distance of slices. profile: 0..1, share of that distance that a slice covers. offset: 0..1, where
    the first slice lies, in slice distances. Beyond the outermost centres the outermost slices are repeated.
    """
    slices = int(np.ceil(count / spacing_voxels)) + 1
    centers = (np.arange(slices) + offset - 0.5) * spacing_voxels
    half = max(profile * spacing_voxels, 1e-3) / 2
    voxels = np.arange(count, dtype=float)
    low = np.maximum(voxels[None] - 0.5, centers[:, None] - half)
    high = np.minimum(voxels[None] + 0.5, centers[:, None] + half)
    seen = np.maximum(high - low, 0)
    inside = seen.sum(axis=1) > 0.25 * min(2 * half, 1.0)
    seen, centers = seen[inside], centers[inside]
    means = seen / seen.sum(axis=1, keepdims=True)
    return np.asarray(linear_weights(voxels, centers) @ means)


def linear_weights(positions: NDArray[np.float64], knots: NDArray[np.float64]) -> Matrix:
    """Linear interpolation [len(positions), len(knots)] at increasing knots; constant beyond the ends."""
    weights = np.zeros((len(positions), len(knots)))
    if len(knots) == 1:
        return np.ones_like(weights)
    left = np.clip(np.searchsorted(knots, positions, side="right") - 1, 0, len(knots) - 2)
    t = np.clip((positions - knots[left]) / (knots[left + 1] - knots[left]), 0, 1)
    rows = np.arange(len(positions))
    weights[rows, left] = 1 - t
    weights[rows, left + 1] += t
    return weights
