"""Lesions for `meshnet.synth.subject`: real stroke masks, moved a little, and painted old or recent.

Masks come from `meshnet.synth.lesion_masks` (the 1,449 public SOOP masks). A plan is drawn from the subject's random
generator. Painting happens in template space, before the head is deformed, so that a lesion follows the anatomy around
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.synth.anatomy import CSF, GREY, WHITE
from meshnet.synth.lesion_masks import LesionMask, LesionMasks


@dataclass(frozen=True)
class LesionPlan:
    """One drawn lesion: which mask, how it is moved (template mm), and how it looks."""

    mask: LesionMask
    mirrored: bool
    matrix: NDArray[np.float32]
    shift_mm: NDArray[np.float32]
    chronic: bool
    core: float
    strength: float
    rim: float
    rim_mm: float
    edge_mm: float
    roughness: float
    strands: float
    dark: float
    ex_vacuo_mm: float
    seed: int

    def center_mm(self) -> NDArray[np.float64]:
        """Template mm of the lesion's middle, moved and mirrored."""
        center = self.mask.center_mm() * (np.array([-1, 1, 1]) if self.mirrored else 1)
        return np.asarray(center + self.shift_mm)


def draw_lesion(rng: np.random.Generator, masks: LesionMasks) -> LesionPlan:
    """Draw a mask, a small affine, a side and a look (two thirds chronic)."""
    mask = masks.masks[int(rng.choice(len(masks.masks), p=masks.chances))]
    matrix = np.eye(3) + rng.uniform(-0.12, 0.12, (3, 3))
    matrix *= rng.uniform(0.8, 1.2)
    chronic = bool(rng.random() < 0.7)
    return LesionPlan(
        mask=mask,
        mirrored=bool(rng.random() < 0.5),
        matrix=matrix.astype(np.float32),
        shift_mm=rng.uniform(-5, 5, 3).astype(np.float32),
        chronic=chronic,
        core=float(rng.uniform(0.25, 0.95)) if chronic else 0.0,
        strength=float(rng.uniform(0.3, 0.85)),
        rim=float(rng.uniform(0.0, 0.45)),
        rim_mm=float(rng.uniform(1.0, 5.0)),
        edge_mm=float(rng.uniform(0.8, 2.0)),
        roughness=float(rng.uniform(0.0, 0.5)),
        strands=float(rng.uniform(0.0, 0.7)) if rng.random() < 0.6 else 0.0,
        dark=float(rng.uniform(0.0, 0.6)) if rng.random() < 0.3 else 0.0,
        ex_vacuo_mm=float(rng.uniform(0, 14)) if chronic else 0.0,
        seed=int(rng.integers(2**62)),
    )


def paint_lesion(
    intensity: Tensor,
    channels: Tensor,
    means: NDArray[np.float32],
    plan: LesionPlan,
    *,
    origin_mm: Sequence[float],
    voxel_size_mm: float,
) -> tuple[Tensor, Tensor]:
    """Intensity with the lesion painted in, and the lesion's label as a fraction, both [x, y, z].

    The label is the mask inside the brain without ventricles and cisterns. A chronic lesion has a
    fluid-like core and gliosis (part of the way from tissue to fluid) around it; a recent one is
    gliosis-like throughout. Strands of tissue and dark specks (iron of old blood) may run through either.
    A faint rim reaches beyond the label, as in real scans.
    """
    mask, box = _placed(plan, intensity.shape, origin_mm, voxel_size_mm)
    label = torch.zeros_like(intensity)
    if box is None:
        return intensity, label
    rng = torch.Generator().manual_seed(plan.seed)
    part = channels[(slice(None), *box)]
    rough = smooth_noise(mask.shape, 5.0 / voxel_size_mm, rng) * plan.roughness
    soft = blur(mask, plan.edge_mm / voxel_size_mm) + rough * 0.5
    tissue = part[CSF] + part[GREY] + part[WHITE]
    open_fluid = (blur(part[CSF], 2.0 / voxel_size_mm) > 0.7).float()
    inside = torch.sigmoid((soft - 0.5) * 12) * (tissue > 0.5) * (1 - open_fluid)
    own = intensity[box]
    fluid = own * 0 + float(means[CSF])
    change = plan.strength * inside
    if plan.chronic:
        depth = blur(mask, 4.0 / voxel_size_mm) + 0.35 * smooth_noise(mask.shape, 7.0 / voxel_size_mm, rng)
        core = torch.sigmoid((depth - (1.05 - 0.8 * plan.core)) * 10) * inside
        change = torch.maximum(change, core)
    if plan.strands:
        change = change * (1 - plan.strands * torch.sigmoid(4 * smooth_noise(mask.shape, 4.0 / voxel_size_mm, rng) - 2))
    halo = blur(mask, plan.rim_mm / voxel_size_mm) * plan.rim * (part[WHITE] > 0.5)
    change = torch.maximum(change, halo * (1 - open_fluid))
    grain = 1 + 0.08 * smooth_noise(mask.shape, 2.0 / voxel_size_mm, rng) * inside
    if plan.dark:
        specks = torch.sigmoid(6 * smooth_noise(mask.shape, 3.0 / voxel_size_mm, rng) - 7)
        grain = grain * (1 - plan.dark * specks * inside)
    painted = intensity.clone()
    painted[box] = (own + change * (fluid - own)) * grain
    label[box] = inside
    return painted, label


