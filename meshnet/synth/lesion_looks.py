"""Stroke lesions in a label-map head: real masks placed by the head's MNI affine, painted old or recent.

The label is the mask within the brain: ventricles, open sulci and everything outside the brain cut it. Narrow sulci
inside the mask belong to it, as in masks drawn by hand. An old
lesion has a cavity as bright as fluid within a rim of gliosis; a recent one is changed tissue throughout. `LOOKS` says
how bright changed tissue is in each contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.synth.axis_matrices import smooth_noise
from meshnet.synth.contrast import ContrastDraw, HeadContrast
from meshnet.synth.head_volumes import CENTER_MNI_MM, Box, HeadVolumes, Level
from meshnet.synth.label_table import BRAIN, CLASSES, RIMS, VENTRICLES, WHITE
from meshnet.synth.lesion import blur
from meshnet.synth.lesion_masks import LesionMask, LesionMasks

#: Changed tissue per contrast: alternatives (chance, reference row, low, high) of its brightness, and how far tissue
#: goes towards it: (low, high) for an old lesion's rim, a recent lesion, and a faint recent one.
LOOKS: Mapping[HeadContrast, tuple[list[tuple[float, str, float, float]], tuple[tuple[float, float], ...]]] = {
    "T2w": ([(1, "fluid", 0.85, 1.1)], ((0.3, 0.85), (0.3, 0.85), (0.12, 0.3))),
    "T2w-edge": ([(1, "fluid", 0.85, 1.1)], ((0.3, 0.85), (0.4, 0.9), (0.2, 0.4))),
    "FLAIR": ([(1, "cortex", 1.3, 1.9)], ((0.3, 0.9), (0.3, 0.9), (0.12, 0.3))),
    "T1w": ([(1, "fluid", 0.9, 1.3)], ((0.2, 0.7), (0.2, 0.65), (0.1, 0.2))),
    "any": ([(0.5, "fluid", 0.8, 1.2), (0.5, "white", 1.3, 2.0)], ((0.3, 0.9), (0.4, 0.9), (0.2, 0.4))),
}
_OLD, _RECENT, _FAINT = range(3)

#: Column order of `lesion_anatomy`: fluid, where a lesion may be, white matter.
_ANATOMY = np.stack(
    [
        np.array([c.intensity == "fluid" for c in CLASSES]),
        BRAIN & ~VENTRICLES,
        np.array([c.tissue == WHITE for c in CLASSES]),
    ],
    axis=1,
).astype(np.float32)
#: A sulcus is open where fluid blurred by this s.d. is more than this share.
_OPEN_MM, _OPEN_SHARE = 2.0, 0.7


@dataclass(frozen=True)
class LesionDraw:
    """One drawn lesion. Lengths in mm; shares and amounts 0..1.

    mask_center_mm: MNI mm of the mask's centroid. matrix, shift_mm: the mask's own small affine in MNI space. old: with
    a cavity. core: how far the cavity fills the lesion. core_intensity, changed_intensity: of cavity and changed
    tissue. strength: how far tissue goes towards the latter. rim, rim_mm: faint change beyond the label. edge_mm:
    softness of the border. roughness: of the outline. strands: tissue left in it. dark: old blood. ex_vacuo_mm:
    widening of the ventricle beside it.
    """

    mask: LesionMask
    mask_center_mm: NDArray[np.float64]
    mirrored: bool
    matrix: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    old: bool
    core: float
    core_intensity: float
    changed_intensity: float
    strength: float
    rim: float
    rim_mm: float
    edge_mm: float
    roughness: float
    strands: float
    dark: float
    ex_vacuo_mm: float
    seed: int

    def center_mni_mm(self) -> NDArray[np.float64]:
        """MNI mm of the lesion's middle, moved and mirrored."""
        side = np.array([-1.0, 1.0, 1.0]) if self.mirrored else np.ones(3)
        return np.asarray(self.mask_center_mm * side + self.shift_mm)


