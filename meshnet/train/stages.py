"""Patches of the sources that render heads: their stage, voxel size and seeds follow from the step's number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshnet.train.settings import Stage

#: First seed of the validation subjects, far from the seeds of training steps.
VALIDATION_SEED = 10**9


def seed_of_step(run_seed: int, step: int) -> int:
    """Seed of the subject of one step."""
    return run_seed * 10_000_019 + step


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    """The stage that `step` lies in; the last one for every step after the end."""
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def drawn_patch(stage: Stage, seed: int) -> tuple[tuple[int, int, int], float]:
    """Voxels along each axis, and voxel size in mm, drawn from the subject's seed."""
    low, high = stage.voxel_size_mm
    voxel_size_mm = float(np.random.default_rng((seed, 2)).uniform(low, high))
    return (stage.size[0], stage.size[1], stage.size[2]), voxel_size_mm
