"""Renders a drawn head on any grid, on the CPU or a GPU: `render`.

The head is painted at 1 or 2 mm in its own voxels (lookups by class, sub-regions, texture, white-matter spots, lesion),
carried to the grid by one linear resampling, and seen by the scanner (slices, blur, bias field, noise, field of view,
conform's scaling to 0..255). Random fields come from seeded generators on the CPU, so that both devices give the same
subject within float error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.synth.axis_matrices import (
    apply_along_axes,
    gaussian_matrix,
    slice_matrix,
    smooth_noise,
    spline_weights,
)
from meshnet.synth.contrast import BINS, ContrastDraw
from meshnet.synth.grid import Grid, axes_mm, source_box, target_lattice
from meshnet.synth.head_volumes import Box, HeadVolumes, Level
from meshnet.synth.label_table import (
    BRAIN,
    CLASS_COUNT,
    CLASSES,
    INDEX,
    RIMS,
    TARGET_LABELS,
    Target,
    class_of_target,
)
from meshnet.synth.lesion_looks import LesionDraw, center_head_mm, paint_lesion
from meshnet.synth.shapes import Acquisition, Shape

#: Edge of the cube around the head's centre that control fields (elastic, bias) cover.
_FIELD_MM = 260.0
#: Classes that a large target's label volumes are compared in at a time.
_LABELS_AT_A_TIME = 4
#: A grid at least this long along each axis scales by its own brightest voxels, as conform would; a smaller one by
#: those of the whole head on voxels of 5 mm.
_WHOLE_HEAD_MM = 150.0
_WHOLE_HEAD = Grid((40, 48, 52), 5.0)


@dataclass(frozen=True)
class HeadScan:
    """image: float32 [i, j, k], 0..1 in steps of 1/255, as conform and min-max leave it; labels: uint8 [i, j, k]."""

    image: Tensor
    labels: Tensor


@dataclass(frozen=True)
class DrawnHead:
    """Everything that was drawn for one subject. spots: 0..1, amount of white-matter hyperintensities."""

    head: HeadVolumes
    target: Target
    shape: Shape
    contrast: ContrastDraw
    lesion: LesionDraw | None
    spots: float
    acquisition: Acquisition
    seed: int


def render(subject: DrawnHead, grid: Grid) -> HeadScan:
    """Image and labels on `grid`, on the device of the subject's head. Any grid shows the same head; noise, drawn on
    the grid, differs."""
    image, labels = _scan(subject, grid)
    reference = image
    if min(n * grid.voxel_size_mm for n in grid.shape) < _WHOLE_HEAD_MM:
        reference, _ = _scan(subject, _WHOLE_HEAD)
    upper = _upper_level(reference) * subject.acquisition.gain
    conformed = (image * (255.0 / upper)).clamp(0, 255).round() / 255.0
    return HeadScan(conformed, labels)


def _upper_level(image: Tensor) -> float:
    """Intensity that conform maps to 255: all but 0.07 % of the non-zero voxels are darker."""
    sample = image[::2, ::2, ::2].reshape(-1)
    nonzero = sample[sample > 0.01 * sample.max()]
    if not len(nonzero):
        return 1.0
    return max(float(nonzero.kthvalue(max(1, round(0.9993 * len(nonzero)))).values), 1e-6)


def _scan(subject: DrawnHead, grid: Grid) -> tuple[Tensor, Tensor]:
    """Image before scaling (float32) and labels (uint8), both [i, j, k] on `grid`."""
    head = subject.head
    level = head.level(grid.voxel_size_mm)
    voxels = (_source_voxels(subject, grid) - (level.voxel_mm - 1) / 2) / level.voxel_mm
    box = source_box(voxels, level.rows.shape)
    box = (box[0], box[1], box[2])
    grid_unit = _unit_coordinates(voxels, box, grid.shape)
    intensity, lesion = _paint_intensity(subject, level, box)
    tables = _label_table(subject)
    first = level.paint(tables[:, :_LABELS_AT_A_TIME], box)
    sampled = _sample(torch.cat([intensity[None], lesion, first]), grid_unit)
    image, lesion = _acquire(subject, sampled[0], grid), sampled[1 : 1 + len(lesion)]
    labels = _largest_share(sampled[1 + len(lesion) :], level, box, grid_unit, tables)
    if len(lesion) and subject.target in ("lesion", "tissue-lesion"):
        labels.masked_fill_(lesion[0] > 0.5, TARGET_LABELS[subject.target].index("lesion"))
    return image, labels * _field_of_view(subject.acquisition, grid, head.device).to(torch.uint8)


def _label_table(subject: DrawnHead) -> NDArray[np.float32]:
    """Membership [CLASS_COUNT, n] of every class in the target's labels 1..n (rims are grey and fluid in shares)."""
    names = TARGET_LABELS[subject.target]
    classes = class_of_target(subject.target, mirrored=subject.shape.mirrored)
    table = np.zeros((CLASS_COUNT, len(names)), np.float32)
    table[np.arange(CLASS_COUNT), classes] = 1.0
    if subject.shape.atrophy > 0:
        fluid = np.zeros(len(names), np.float32)
        fluid[class_of_target(subject.target)[INDEX["fluid between gyri"]]] = 1.0
        table[RIMS] += subject.shape.atrophy * (fluid - table[RIMS])
    used = [i for i, n in enumerate(names) if i and n != "lesion"]
    return table[:, used]