def paint_white_matter_spots(
    intensity: Tensor,
    channels: Tensor,
    near_ventricle: Tensor,
    means: NDArray[np.float32],
    *,
    amount: float,
    seed: int,
    voxel_size_mm: float,
) -> Tensor:
    """White-matter hyperintensities, a hard negative: bright caps at the ventricles and scattered spots.

    amount: 0..1, how much of the white matter is affected; nothing of it is labelled.
    """
    rng = torch.Generator().manual_seed(seed)
    noise = smooth_noise(intensity.shape, 3.0 / voxel_size_mm, rng)
    spots = torch.sigmoid((noise + 7.0 * near_ventricle.clamp(0, 0.35) - 3.2 + 1.2 * amount) * 4)
    weight = spots * (channels[WHITE] > 0.6) * (0.3 + 0.4 * amount)
    return intensity + weight * (float(means[CSF]) - intensity)


def _placed(
    plan: LesionPlan, shape: Sequence[int], origin_mm: Sequence[float], voxel_size_mm: float
) -> tuple[Tensor, tuple[slice, ...] | None]:
    """The moved mask (0..1) on the part of the piece it touches, 12 mm margin included."""
    center = plan.center_mm()
    corners = np.array(plan.mask.mask.shape) / 2 * np.linalg.norm(plan.matrix, 2) * 1.25 + 16.0
    box = []
    for axis in range(3):
        low = int(np.floor((center[axis] - corners[axis] - origin_mm[axis]) / voxel_size_mm))
        high = int(np.ceil((center[axis] + corners[axis] - origin_mm[axis]) / voxel_size_mm)) + 1
        low, high = max(low, 0), min(high, shape[axis])
        if high - low < 2:
            return torch.zeros(0), None
        box.append(slice(low, high))
    axes = [
        torch.arange(b.start, b.stop, dtype=torch.float32) * voxel_size_mm + float(origin_mm[a])
        for a, b in enumerate(box)
    ]
    mm = (
        torch.stack(torch.meshgrid(*axes, indexing="ij"))
        - torch.from_numpy(center.astype(np.float32))[:, None, None, None]
    )
    inverse = torch.from_numpy(np.linalg.inv(plan.matrix).astype(np.float32))
    mm = torch.einsum("ab,bxyz->axyz", inverse, mm)
    if plan.mirrored:
        mm[0] = -mm[0]
    middle = torch.from_numpy((plan.mask.center_mm() - np.array(plan.mask.origin_mm)).astype(np.float32))
    padded = functional.pad(torch.from_numpy(plan.mask.mask).float(), (1, 1, 1, 1, 1, 1))
    voxel = mm + middle[:, None, None, None] + 1
    size = torch.tensor([float(s - 1) for s in padded.shape])
    unit = (voxel / size[:, None, None, None] * 2 - 1).flip(0).permute(1, 2, 3, 0)[None]
    placed = functional.grid_sample(padded[None, None], unit, mode="bilinear", padding_mode="zeros", align_corners=True)
    return placed[0, 0], tuple(box)


def smooth_noise(shape: Sequence[int], spacing_voxels: float, rng: torch.Generator) -> Tensor:
    """Gaussian noise of s.d. about 1 with a grain of `spacing_voxels`, [x, y, z]."""
    coarse = [max(2, int(s / max(spacing_voxels, 1)) + 1) for s in shape]
    noise = torch.randn([1, 1, *coarse], generator=rng)
    return functional.interpolate(noise, size=list(shape), mode="trilinear", align_corners=True)[0, 0]


def blur(volume: Tensor, sigma_voxels: float) -> Tensor:
    """Gaussian blur of `sigma_voxels`, one axis after the other; zero outside. Wide ones at half the resolution."""
    if sigma_voxels < 0.3:
        return volume
    if sigma_voxels > 1.8:
        half = functional.avg_pool3d(volume[None, None], 2, ceil_mode=True)[0, 0]
        blurred = blur(half, sigma_voxels / 2)[None, None]
        return functional.interpolate(blurred, scale_factor=2.0, mode="trilinear")[0, 0][
            tuple(slice(n) for n in volume.shape)
        ]
    radius = int(np.ceil(2.5 * sigma_voxels))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=volume.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    kernel = (kernel / kernel.sum())[None, None]
    for axis in range(3):
        moved = volume.movedim(axis, -1)
        flat = functional.conv1d(moved.reshape(-1, 1, moved.shape[-1]), kernel, padding=radius)
        volume = flat.reshape(moved.shape).movedim(-1, axis)
    return volume
