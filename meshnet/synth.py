"""Synthetic MRI of a head with known tissue and lesion labels, rendered on the fly from templates.

A subject is drawn from a seed in this order, each step a function below: a shape (affine, elastic,
wider ventricles), a lesion (`meshnet.synth_lesion`), a contrast (one random intensity per tissue and
smooth texture), and a scan (slice thickness, bias field, noise, field of view, conform's scaling).
The same seed gives the same subject; the patch that is cut from it is drawn from the seed too.

The target grid is the conformed one (LIA); arrays are `[i, j, k]`, C order, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.anatomy import CSF, DARK, EYE, FAT, GREY, GRID_ORIGIN_MM, LOW, MIDDLE, WHITE, Anatomy
from meshnet.synth_lesion import LesionMasks, LesionPlan, draw_lesion, paint_lesion, paint_white_matter_spots

Task = Literal["tissue", "lesion"]
Contrast = Literal["any", "T1w", "T2w"]

TISSUE_LABELS = ("background", "csf", "grey", "white")
LESION_LABELS = ("background", "lesion")

#: Spacing of the lattice on which coordinates are computed before linear interpolation.
_LATTICE_MM = 4.0


@dataclass(frozen=True)
class SynthConfig:
    """What may be drawn. Probabilities 0..1; ranges are uniform; amplitudes are of the field's s.d."""

    task: Task = "tissue"
    contrasts: dict[Contrast, float] = field(default_factory=lambda: {"T1w": 0.5, "T2w": 0.2, "any": 0.3})
    colin_probability: float = 0.65
    stripped_probability: float = 0.15
    lesion_probability: float = 0.85
    spots_probability: float = 0.3
    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.86, 1.14)
    elastic_mm: float = 3.0
    ventricle_mm: float = 14.0


