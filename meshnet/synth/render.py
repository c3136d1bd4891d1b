"""A drawn subject as an image: its template head deformed, painted, put through a scanner and labelled.

Painting happens in template space; coordinates are computed on a coarse lattice and images sampled once, linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.synth.anatomy import CSF, DARK, GREY, GRID_ORIGIN_MM, WHITE, Anatomy
from meshnet.synth.draw import Acquisition, ContrastDraw, Shape, Task
from meshnet.synth.grid import (
    Grid,
    axes_mm,
    full_coordinates,
    gaussian,
    resize,
    sample,
    sample_unit,
    source_box,
    target_lattice,
)
from meshnet.synth.lesion import LesionPlan, paint_lesion, paint_white_matter_spots

#: Channels of `Head.levels` after the eight of `meshnet.synth.anatomy`.
FLUID, BRAIN, NEAR_VENTRICLE = 8, 9, 10


@dataclass(frozen=True)
class SyntheticScan:
    """image: float32 [D, H, W], 0..1 as conform and min-max leave it; labels: uint8 [D, H, W]."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]


class Head:
    """An anatomy at 1, 2 and 4 mm as tensors; the brain's fluid as a separate channel for labels.

    toward_ventricles: [3, x, y, z] on every second voxel, the gradient of the smooth ventricle mask per
    third of a voxel pair; displacing by it samples nearer to the ventricle, which widens it.
    """

    def __init__(self, anatomy: Anatomy) -> None:
        fractions = torch.from_numpy(anatomy.fractions)
        brain = torch.from_numpy(anatomy.brain)
        fluid = torch.where(brain > 0, fractions[CSF], torch.zeros_like(fractions[CSF]))
        self.name = anatomy.name
        near = torch.from_numpy(np.rint(anatomy.ventricles * 255).astype(np.uint8))
        fine = torch.stack([*fractions, fluid, brain * 255, near])
        self.levels = {1: fine, 2: _halve(fine)}
        self.levels[4] = _halve(self.levels[2])
        self.toward_ventricles = _gradient(torch.from_numpy(anatomy.ventricles))