def _largest_share(first: Tensor, level: Level, box: Box, grid_unit: Tensor, table: NDArray[np.float32]) -> Tensor:
    """Label with the largest share of each voxel, uint8; 0 where unlabelled tissue has the largest share.

    `first`: the shares of the labels 1.._LABELS_AT_A_TIME, which were sampled with the image.
    """
    if not len(first):
        return torch.zeros(grid_unit.shape[1:4], dtype=torch.uint8, device=grid_unit.device)
    total = first.sum(dim=0)
    best, labels = first.max(dim=0)
    labels = (labels + 1).to(torch.uint8)
    for start in range(_LABELS_AT_A_TIME, table.shape[1], _LABELS_AT_A_TIME):
        shares = _sample(level.paint(table[:, start : start + _LABELS_AT_A_TIME], box), grid_unit)
        total += shares.sum(dim=0)
        most, which = shares.max(dim=0)
        labels = torch.where(most > best, (which + 1 + start).to(torch.uint8), labels)
        best = torch.maximum(best, most)
    return torch.where(1 - total > best, torch.zeros_like(labels), labels)


def _source_voxels(subject: DrawnHead, grid: Grid) -> Tensor:
    """[3, ...] voxels of 1 mm of the head, on the grid's coarse lattice."""
    head, shape = subject.head, subject.shape
    target_mm = target_lattice(grid).to(head.device)
    head_mm = _linear(shape.matrix, np.zeros(3), target_mm)
    x, z, y = (_lattice_axis(a, n) for a, n in zip(axes_mm(grid), target_mm.shape[1:], strict=True))
    for control in shape.elastic_mm:
        count = control.shape[-1]
        rows = [spline_weights((a / _FIELD_MM + 0.5) * (count - 1), count) for a in (x, y, z)]
        field = apply_along_axes(torch.from_numpy(control).to(head.device), rows)
        head_mm = head_mm + 1.6 * field.permute(0, 1, 3, 2)  # 1.6: B-splines shrink white noise by about that
    voxels = _linear(head.vox_from_head[:, :3], head.vox_from_head[:, 3], head_mm)
    widening: Tensor | float = shape.ventricle_mm
    if subject.lesion is not None and subject.lesion.ex_vacuo_mm > 0:
        center = center_head_mm(head, subject.lesion)
        center_t = torch.from_numpy(center.astype(np.float32)).to(head.device)
        distance_sq = ((head_mm - center_t[:, None, None, None]) ** 2).sum(dim=0)
        widening = widening + subject.lesion.ex_vacuo_mm * torch.exp(-distance_sq / (2 * 35.0**2))
    coarse = (voxels - 1.5) / 4.0
    x_count, y_count, z_count = head.toward_ventricle.shape[1:]
    unit = _to_unit(coarse, (slice(0, x_count), slice(0, y_count), slice(0, z_count))).permute(1, 2, 3, 0)[None]
    return voxels + widening * _sample(head.toward_ventricle, unit)


def _lattice_axis(axis: Tensor, count: int) -> NDArray[np.float64]:
    return np.linspace(float(axis[0]), float(axis[-1]), count)


def _linear(matrix: NDArray[np.float64], offset: NDArray[np.float64], points: Tensor) -> Tensor:
    """Affine of [3, ...] points, float32."""
    weights = torch.from_numpy(matrix.astype(np.float32)).to(points.device)
    shift = torch.from_numpy(offset.astype(np.float32)).to(points.device)
    return (weights @ points.reshape(3, -1) + shift[:, None]).reshape(points.shape)