def draw_lesion(rng: np.random.Generator, masks: LesionMasks, contrast: ContrastDraw, old: float = 0.65) -> LesionDraw:
    """Draw a mask, its small affine and side, and a look; `old` is the probability of an old one."""
    mask = masks.masks[int(rng.choice(len(masks.masks), p=masks.chances))]
    matrix = (np.eye(3) + rng.uniform(-0.12, 0.12, (3, 3))) * rng.uniform(0.8, 1.2)
    is_old = bool(rng.random() < old)
    faint = bool(not is_old and rng.random() < 0.3)
    alternatives, strengths = LOOKS[contrast.kind]
    chances = np.array([a[0] for a in alternatives])
    _, reference, low, high = alternatives[int(rng.choice(len(alternatives), p=chances / chances.sum()))]
    kind = _OLD if is_old else _FAINT if faint else _RECENT
    return LesionDraw(
        mask=mask,
        mask_center_mm=mask.center_mm(),
        mirrored=bool(rng.random() < 0.5),
        matrix=matrix,
        shift_mm=rng.uniform(-5, 5, 3),
        old=is_old,
        core=float(rng.uniform(0.25, 0.95)) if is_old else 0.0,
        core_intensity=contrast.intensities["fluid"] * float(rng.uniform(0.8, 1.05)),
        changed_intensity=contrast.intensities[reference] * float(rng.uniform(low, high)),
        strength=float(rng.uniform(*strengths[kind])),
        rim=float(rng.uniform(0.0, 0.35)),
        rim_mm=float(rng.uniform(1.0, 5.0)),
        edge_mm=float(rng.uniform(0.8, 2.0)),
        roughness=float(rng.uniform(0.0, 0.5)),
        strands=float(rng.uniform(0.0, 0.7)) if rng.random() < 0.5 else 0.0,
        dark=float(rng.uniform(0.0, 0.6)) if rng.random() < 0.3 else 0.0,
        ex_vacuo_mm=float(rng.uniform(0, 14)) if is_old else 0.0,
        seed=int(rng.integers(2**62)),
    )


def center_head_mm(head: HeadVolumes, lesion: LesionDraw) -> NDArray[np.float64]:
    """Head mm of the lesion's middle."""
    scaled = head.affine_mni2vox[:, :3] @ (lesion.center_mni_mm() - CENTER_MNI_MM)
    return np.asarray(head.vox_from_head[:, :3].T @ scaled)


def paint_lesion(
    intensity: Tensor, head: HeadVolumes, level: Level, box: Box, lesion: LesionDraw, *, atrophy: float
) -> tuple[Tensor, Tensor]:
    """Intensity with the lesion in it, and the lesion's share of each voxel (0..1), both [x, y, z] of `box`.

    atrophy: how far the rim of the cortex has turned to fluid, which cuts the lesion.
    """
    label = torch.zeros_like(intensity)
    placed = place_mask(head, level, box, lesion)
    if placed is None:
        return intensity, label
    mask, inner, origin_mm, extent_mm = placed
    v = float(level.voxel_mm)
    whole = tuple(slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inner, strict=True))
    fluid, brain, white = level.paint(lesion_anatomy(atrophy), (whole[0], whole[1], whole[2]))
    rng = torch.Generator().manual_seed(lesion.seed)
    axes = level.positions_mm((whole[0], whole[1], whole[2]))
    positions = [p - o for p, o in zip(axes, origin_mm, strict=True)]

    def noise(grain_mm: float) -> Tensor:
        return smooth_noise(extent_mm, positions, max(grain_mm, v), rng, mask.device)

    soft = blur(mask, lesion.edge_mm / v) + 0.5 * lesion.roughness * noise(5.0)
    inside = torch.sigmoid((soft - 0.5) * 12) * (brain > 0.5) * (blur(fluid, _OPEN_MM / v) <= _OPEN_SHARE)
    own = intensity[inner]
    towards_changed = lesion.strength * inside
    core = torch.zeros_like(inside)
    if lesion.old:
        depth = blur(mask, 4.0 / v) + 0.35 * noise(7.0)
        core = torch.sigmoid((depth - (1.05 - 0.8 * lesion.core)) * 10) * inside
    if lesion.strands:
        left = 1 - lesion.strands * torch.sigmoid(4 * noise(4.0) - 2)
        towards_changed, core = towards_changed * left, core * left
    halo = blur(mask, lesion.rim_mm / v) * lesion.rim * lesion.strength * (white > 0.5)
    towards_changed = torch.maximum(towards_changed, halo)
    changed = own + towards_changed * (lesion.changed_intensity - own)
    painted = changed + core * (lesion.core_intensity - changed)
    painted = painted * (1 + 0.06 * noise(2.0) * inside)
    if lesion.dark:
        painted = painted * (1 - lesion.dark * torch.sigmoid(6 * noise(3.0) - 7) * inside)
    result = intensity.clone()
    result[inner] = painted
    label[inner] = inside
    return result, label


