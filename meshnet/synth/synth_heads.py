"""Synthetic head scans from label maps: draw a subject from a seed, render it (`meshnet.synth.torch_render`).

    generator = HeadGenerator(load_heads(folder, cache), HeadConfig(), masks, device=torch.device("cuda"))
    scan = render(generator.subject(7), Grid((80, 88, 96), 2.0))

A subject is drawn in a fixed order from NumPy's generator of its seed: head, shape, contrast, lesion, white-matter
spots, scan. The same seed gives the same subject on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from meshnet.synth.contrast import HeadContrast, draw_contrast
from meshnet.synth.grid import Grid
from meshnet.synth.head_volumes import HeadVolumes
from meshnet.synth.label_maps import HeadLabels
from meshnet.synth.label_table import Target
from meshnet.synth.lesion_looks import center_head_mm, draw_lesion
from meshnet.synth.lesion_masks import LesionMasks
from meshnet.synth.shapes import ScanRanges, ShapeRanges, draw_acquisition, draw_shape
from meshnet.synth.torch_render import DrawnHead, HeadScan, render

#: Extent of a head along x, y, z in mm, which patches are placed over.
_HEAD_MM = np.array([160.0, 190.0, 170.0])


@dataclass(frozen=True)
class HeadConfig:
    """Ranges and probabilities (0..1) of the draws. contrasts: weights. outside_texture: largest s.d. of the logarithm
    of smooth variation outside the brain."""

    target: Target = "tissue-lesion"
    contrasts: dict[HeadContrast, float] = field(default_factory=lambda: {"T2w": 0.7, "T2w-edge": 0.3})
    lesion_probability: float = 0.65
    old_probability: float = 0.65
    spots_probability: float = 0.35
    outside_texture: float = 0.9
    shape: ShapeRanges = field(default_factory=ShapeRanges)
    scan: ScanRanges = field(default_factory=ScanRanges)


class HeadGenerator:
    """Heads on one device, and lesion masks. `config` and `lesions` may be set anew between draws."""

    def __init__(
        self,
        heads: Sequence[HeadLabels],
        config: HeadConfig,
        lesions: LesionMasks | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self.lesions = lesions
        self.heads = [HeadVolumes(head, torch.device(device)) for head in heads]

    def subject(self, seed: int) -> DrawnHead:
        """Draw one subject; cheap."""
        rng = np.random.default_rng(seed)
        c = self.config
        head = self.heads[int(rng.integers(len(self.heads)))]
        shape = draw_shape(rng, c.shape)
        kinds = list(c.contrasts)
        weights = np.array([c.contrasts[k] for k in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        contrast = draw_contrast(rng, kind, c.outside_texture)
        lesion = None
        if rng.random() < c.lesion_probability and self.lesions is not None:
            lesion = draw_lesion(rng, self.lesions, contrast, c.old_probability)
        spots = float(rng.uniform(0.1, 1)) if rng.random() < c.spots_probability else 0.0
        return DrawnHead(head, c.target, shape, contrast, lesion, spots, draw_acquisition(rng, c.scan), seed)

    def patch(self, seed: int, size: tuple[int, int, int], voxel_size_mm: float, margin_mm: float) -> HeadScan:
        """Subject `seed` on a grid of `size` voxels, placed at random over the head (and over the lesion in half of the
        lesion subjects). Its far side may lie up to `margin_mm` beyond the head."""
        subject = self.subject(seed)
        return render(subject, patch_grid(subject, size, voxel_size_mm, margin_mm))


def patch_grid(subject: DrawnHead, size: tuple[int, int, int], voxel_size_mm: float, margin_mm: float) -> Grid:
    """Where the patch of a subject lies; drawn from the subject's seed."""
    rng = np.random.default_rng((subject.seed, 1))
    extent = np.array([size[0], size[2], size[1]]) * voxel_size_mm
    slack = np.maximum(_HEAD_MM - extent, 0) / 2 + margin_mm
    center = rng.uniform(-slack, slack) + np.array([0.0, 0.0, -8.0])
    if subject.lesion is not None and rng.random() < 0.5:
        lesion_mm = np.linalg.solve(subject.shape.matrix, center_head_mm(subject.head, subject.lesion))
        center = np.clip(lesion_mm + rng.uniform(-0.3, 0.3, 3) * extent, -slack - 15, slack + 15)
    return Grid(size, voxel_size_mm, (float(center[0]), float(center[1]), float(center[2])))