def _to_unit(voxels: Tensor, box: Box) -> Tensor:
    """[3, ...] voxels -> -1..1 between the first and last voxel of `box`, last axis first, as grid_sample takes it."""
    return torch.stack([(voxels[a] - box[a].start) * (2.0 / (box[a].stop - box[a].start - 1)) - 1.0 for a in (2, 1, 0)])


def _unit_coordinates(lattice: Tensor, box: Box, shape: tuple[int, int, int]) -> Tensor:
    """Sampling coordinates [1, i, j, k, 3] of every voxel of a grid of `shape`, from those on the lattice."""
    unit = _to_unit(lattice, box)[None]
    return functional.interpolate(unit, size=shape, mode="trilinear", align_corners=True).permute(0, 2, 3, 4, 1)


def _sample(volume: Tensor, grid_unit: Tensor) -> Tensor:
    """Linear resampling of [C, x, y, z] at [1, i, j, k, 3]; zero outside. On the CPU in as many parts along i as there
    are threads: PyTorch's kernel runs one part per thread."""
    parts = torch.get_num_threads() if volume.device.type == "cpu" else 1
    size = grid_unit.shape[1]
    if parts == 1 or size < 2 * parts:
        return functional.grid_sample(volume[None], grid_unit, padding_mode="zeros", align_corners=True)[0]
    each = -(-size // parts)
    padded = functional.pad(grid_unit, (0, 0, 0, 0, 0, 0, 0, each * parts - size), value=2.0)
    grids = padded.view(parts, each, *grid_unit.shape[2:])
    sampled = functional.grid_sample(
        volume.expand(parts, *volume.shape), grids, padding_mode="zeros", align_corners=True
    )
    return sampled.transpose(0, 1).reshape(len(volume), each * parts, *grid_unit.shape[2:4])[:, :size]


def _paint_intensity(subject: DrawnHead, level: Level, box: Box) -> tuple[Tensor, Tensor]:
    """Intensity [x, y, z] in the head's voxels, and the lesion's share of each voxel [1 or 0, x, y, z]."""
    head, contrast = subject.head, subject.contrast
    rng = torch.Generator().manual_seed(contrast.seed)
    positions = level.positions_mm(box)
    parts = smooth_noise(head.shape, positions, contrast.part_mm, rng, head.device)
    texture = smooth_noise(head.shape, positions, contrast.texture_mm, rng, head.device)
    table = _intensity_table(subject)
    intensity = _by_part(level, box, table, parts)
    amounts = np.where(BRAIN, contrast.texture, contrast.outside_texture).astype(np.float32)[:, None]
    # at most 1.8 times as bright: a few brilliant spots of fat would decide conform's scaling of the whole head
    intensity = intensity * torch.exp((level.paint(amounts, box)[0] * texture).clamp(max=0.6))
    if subject.spots > 0:
        intensity = _paint_spots(subject, level, box, intensity, rng)
    lesion = intensity[None][:0]
    if subject.lesion is not None:
        intensity, label = paint_lesion(intensity, head, level, box, subject.lesion, atrophy=subject.shape.atrophy)
        lesion = label[None]
    if subject.acquisition.deface is not None:
        intensity = _deface(head, subject.acquisition.deface, level, box, intensity)
    return intensity, lesion


def _intensity_table(subject: DrawnHead) -> NDArray[np.float32]:
    """[CLASS_COUNT, BINS]: the contrast's, with shrunk cortex, and without what a stripped head lacks."""
    table = subject.contrast.class_bins.copy()
    table[RIMS] += subject.shape.atrophy * (subject.contrast.intensities["fluid"] - table[RIMS])
    stripped = subject.acquisition.stripped
    if stripped:
        kept = BRAIN.copy()
        kept[INDEX["fluid around the brain"]] = stripped == 2
        table[~kept] = 0
    return table


def _by_part(level: Level, box: Box, table: NDArray[np.float32], parts: Tensor) -> Tensor:
    """Intensity of each voxel's mixture in the bin of its sub-region field (linear between the bins' middles)."""
    means = level.means(table).T.contiguous().reshape(-1)  # [rows * BINS]
    # sigmoid(1.702 n) is within 0.01 of the normal distribution function: bins are about equally likely
    position = (torch.sigmoid(parts * 1.702) * BINS - 0.5).clamp(0, BINS - 1.001)
    low = position.floor()
    index = level.rows[box] * BINS + low.to(torch.int32)
    flat = index.reshape(-1)
    below = means.index_select(0, flat).view(parts.shape)
    above = means.index_select(0, flat + 1).view(parts.shape)
    return torch.lerp(below, above, position - low)


def _paint_spots(subject: DrawnHead, level: Level, box: Box, intensity: Tensor, rng: torch.Generator) -> Tensor:
    """White-matter hyperintensities: caps at the ventricles and scattered spots. They aren't labelled."""
    head, amount = subject.head, subject.spots
    positions = level.positions_mm(box)
    noise = smooth_noise(head.shape, positions, 4.0, rng, head.device)
    rows = [spline_weights((p - 1.5) / 4.0, n) for p, n in zip(positions, head.near_ventricle.shape, strict=True)]
    near = apply_along_axes(head.near_ventricle[None], rows)[0]
    white = np.array([c.intensity == "white" for c in CLASSES], np.float32)[:, None]
    share = torch.sigmoid((noise + 7.0 * near.clamp(0, 0.35) - 3.2 + 1.2 * amount) * 4)
    weight = share * (level.paint(white, box)[0] > 0.6) * (0.35 + 0.5 * amount)
    return intensity + weight * (subject.contrast.intensities["white-matter lesion"] - intensity)


def _deface(
    head: HeadVolumes, plane: tuple[float, float, float, float], level: Level, box: Box, intensity: Tensor
) -> Tensor:
    """Zero in front of the plane, but for the brain and the fluid around it."""
    normal = head.vox_from_head[:, :3] @ np.array(plane[:3])
    start = float(normal @ head.vox_from_head[:, 3]) + plane[3]
    i, j, k = (
        torch.from_numpy((n * p).astype(np.float32)).to(intensity.device)
        for n, p in zip(normal, level.positions_mm(box), strict=True)
    )
    front = i[:, None, None] + j[None, :, None] + k[None, None, :] > start
    kept = BRAIN.astype(np.float32)[:, None].copy()
    kept[INDEX["fluid around the brain"]] = 1
    return torch.where(front & (level.paint(kept, box)[0] < 0.5), torch.zeros_like(intensity), intensity)


def _acquire(subject: DrawnHead, image: Tensor, grid: Grid) -> Tensor:
    """The image [i, j, k] as the scanner sees it."""
    a, v = subject.acquisition, grid.voxel_size_mm
    matrices: list[NDArray[np.float64] | None] = [None, None, None]
    for axis, count in enumerate(grid.shape):
        if a.slice_mm > 1.3 * v and axis == a.slice_axis:
            matrices[axis] = slice_matrix(count, a.slice_mm / v, a.slice_profile, a.slice_offset)
        elif a.blur_mm > 0.3 * v:
            matrices[axis] = gaussian_matrix(count, a.blur_mm / v)
    image = apply_along_axes(image, matrices)
    image = image * torch.exp(_bias(a.bias, grid, image.device))
    rng = torch.Generator().manual_seed(a.seed)
    if a.noise > 0:
        values = subject.contrast.intensities
        sigma = a.noise * max(values["fluid"], values["cortex"], values["white"])
        drawn = torch.randn([2, *image.shape], generator=rng).to(image.device) * sigma
        noisy = torch.hypot(image + drawn[0], drawn[1])
        image = torch.where(image > 1e-3, noisy, torch.zeros_like(image)) if a.stripped else noisy
    if a.gamma != 1.0:
        top = image.max().clamp(min=1e-6)
        image = top * (image / top) ** a.gamma
    return image * _field_of_view(a, grid, image.device)


def _bias(control: NDArray[np.float32], grid: Grid, device: torch.device) -> Tensor:
    """Logarithm of the bias field on the grid."""
    x, z, y = (a.numpy().astype(np.float64) for a in axes_mm(grid))
    count = control.shape[0]
    rows = [spline_weights((a / _FIELD_MM + 0.5) * (count - 1), count) for a in (x, z, y)]
    return 1.6 * apply_along_axes(torch.from_numpy(control).to(device)[None], rows)[0]


def _field_of_view(a: Acquisition, grid: Grid, device: torch.device) -> Tensor:
    """1 where the scan sees the head, 0 beyond the ends of its view; the lower and upper end are tilted."""
    x, z, y = (axis.to(device) for axis in axes_mm(grid))
    inside = [(c >= float(low)) & (c <= float(high)) for c, (low, high) in zip((x, y), a.view_mm[:2], strict=True)]
    height = z[None, :, None] + float(a.tilt[0]) * y[None, None, :] + 0.3 * float(a.tilt[1]) * x[:, None, None]
    seen = (height >= float(a.view_mm[2, 0])) & (height <= float(a.view_mm[2, 1]))
    return (seen & inside[0][:, None, None] & inside[1][None, None, :]).float()