def lesion_anatomy(atrophy: float) -> NDArray[np.float32]:
    """Share of each class that is fluid, may hold a lesion, and is white matter, float32 [CLASS_COUNT, 3]; the rim of
    the cortex is `atrophy` fluid."""
    table: NDArray[np.float32] = _ANATOMY.copy()
    table[RIMS, 0] = atrophy
    return table


def place_mask(
    head: HeadVolumes, level: Level, box: Box, lesion: LesionDraw
) -> tuple[Tensor, Box, NDArray[np.float64], NDArray[np.float64]] | None:
    """The mask (0..1) on the part of `box` within 12 mm of it, and that part; None where they don't meet.

    With it, in voxels of 1 mm, the first corner and the size of the whole surroundings, whatever `box` shows of them.
    """
    to_mask = mask_from_voxel(head, lesion)
    inverse = np.linalg.inv(to_mask[:, :3])
    size = np.array(lesion.mask.mask.shape, float)
    corners = np.array([[a, b, c] for a in (0, size[0]) for b in (0, size[1]) for c in (0, size[2])])
    reached = (corners - 0.5 - to_mask[:, 3]) @ inverse.T
    first, last = reached.min(axis=0) - 12.0, reached.max(axis=0) + 12.0
    low, high = first / level.voxel_mm, last / level.voxel_mm
    inner = []
    for axis in range(3):
        start = max(int(np.floor(low[axis])), box[axis].start)
        stop = min(int(np.ceil(high[axis])) + 1, box[axis].stop)
        if stop - start < 2:
            return None
        inner.append(slice(start - box[axis].start, stop - box[axis].start))
    part = tuple(slice(b.start + i.start, b.start + i.stop) for b, i in zip(box, inner, strict=True))
    axes = level.positions_mm((part[0], part[1], part[2]))
    padded = functional.pad(torch.from_numpy(lesion.mask.mask).to(head.device).float(), (1, 1, 1, 1, 1, 1))
    # mask voxels of the padded mask to -1..1, last axis first, as grid_sample wants them
    unit = np.diag(2.0 / (np.array(padded.shape) - 1.0))
    linear, offset = unit @ to_mask[:, :3], unit @ (to_mask[:, 3] + 1.0) - 1.0
    i, j, k = (torch.from_numpy(a.astype(np.float32)).to(head.device) for a in axes)
    coordinates = [
        float(linear[r, 0]) * i[:, None, None]
        + float(linear[r, 1]) * j[None, :, None]
        + (float(linear[r, 2]) * k + float(offset[r]))[None, None, :]
        for r in (2, 1, 0)
    ]
    grid = torch.stack(coordinates, dim=-1)[None]
    sampled = functional.grid_sample(
        padded[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return sampled[0, 0], (inner[0], inner[1], inner[2]), first - 4.0, last - first + 8.0


def mask_from_voxel(head: HeadVolumes, lesion: LesionDraw) -> NDArray[np.float64]:
    """Affine [3, 4] from voxels of 1 mm of the head to voxels of the mask."""
    mirror = np.diag([-1.0 if lesion.mirrored else 1.0, 1.0, 1.0])
    to_mni = np.linalg.inv(head.affine_mni2vox[:, :3])
    linear = mirror @ np.linalg.inv(lesion.matrix) @ to_mni
    moved = to_mni @ -head.affine_mni2vox[:, 3] - lesion.center_mni_mm()
    middle = lesion.mask_center_mm - np.array(lesion.mask.origin_mm)
    return np.column_stack([linear, mirror @ np.linalg.inv(lesion.matrix) @ moved + middle])
