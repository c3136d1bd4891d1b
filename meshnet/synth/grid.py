"""Grids in world space, and linear sampling of volumes: what `meshnet.synth.render` places a head with.

World and template coordinates are mm (RAS); arrays of a grid are `[i, j, k]` of the conformed one (LIA), C order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

#: Spacing of the lattice on which coordinates are computed before linear interpolation.
_LATTICE_MM = 4.0


@dataclass(frozen=True)
class Grid:
    """Target grid: `shape` voxels of `voxel_size_mm` around `center_mm` (RAS, 0 = the head's centre)."""

    shape: tuple[int, int, int]
    voxel_size_mm: float
    center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


def axes_mm(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """RAS mm along each axis of the LIA grid: i is -x, j is -z, k is y; returned as (x, z, y)."""
    x, y, z = grid.center_mm
    steps = [(torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * grid.voxel_size_mm for n in grid.shape]
    return x - steps[0], z - steps[1], y + steps[2]


def target_lattice(grid: Grid) -> Tensor:
    """RAS mm [3, i, j, k] of a coarse lattice whose ends are the grid's first and last voxels."""
    axes = []
    for axis in axes_mm(grid):
        n = max(2, int(np.ceil(len(axis) * grid.voxel_size_mm / _LATTICE_MM)) + 1)
        axes.append(torch.linspace(float(axis[0]), float(axis[-1]), n))
    x, z, y = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z])


def full_coordinates(lattice: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The lattice [3, ...] of coordinates, interpolated to every voxel of a grid of `shape`."""
    return functional.interpolate(lattice[None], size=shape, mode="trilinear", align_corners=True)[0]


def source_box(coordinates: Tensor, shape: Sequence[int]) -> tuple[slice, ...]:
    """Part of the source array that the coordinates [3, ...] touch, at least two voxels wide."""
    box = []
    for axis, size in zip(coordinates, shape, strict=True):
        low = min(max(0, int(torch.floor(axis.min())) - 2), size - 2)
        high = max(min(size, int(torch.ceil(axis.max())) + 3), low + 2)
        box.append(slice(low, high))
    return tuple(box)


def sample(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Linear interpolation of [C, x, y, z] at voxel coordinates [3, ...]; zero outside."""
    size = torch.tensor([float(s) for s in volume.shape[1:]])
    unit = (coordinates / (size - 1)[:, None, None, None]) * 2 - 1
    return sample_unit(volume, unit, "zeros")


def sample_unit(volume: Tensor, unit: Tensor, padding: str = "border") -> Tensor:
    """As `sample`, coordinates -1..1 between the centres of the first and last voxels."""
    grid = unit.flip(0).permute(1, 2, 3, 0)[None]
    sampled = functional.grid_sample(volume[None], grid, mode="bilinear", padding_mode=padding, align_corners=True)
    return torch.as_tensor(sampled[0])


def resize(volume: Tensor, shape: Sequence[int]) -> Tensor:
    """[1, 1, x, y, z], trilinear to `shape` [x, y, z]; the corners stay where they are."""
    return functional.interpolate(volume, size=list(shape), mode="trilinear", align_corners=True)[0, 0]


def gaussian(image: Tensor, axis: int, sigma_voxels: float) -> Tensor:
    """Gaussian blur along one axis; the border repeats."""
    radius = max(1, int(np.ceil(2.5 * sigma_voxels)))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    moved = image.movedim(axis, -1)
    flat = moved.reshape(1, -1, moved.shape[-1])
    padded = functional.pad(flat, (radius, radius), mode="replicate")
    blurred = functional.conv1d(padded.movedim(1, 0), kernel[None, None])
    return blurred.reshape(moved.shape).movedim(-1, axis)