@dataclass(frozen=True)
class Subject:
    """A drawn subject; `render` makes the scan on any grid, the same head each time (texture and noise, drawn on the
    grid, are others)."""

    task: Task
    head: Head
    shape: Shape
    contrast: ContrastDraw
    lesion: LesionPlan | None
    acquisition: Acquisition
    stripped: bool
    spots: float
    seed: int

    def render(self, grid: Grid) -> SyntheticScan:
        """Image and labels on `grid`. Scaled as conform does on the whole head, whatever the grid shows."""
        whole = Grid((37, 40, 43), 6.0)
        head_values, _ = self._scan(whole)
        image, labels = self._scan(grid)
        nonzero = head_values[head_values > 0.01 * head_values.max()]
        upper = float(torch.quantile(nonzero, 0.9993)) * self.acquisition.gain
        conformed = (image * (255.0 / max(upper, 1e-6))).clamp(0, 255).round() / 255.0
        return SyntheticScan(conformed.numpy().astype(np.float32), labels.numpy().astype(np.uint8))

    def _scan(self, grid: Grid) -> tuple[Tensor, Tensor]:
        """Image (float32, not yet scaled) and labels (uint8), both [i, j, k] on `grid`."""
        level = 1 if grid.voxel_size_mm < 1.6 else 2 if grid.voxel_size_mm < 4 else 4
        source = self.head.levels[level]
        template_mm = self._template_coordinates(target_lattice(grid))
        coordinates = (template_mm - torch.tensor(GRID_ORIGIN_MM)[:, None, None, None] - (level - 1) / 2) / level
        box = source_box(coordinates, source.shape[1:])
        origin_mm = [o + (level - 1) / 2 + b.start * level for o, b in zip(GRID_ORIGIN_MM, box, strict=True)]
        channels = _widen_sulci(source[(slice(None), *box)].float() / 255.0, self.shape.sulci)
        local = coordinates - torch.tensor([float(b.start) for b in box])[:, None, None, None]
        maps = sample(self._painted(channels, origin_mm, float(level)), full_coordinates(local, grid.shape))
        return self._acquire(maps[0], grid), self._labels(maps[1:], grid)

    def _painted(self, channels: Tensor, origin_mm: Sequence[float], voxel_size_mm: float) -> Tensor:
        """[1 + n, x, y, z] in template space: the intensity, then what `_labels` reads: fractions (0..1) of fluid, grey
        and white, or of the lesion where there is one."""
        intensity, means = self._tissue_intensity(channels), self.contrast.means
        if self.task == "tissue":  # spots and lesions are for lesion networks alone
            return torch.stack([intensity, channels[FLUID], channels[GREY], channels[WHITE]])
        if self.spots > 0:
            intensity = paint_white_matter_spots(
                intensity,
                channels,
                channels[NEAR_VENTRICLE],
                means,
                amount=self.spots,
                seed=self.contrast.seed,
                voxel_size_mm=voxel_size_mm,
            )
        if self.lesion is None:
            return intensity[None]
        return torch.stack(
            paint_lesion(intensity, channels, means, self.lesion, origin_mm=origin_mm, voxel_size_mm=voxel_size_mm)
        )

    def _template_coordinates(self, target_mm: Tensor) -> Tensor:
        """[3, ...] target mm on the lattice -> template mm."""
        matrix = torch.from_numpy(self.shape.affine)
        mm = torch.einsum("ab,bxyz->axyz", matrix[:, :3], target_mm) + matrix[:, 3, None, None, None]
        scaled = (mm - torch.tensor([0.0, -18.0, 0.0])[:, None, None, None]) / 120.0
        displaced = mm
        for control in self.shape.elastic_mm:
            displaced = displaced + sample_unit(torch.from_numpy(control), scaled)
        widening = torch.full_like(displaced[0], self.shape.ventricle_mm)
        if self.lesion is not None and self.lesion.ex_vacuo_mm > 0:
            center = torch.from_numpy(self.lesion.center_mm().astype(np.float32))[:, None, None, None]
            distance_sq = ((displaced - center) ** 2).sum(dim=0)
            widening = widening + self.lesion.ex_vacuo_mm * torch.exp(-distance_sq / (2 * 35.0**2))
        return displaced + widening * self._toward_ventricles(displaced)

    def lesion_center_mm(self) -> NDArray[np.float64]:
        """Target mm (RAS) of the lesion's middle, by the affine alone. Raises ValueError without a lesion."""
        if self.lesion is None:
            raise ValueError(f"subject {self.seed} has no lesion")
        affine = self.shape.affine.astype(np.float64)
        return np.linalg.solve(affine[:, :3], self.lesion.center_mm() - affine[:, 3])

    def _toward_ventricles(self, mm: Tensor) -> Tensor:
        """Displacement [3, ...] per mm of widening, at template mm."""
        return sample(self.head.toward_ventricles, (mm - torch.tensor(GRID_ORIGIN_MM)[:, None, None, None]) / 2)

    def _tissue_intensity(self, channels: Tensor) -> Tensor:
        """Intensity in template space: the sum of fractions times means, with smooth tissue texture."""
        means = torch.from_numpy(self.contrast.means).clone()
        if self.stripped:
            means[DARK:] = 0
        intensity = torch.einsum("k,kxyz->xyz", means, channels[:8])
        if self.stripped:
            intensity = intensity * (channels[BRAIN] > 0.5)
        rng = torch.Generator().manual_seed(self.contrast.seed)
        if self.contrast.texture > 0:
            size = [max(2, s // 4) for s in intensity.shape]
            noise = torch.randn([1, 1, *size], generator=rng) * self.contrast.texture
            intensity = intensity * (1 + resize(noise, intensity.shape))
        if self.contrast.outside_texture > 0:
            size = [max(2, s // 6) for s in intensity.shape]
            noise = torch.randn([1, 1, *size], generator=rng) * self.contrast.outside_texture
            outside = torch.einsum("k,kxyz->xyz", means[DARK:], channels[DARK:8])
            intensity = intensity + outside * torch.expm1(resize(noise, intensity.shape))
        return intensity

    def _acquire(self, image: Tensor, grid: Grid) -> Tensor:
        """The image [i, j, k] as the scanner sees it: blurred, in thick slices, with bias field, noise and cuts."""
        a = self.acquisition
        v = grid.voxel_size_mm
        if a.blur_mm > 0.3 * v:
            for axis in range(3):
                image = gaussian(image, axis, a.blur_mm / v)
        if a.slice_thickness_mm > 1.5 * v:
            image = gaussian(image, a.slice_axis, 0.36 * a.slice_thickness_mm / v)
        image = image * torch.exp(_bias(a.bias, grid))
        rng = torch.Generator().manual_seed(a.seed)
        if a.noise > 0:
            sigma = a.noise * float(self.contrast.means[[CSF, GREY, WHITE]].max())
            real = image + sigma * torch.randn(image.shape, generator=rng)
            imaginary = sigma * torch.randn(image.shape, generator=rng)
            noisy = torch.sqrt(real * real + imaginary * imaginary)
            image = torch.where(image > 0, noisy, torch.zeros(())) if self.stripped else noisy
        if a.gamma != 1.0:
            top = image.max().clamp(min=1e-6)
            image = top * (image / top) ** a.gamma
        return image * self._field_of_view(grid)

    def _field_of_view(self, grid: Grid) -> Tensor:
        """1 inside the scanned slab, 0 below the neck cut and above the top cut (both tilted)."""
        a = self.acquisition
        i, j, k = axes_mm(grid)
        height = j[None, :, None] + a.tilt[0] * k[None, None, :] + 0.3 * a.tilt[1] * i[:, None, None]
        return torch.as_tensor((height > -a.neck_cut_mm) & (height < a.top_cut_mm)).float()

    def _labels(self, maps: Tensor, grid: Grid) -> Tensor:
        """Class of every voxel, uint8 [i, j, k], from sampled fractions [n, i, j, k]; background beyond the cuts."""
        seen = self._field_of_view(grid)
        if self.task == "lesion":
            return ((maps[0] > 0.5) * seen if len(maps) else torch.zeros(grid.shape)).to(torch.uint8)
        background = 1 - maps.sum(dim=0, keepdim=True)
        return (torch.cat([background, maps]).argmax(dim=0) * seen).to(torch.uint8)


def _widen_sulci(channels: Tensor, amount: float) -> Tensor:
    """Atrophy: mixed voxels of fluid and grey turn to fluid, by `amount` times the fluid they hold."""
    extra = torch.minimum(channels[CSF] * amount, channels[GREY])
    channels[FLUID] += extra * channels[BRAIN]
    channels[CSF] += extra
    channels[GREY] -= extra
    return channels


def _bias(control: NDArray[np.float32], grid: Grid) -> Tensor:
    """Log bias field on the grid from control points over a 240 mm cube around the head's centre."""
    axes = [a / 120.0 for a in axes_mm(grid)]
    coarse = [a[:: max(1, round(8 / grid.voxel_size_mm))] for a in axes]
    coarse = [torch.linspace(float(a[0]), float(a[-1]), len(c) + 1) for a, c in zip(axes, coarse, strict=True)]
    unit = torch.stack(torch.meshgrid(*coarse, indexing="ij"))
    return resize(sample_unit(torch.from_numpy(control)[None], unit)[None], grid.shape)


def _halve(channels: Tensor) -> Tensor:
    """uint8 [C, x, y, z] -> means of 2 x 2 x 2 voxels, rounded, uint8."""
    halves = [functional.avg_pool3d(c[None, None].float(), 2, ceil_mode=True)[0, 0] for c in channels]
    return torch.stack(halves).round().to(torch.uint8)


def _gradient(volume: Tensor) -> Tensor:
    """Central differences over 4 voxels times 3, [3, x, y, z] on every second voxel; 0 at the border."""
    sides = torch.zeros(3, *volume.shape)
    for axis in range(3):
        inner = sides[axis].narrow(axis, 2, volume.shape[axis] - 4)
        inner += volume.narrow(axis, 4, inner.shape[axis]) - volume.narrow(axis, 0, inner.shape[axis])
    return (sides * 3.0)[:, ::2, ::2, ::2].contiguous()
