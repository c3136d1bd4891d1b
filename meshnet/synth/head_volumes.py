"""A head's label map as tensors: class mixtures on voxels of 1 and 2 mm, and where its ventricles are.

A voxel of 2 mm holds eight classes. Few of the possible mixtures occur (some thousands in a head), so a level is a
table of mixtures and, for each voxel, its row. Any property of the classes (intensity, membership of a label) becomes a
volume with exact partial volume by a lookup: the property's mean over each mixture, then one gather.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from meshnet.synth.label_maps import HeadLabels
from meshnet.synth.label_table import CLASS_COUNT, VENTRICLES

#: MNI mm of what the drawn shapes call a head's centre.
CENTER_MNI_MM = np.array([0.0, -18.0, 8.0])
_COARSE = 4

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Level:
    """rows: int32 [x, y, z], row of `mixtures` of each voxel. mixtures: int64 [rows, members], classes. voxel_mm: edge
    of a voxel; voxel 0 is centred at (voxel_mm - 1) / 2 voxels of 1 mm."""

    rows: Tensor
    mixtures: Tensor
    voxel_mm: int

    def means(self, table: NDArray[np.float32]) -> Tensor:
        """Means [n, rows] over each mixture of a property [CLASS_COUNT, n] of the classes."""
        values = torch.from_numpy(np.ascontiguousarray(table.T)).to(self.mixtures.device)
        return values[:, self.mixtures].mean(dim=2)

    def paint(self, table: NDArray[np.float32], box: Box) -> Tensor:
        """The property [CLASS_COUNT, n] as volumes, float32 [n, x, y, z] of `box`."""
        rows = self.rows[box]
        flat = rows.reshape(-1)
        painted = torch.empty(table.shape[1], *rows.shape, device=rows.device)
        for row, volume in zip(self.means(table), painted, strict=True):
            torch.index_select(row, 0, flat, out=volume.view(-1))
        return painted

    def positions_mm(self, box: Box) -> list[NDArray[np.float64]]:
        """Where the voxels of `box` are along each axis, in voxels of 1 mm."""
        return [np.arange(b.start, b.stop) * float(self.voxel_mm) + (self.voxel_mm - 1) / 2 for b in box]


class HeadVolumes:
    """A head on one device. vox_from_head: float64 [3, 4], head mm around the centre -> voxels of 1 mm."""

    def __init__(self, labels: HeadLabels, device: torch.device) -> None:
        self.name = labels.name
        self.device = device
        self.shape = labels.classes.shape
        self.affine_mni2vox = labels.affine_mni2vox
        linear, offset = labels.affine_mni2vox[:, :3], labels.affine_mni2vox[:, 3]
        u, _, vt = np.linalg.svd(linear)
        self.vox_from_head = np.column_stack([u @ vt, linear @ CENTER_MNI_MM + offset])
        self._classes = labels.classes
        ventricles = VENTRICLES[labels.classes]
        smooth = ndimage.gaussian_filter(_mean_of_blocks(ventricles.astype(np.float32), _COARSE), 5.0 / _COARSE)
        #: Smooth ventricle mask 0..1 on voxels of 4 mm, and its gradient per mm times 12: displacing sampling
        #: points by it widens the ventricles.
        self.near_ventricle = torch.from_numpy(smooth.astype(np.float32)).to(device)
        gradient = np.stack(np.gradient(smooth, float(_COARSE))) * 12.0
        self.toward_ventricle = torch.from_numpy(gradient.astype(np.float32)).to(device)

    @cached_property
    def fine(self) -> Level:
        """Voxels of 1 mm."""
        rows = torch.from_numpy(self._classes.astype(np.int32)).to(self.device)
        return Level(rows, torch.arange(CLASS_COUNT, device=self.device)[:, None], 1)

    @cached_property
    def halved(self) -> Level:
        """Voxels of 2 mm."""
        even = np.pad(self._classes, [(0, s % 2) for s in self._classes.shape])
        shape = tuple(s // 2 for s in even.shape)
        blocks = even.reshape(shape[0], 2, shape[1], 2, shape[2], 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8)
        packed = np.sort(blocks, axis=1).view(np.uint64)[:, 0]
        unique, rows = np.unique(packed, return_inverse=True)
        mixtures = torch.from_numpy(unique[:, None].view(np.uint8).astype(np.int64))
        indices = torch.from_numpy(rows.reshape(shape).astype(np.int32))
        return Level(indices.to(self.device), mixtures.to(self.device), 2)

    def level(self, voxel_size_mm: float) -> Level:
        """The level to render a grid of `voxel_size_mm` from."""
        return self.fine if voxel_size_mm < 1.6 else self.halved


def _mean_of_blocks(volume: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Means over blocks of size^3 voxels, zeros beyond the end."""
    padded = np.pad(volume, [(0, -s % size) for s in volume.shape])
    x, y, z = (s // size for s in padded.shape)
    return np.asarray(padded.reshape(x, size, y, size, z, size).mean(axis=(1, 3, 5)))