@dataclass(frozen=True)
class Scan:
    """image: float32 [D, H, W], 0..1 as conform and min-max leave it; labels: uint8 [D, H, W]."""

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Grid:
    """Target grid: `shape` voxels of `voxel_size_mm` around `center_mm` (RAS, 0 = the head's centre)."""

    shape: tuple[int, int, int]
    voxel_size_mm: float
    center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Synthesizer:
    """Template anatomies and lesion masks in memory; `subject(seed)` draws, `Subject.render` images."""

    def __init__(self, anatomies: Sequence[Anatomy], config: SynthConfig, lesions: LesionMasks | None = None) -> None:
        if config.task == "lesion" and lesions is None:
            raise ValueError("task 'lesion' needs lesion masks; say where they are with data.lesions=FOLDER")
        self.config = config
        self.heads = [_Head(a) for a in anatomies]
        self.lesions = lesions

    def subject(self, seed: int) -> Subject:
        """Draw one subject; cheap (the work is in `render`)."""
        rng = np.random.default_rng(seed)
        c = self.config
        colin = len(self.heads) == 1 or rng.random() < c.colin_probability
        head = self.heads[0 if colin else 1]
        shape = _draw_shape(rng, c)
        plan: LesionPlan | None = None
        if self.lesions is not None and c.task == "lesion" and rng.random() < c.lesion_probability:
            plan = draw_lesion(rng, self.lesions)
        kinds = list(c.contrasts)
        weights = np.array([c.contrasts[k] for k in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        contrast = _draw_contrast(rng, kind)
        stripped = bool(rng.random() < c.stripped_probability)
        spots = float(rng.random()) if rng.random() < c.spots_probability else 0.0
        return Subject(c.task, head, shape, contrast, plan, _draw_acquisition(rng, kind), stripped, spots, seed)


class _Head:
    """An anatomy at 1, 2 and 4 mm as tensors; the brain's fluid as a channel of its own for labels.

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


FLUID, BRAIN, NEAR_VENTRICLE = 8, 9, 10


def _widen_sulci(channels: Tensor, amount: float) -> Tensor:
    """Atrophy: mixed voxels of fluid and grey turn to fluid, by `amount` times the fluid they hold."""
    extra = torch.minimum(channels[CSF] * amount, channels[GREY])
    channels[FLUID] += extra * channels[BRAIN]
    channels[CSF] += extra
    channels[GREY] -= extra
    return channels


def _gradient(volume: Tensor) -> Tensor:
    """Central differences over 4 voxels times 3, [3, x, y, z] on every second voxel; 0 at the border."""
    sides = torch.zeros(3, *volume.shape)
    for axis in range(3):
        inner = sides[axis].narrow(axis, 2, volume.shape[axis] - 4)
        inner += volume.narrow(axis, 4, inner.shape[axis]) - volume.narrow(axis, 0, inner.shape[axis])
    return (sides * 3.0)[:, ::2, ::2, ::2].contiguous()


def _halve(channels: Tensor) -> Tensor:
    halves = [functional.avg_pool3d(c[None, None].float(), 2, ceil_mode=True)[0, 0] for c in channels]
    return torch.stack(halves).round().to(torch.uint8)


@dataclass(frozen=True)
class _Shape:
    """Target mm (RAS around the head's centre) -> template mm: `affine` [3, 4], then displacements."""

    affine: NDArray[np.float32]
    elastic_mm: tuple[NDArray[np.float32], ...]
    ventricle_mm: float
    sulci: float


def _draw_shape(rng: np.random.Generator, c: SynthConfig) -> _Shape:
    angles = np.deg2rad(rng.uniform(-c.rotation_deg, c.rotation_deg, 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    overall = rng.uniform(*c.scale)
    scales = np.clip(overall * rng.uniform(0.93, 1.07, 3), *c.scale)
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    matrix = flip @ rotation @ shear @ np.diag(1 / scales)
    center = np.array([0.0, -18.0, 8.0])
    affine = np.concatenate([matrix, center[:, None]], axis=1).astype(np.float32)
    fields = tuple(
        (rng.standard_normal((3, n, n, n)) * c.elastic_mm * amplitude * rng.uniform(0.2, 1)).astype(np.float32)
        for n, amplitude in ((5, 1.0), (10, 0.55))
    )
    ventricle = c.ventricle_mm * float(rng.random() ** 2) * (1.0 if rng.random() < 0.8 else -0.2)
    return _Shape(affine, fields, ventricle, float(rng.uniform(0, 1.2)) if rng.random() < 0.5 else 0.0)


@dataclass(frozen=True)
class _ContrastDraw:
    """means: intensity of each anatomy channel, air 0, CSF/grey/white on a common 0..1 scale."""

    kind: Contrast
    means: NDArray[np.float32]
    texture: float
    seed: int


def _draw_contrast(rng: np.random.Generator, kind: Contrast) -> _ContrastDraw:
    """One intensity per channel. T1w and T2w keep the order of tissues, `any` keeps nothing but a
    least distance between grey and white."""
    m = np.zeros(8)
    if kind == "T1w":
        m[WHITE] = rng.uniform(0.62, 0.9)
        m[GREY] = m[WHITE] * rng.uniform(0.58, 0.88)
        m[CSF] = m[GREY] * rng.uniform(0.1, 0.62)
        m[[DARK, LOW, MIDDLE, FAT, EYE]] = (
            rng.uniform(0, 0.15),
            m[GREY] * rng.uniform(0.25, 0.8),
            m[WHITE] * rng.uniform(0.5, 1.05),
            rng.uniform(0.5, 1.6),
            m[CSF] * rng.uniform(0.8, 1.4),
        )
    elif kind == "T2w":
        m[CSF] = rng.uniform(0.7, 1.1)
        m[GREY] = m[CSF] * rng.uniform(0.28, 0.72)
        m[WHITE] = m[GREY] * rng.uniform(0.52, 0.88)
        m[[DARK, LOW, MIDDLE, FAT, EYE]] = (
            rng.uniform(0, 0.12),
            rng.uniform(0.05, 0.5),
            rng.uniform(0.1, 0.5),
            rng.uniform(0.1, 1.1),
            m[CSF] * rng.uniform(0.8, 1.3),
        )
    else:
        m[:] = rng.uniform(0.05, 1.0, 8)
        while abs(m[GREY] - m[WHITE]) < 0.1 or abs(m[CSF] - m[GREY]) < 0.1:
            m[[CSF, GREY, WHITE]] = rng.uniform(0.05, 1.0, 3)
        m[DARK] = rng.uniform(0, 0.3)
    return _ContrastDraw(kind, m.astype(np.float32), float(rng.uniform(0, 0.05)), int(rng.integers(2**62)))


@dataclass(frozen=True)
class _Acquisition:
    """How the scanner and the conform step see the head; lengths in mm."""

    slice_axis: int
    slice_thickness_mm: float
    blur_mm: float
    bias: NDArray[np.float32]
    noise: float
    gamma: float
    gain: float
    neck_cut_mm: float
    top_cut_mm: float
    tilt: NDArray[np.float32]
    seed: int


def _draw_acquisition(rng: np.random.Generator, kind: Contrast) -> _Acquisition:
    n = int(rng.integers(2, 5))
    thick = rng.random() < (0.35 if kind != "T1w" else 0.2)
    return _Acquisition(
        slice_axis=int(rng.integers(3)),
        slice_thickness_mm=float(rng.uniform(2, 5)) if thick else 0.0,
        blur_mm=float(rng.uniform(0, 0.75)),
        bias=(rng.standard_normal((n, n, n)) * rng.uniform(0, 0.28)).astype(np.float32),
        noise=float(rng.uniform(0, 1) ** 2 * 0.08),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3))) if rng.random() < 0.5 else 1.0,
        gain=float(np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.4 else 1.0,
        neck_cut_mm=float(rng.uniform(62, 118)),
        top_cut_mm=float(rng.uniform(70, 200)),
        tilt=rng.uniform(-0.35, 0.35, 2).astype(np.float32),
        seed=int(rng.integers(2**62)),
    )


@dataclass(frozen=True)
class Subject:
    """A drawn subject; `render` makes the scan on any grid, the same head each time."""

    task: Task
    head: _Head
    shape: _Shape
    contrast: _ContrastDraw
    lesion: LesionPlan | None
    acquisition: _Acquisition
    stripped: bool
    spots: float
    seed: int

    def render(self, grid: Grid) -> Scan:
        """Image and labels on `grid`. Scaled as conform does on the whole head, whatever the grid shows."""
        whole = Grid((37, 40, 43), 6.0)
        head_values, _ = self._scanner(whole)
        image, labels = self._scanner(grid)
        nonzero = head_values[head_values > 0.01 * head_values.max()]
        upper = float(torch.quantile(nonzero, 0.9993)) * self.acquisition.gain
        conformed = (image * (255.0 / max(upper, 1e-6))).clamp(0, 255).round() / 255.0
        return Scan(conformed.numpy().astype(np.float32), labels.numpy().astype(np.uint8))

    def _scanner(self, grid: Grid) -> tuple[Tensor, Tensor]:
        target_mm = _target_lattice(grid)
        template_mm = self._template_coordinates(target_mm)
        level = 1 if grid.voxel_size_mm < 1.6 else 2 if grid.voxel_size_mm < 4 else 4
        source = self.head.levels[level]
        coordinates = (template_mm - torch.tensor(GRID_ORIGIN_MM)[:, None, None, None] - (level - 1) / 2) / level
        box = _source_box(coordinates, source.shape[1:])
        channels = _widen_sulci(source[(slice(None), *box)].float() / 255.0, self.shape.sulci)
        origin_mm = [o + (level - 1) / 2 + b.start * level for o, b in zip(GRID_ORIGIN_MM, box, strict=True)]
        intensity = self._paint(channels)
        sampled = [intensity, channels[FLUID], channels[GREY], channels[WHITE]]
        if self.spots > 0:
            near = channels[NEAR_VENTRICLE]
            intensity = paint_white_matter_spots(
                intensity,
                channels,
                near,
                self.contrast.means,
                amount=self.spots,
                seed=self.contrast.seed,
                voxel_size_mm=float(level),
            )
        if self.lesion is not None:
            intensity, lesion = paint_lesion(
                intensity,
                channels,
                self.contrast.means,
                self.lesion,
                origin_mm=origin_mm,
                voxel_size_mm=float(level),
            )
            sampled = [intensity, lesion]
        elif self.task == "lesion":
            sampled = [intensity]
        local = coordinates - torch.tensor([float(b.start) for b in box])[:, None, None, None]
        maps = _sample(torch.stack(sampled), _full_coordinates(local, grid.shape))
        image = self._acquire(maps[0], grid)
        return image, self._labels(maps[1:], grid)

    def _template_coordinates(self, target_mm: Tensor) -> Tensor:
        """[3, ...] target mm on the lattice -> template mm."""
        matrix = torch.from_numpy(self.shape.affine)
        mm = torch.einsum("ab,bxyz->axyz", matrix[:, :3], target_mm) + matrix[:, 3, None, None, None]
        scaled = (mm - torch.tensor([0.0, -18.0, 0.0])[:, None, None, None]) / 120.0
        displaced = mm
        for control in self.shape.elastic_mm:
            displaced = displaced + _sample_unit(torch.from_numpy(control), scaled)
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
        return _sample(self.head.toward_ventricles, (mm - torch.tensor(GRID_ORIGIN_MM)[:, None, None, None]) / 2)

    def _paint(self, channels: Tensor) -> Tensor:
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
            intensity = intensity * (1 + _resize(noise, intensity.shape))
        return intensity

    def _acquire(self, image: Tensor, grid: Grid) -> Tensor:
        a = self.acquisition
        v = grid.voxel_size_mm
        if a.blur_mm > 0.3 * v:
            for axis in range(3):
                image = _gaussian(image, axis, a.blur_mm / v)
        if a.slice_thickness_mm > 1.5 * v:
            image = _gaussian(image, a.slice_axis, 0.36 * a.slice_thickness_mm / v)
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
        i, j, k = _axes_mm(grid)
        height = j[None, :, None] + a.tilt[0] * k[None, None, :] + 0.3 * a.tilt[1] * i[:, None, None]
        return torch.as_tensor((height > -a.neck_cut_mm) & (height < a.top_cut_mm)).float()

    def _labels(self, maps: Tensor, grid: Grid) -> Tensor:
        seen = self._field_of_view(grid)
        if self.task == "lesion":
            return ((maps[0] > 0.5) * seen if len(maps) else torch.zeros(grid.shape)).to(torch.uint8)
        background = 1 - maps.sum(dim=0, keepdim=True)
        return (torch.cat([background, maps]).argmax(dim=0) * seen).to(torch.uint8)


def _axes_mm(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """RAS mm along each axis of the LIA grid: i is -x, j is -z, k is y; returned as (x, z, y)."""
    x, y, z = grid.center_mm
    steps = [(torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * grid.voxel_size_mm for n in grid.shape]
    return x - steps[0], z - steps[1], y + steps[2]


def _target_lattice(grid: Grid) -> Tensor:
    """RAS mm [3, i, j, k] of a coarse lattice whose ends are the grid's first and last voxels."""
    axes = []
    for axis in _axes_mm(grid):
        n = max(2, int(np.ceil(len(axis) * grid.voxel_size_mm / _LATTICE_MM)) + 1)
        axes.append(torch.linspace(float(axis[0]), float(axis[-1]), n))
    x, z, y = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z])


def _full_coordinates(lattice: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return functional.interpolate(lattice[None], size=shape, mode="trilinear", align_corners=True)[0]


def _resize(volume: Tensor, shape: Sequence[int]) -> Tensor:
    return functional.interpolate(volume, size=list(shape), mode="trilinear", align_corners=True)[0, 0]


def _source_box(coordinates: Tensor, shape: Sequence[int]) -> tuple[slice, ...]:
    """Part of the source array that the coordinates [3, ...] touch, at least two voxels wide."""
    box = []
    for axis, size in zip(coordinates, shape, strict=True):
        low = min(max(0, int(torch.floor(axis.min())) - 2), size - 2)
        high = max(min(size, int(torch.ceil(axis.max())) + 3), low + 2)
        box.append(slice(low, high))
    return tuple(box)


def _sample(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Linear interpolation of [C, x, y, z] at voxel coordinates [3, ...]; zero outside."""
    size = torch.tensor([float(s) for s in volume.shape[1:]])
    unit = (coordinates / (size - 1)[:, None, None, None]) * 2 - 1
    return _sample_unit(volume, unit, "zeros")


def _sample_unit(volume: Tensor, unit: Tensor, padding: str = "border") -> Tensor:
    """As `_sample`, coordinates -1..1 between the centres of the first and last voxels."""
    grid = unit.flip(0).permute(1, 2, 3, 0)[None]
    sampled = functional.grid_sample(volume[None], grid, mode="bilinear", padding_mode=padding, align_corners=True)
    return torch.as_tensor(sampled[0])


def _bias(control: NDArray[np.float32], grid: Grid) -> Tensor:
    """Log bias field on the grid from control points over a 240 mm cube around the head's centre."""
    axes = [a / 120.0 for a in _axes_mm(grid)]
    coarse = [a[:: max(1, round(8 / grid.voxel_size_mm))] for a in axes]
    coarse = [torch.linspace(float(a[0]), float(a[-1]), len(c) + 1) for a, c in zip(axes, coarse, strict=True)]
    unit = torch.stack(torch.meshgrid(*coarse, indexing="ij"))
    return _resize(_sample_unit(torch.from_numpy(control)[None], unit)[None], grid.shape)


def _gaussian(image: Tensor, axis: int, sigma_voxels: float) -> Tensor:
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


def training_patch(synthesizer: Synthesizer, seed: int, size: tuple[int, int, int], voxel_size_mm: float) -> Scan:
    """Subject `seed` on a grid of `size` voxels, placed at random over the head (and over the lesion
    in half of the lesion subjects)."""
    subject = synthesizer.subject(seed)
    rng = np.random.default_rng((seed, 1))
    extent = np.array([160.0, 190.0, 170.0])  # x, y, z of a head
    patch = np.array([size[0], size[2], size[1]]) * voxel_size_mm
    slack = np.maximum(extent - patch, 0) / 2 + 8
    center = rng.uniform(-slack, slack) + np.array([0.0, 0.0, -8.0])
    if subject.lesion is not None and rng.random() < 0.5:
        center = subject.lesion_center_mm() + rng.uniform(-0.3, 0.3, 3) * patch
        center = np.clip(center, -slack - 15, slack + 15)
    return subject.render(Grid(size, voxel_size_mm, (float(center[0]), float(center[1]), float(center[2]))))
