"""Synthetic MRI of a head with known tissue and lesion labels, rendered on the fly from templates.

A subject is drawn from a seed in this order: a shape (affine, elastic, wider ventricles), a lesion
(`meshnet.synth.lesion`), a contrast (one random intensity per tissue and smooth texture), and a scan (slice
thickness, bias field, noise, field of view, conform's scaling): `meshnet.synth.draw`. `meshnet.synth.render` makes
its image. The same seed gives the same subject; the patch that is cut from it is drawn from the seed too.

The target grid is the conformed one (LIA); arrays are `[i, j, k]`, C order, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from meshnet.synth.anatomy import Anatomy
from meshnet.synth.draw import SynthConfig, draw_acquisition, draw_contrast, draw_shape
from meshnet.synth.grid import Grid
from meshnet.synth.lesion import LesionPlan, draw_lesion
from meshnet.synth.lesion_masks import LesionMasks
from meshnet.synth.render import Head, Subject, SyntheticScan


class Synthesizer:
    """Template anatomies and lesion masks in memory; `subject(seed)` draws, `Subject.render` images. `config` and
    `lesions` may be set anew between draws; preparing the anatomies is what takes time."""

    def __init__(self, anatomies: Sequence[Anatomy], config: SynthConfig, lesions: LesionMasks | None = None) -> None:
        if config.task == "lesion" and lesions is None:
            raise ValueError("task 'lesion' needs lesion masks; say where they are with data.lesions=FOLDER")
        self.config = config
        self.heads = [Head(a) for a in anatomies]
        self.lesions = lesions

    def subject(self, seed: int) -> Subject:
        """Draw one subject; cheap (the work is in `render`)."""
        rng = np.random.default_rng(seed)
        c = self.config
        colin = len(self.heads) == 1 or rng.random() < c.colin_probability
        head = self.heads[0 if colin else 1]
        shape = draw_shape(rng, c)
        plan: LesionPlan | None = None
        if self.lesions is not None and c.task == "lesion" and rng.random() < c.lesion_probability:
            plan = draw_lesion(rng, self.lesions)
        kinds = list(c.contrasts)
        weights = np.array([c.contrasts[k] for k in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        contrast = draw_contrast(rng, kind, c.eye_of_fluid)
        if c.outside_texture > 0:  # a separate generator keeps the other draws, and so the frozen subjects
            amount = float(np.random.default_rng((seed, 3)).uniform(0, c.outside_texture))
            contrast = replace(contrast, outside_texture=amount)
        stripped = bool(rng.random() < c.stripped_probability)
        spots = float(rng.random()) if rng.random() < c.spots_probability else 0.0
        return Subject(c.task, head, shape, contrast, plan, draw_acquisition(rng, kind), stripped, spots, seed)


def training_patch(
    synthesizer: Synthesizer, seed: int, size: tuple[int, int, int], voxel_size_mm: float, margin_mm: float
) -> SyntheticScan:
    """Subject `seed` on a grid of `size` voxels, placed at random over the head (and over the lesion in half of the
    lesion subjects). Its far side may lie up to `margin_mm` beyond the head: air, or neck."""
    subject = synthesizer.subject(seed)
    rng = np.random.default_rng((seed, 1))
    extent = np.array([160.0, 190.0, 170.0])  # x, y, z of a head
    patch = np.array([size[0], size[2], size[1]]) * voxel_size_mm
    slack = np.maximum(extent - patch, 0) / 2 + margin_mm
    center = rng.uniform(-slack, slack) + np.array([0.0, 0.0, -8.0])
    if subject.lesion is not None and rng.random() < 0.5:
        center = subject.lesion_center_mm() + rng.uniform(-0.3, 0.3, 3) * patch
        center = np.clip(center, -slack - 15, slack + 15)
    return subject.render(Grid(size, voxel_size_mm, (float(center[0]), float(center[1]), float(center[2]))))
