"""Frozen test subjects: heads of the `test` split with masks that training never draws, by fixed seeds.

`meshnet/conf/synth-heads.json` lists the seeds under `frozen`, `meshnet/conf/t2-lesion-held-out.json` the masks. A
subject is its seed's draws, so a change of `RANGES`, `LOOKS` or the order of draws makes other subjects; a test holds
the first one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import cast

import numpy as np

from meshnet.synth.contrast import HeadContrast
from meshnet.synth.lesion_masks import LesionMasks
from meshnet.synth.synth_heads import HeadGenerator
from meshnet.synth.torch_render import DrawnHead


@dataclass(frozen=True)
class FrozenSeeds:
    """Seeds of the lesion subjects start at lesion_first_seed, one per held-out mask; those of the lesion-free subjects
    at lesion_free_first_seed, `lesion_free` in all."""

    lesion_first_seed: int
    lesion_free_first_seed: int
    lesion_free: int


def read_frozen_seeds(path: Path | None = None) -> FrozenSeeds:
    """`path` None reads the project's own list."""
    source = path if path is not None else resources.files("meshnet.conf") / "synth-heads.json"
    return FrozenSeeds(**json.loads(source.read_text(encoding="utf-8"))["frozen"])


def frozen_subjects(
    generator: HeadGenerator, masks: LesionMasks, mask_names: Sequence[str], contrast: str, seeds: FrozenSeeds
) -> Iterator[tuple[str, DrawnHead]]:
    """`(name, subject)` in one contrast: one with each mask of `mask_names`, then those without a lesion.

    generator: with the heads of the test split. Its config is the training's own but for contrast and probability of a
    lesion, and is left as it was. Raises KeyError for a mask that `masks` lacks.
    """
    before = generator.config, generator.lesions
    of_name = {mask.name: mask for mask in masks.masks}
    kind = cast(HeadContrast, contrast)
    try:
        generator.config = replace(before[0], contrasts={kind: 1.0}, lesion_probability=1.0)
        for index, name in enumerate(mask_names):
            generator.lesions = LesionMasks((of_name[name],), np.ones(1))
            seed = seeds.lesion_first_seed + index
            yield f"lesion-{contrast}-{seed}", generator.subject(seed)
        generator.config = replace(generator.config, lesion_probability=0.0)
        for seed in range(seeds.lesion_free_first_seed, seeds.lesion_free_first_seed + seeds.lesion_free):
            yield f"healthy-{contrast}-{seed}", generator.subject(seed)
    finally:
        generator.config, generator.lesions = before
