"""Training items rendered from label-map heads: `meshnet-train data=synth_heads data.anatomies=FOLDER`.

Training subjects have the heads of the `train` split, validation subjects those of the `choose` split (of the training
split where a folder has no other).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from meshnet.synth.contrast import HeadContrast
from meshnet.synth.label_maps import HeadLabels, LabelMapError, has_split, load_heads
from meshnet.synth.label_table import TARGET_LABELS, Target
from meshnet.synth.lesion_masks import LesionMasks, load_lesion_masks, mask_names
from meshnet.synth.shapes import ScanRanges, ShapeRanges
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.train.config import ConfigError, DataConfig, Stage
from meshnet.train.held_out_masks import held_out_masks
from meshnet.train.items import Item
from meshnet.train.stages import VALIDATION_SEED, drawn_patch, seed_of_step, stage_at


@dataclass
class _Pools:
    """A generator per split."""

    train: HeadGenerator
    choose: HeadGenerator
    names: list[str] = field(default_factory=list)


class SynthHeadsSource:
    """Rendered subjects of label-map heads. The seed of a subject follows from the seed of the run and the step.

    stop_after: items after which the run stops, for the description (0: all).
    """

    size = 256
    voxel_size_mm = 1.0
    cases: Sequence[str] = ()

    def __init__(self, config: DataConfig, seed: int, *, stop_after: int = 0) -> None:
        if not config.stages:
            raise ConfigError("data.stages: synthetic training needs at least one stage {steps, size, voxel_size_mm}")
        if not config.anatomies:
            raise ConfigError("data.anatomies: not set; pass the folder of label maps, as data.anatomies=FOLDER")
        target = _target(config)
        masks = lesion_masks(config) if "lesion" in TARGET_LABELS[target] else None
        if masks is None and config.lesion_probability > 0 and config.lesions:
            masks = lesion_masks(config)  # tissue networks meet lesions too, as part of the tissue they lie in
        self._pools = _load_pools(config, head_config(config, target), masks)
        self._config = config
        self._seed = seed
        self.steps = sum(stage.steps for stage in config.stages)
        self.steps_per_epoch = self.steps
        count = f" and {len(masks.masks)} real lesion masks" if masks else ""
        heads = min(self.steps, stop_after or self.steps)
        self.description = (
            f"{heads} synthetic {target} heads from {len(self._pools.names)} label maps "
            f"({', '.join(self._pools.names)}){count}"
        )

    def item(self, step: int) -> Item:
        return self._render(self._pools.train, seed_of_step(self._seed, step), stage_at(self._config.stages, step))

    def validation_count(self) -> int:
        return self._config.validation_subjects

    def validation_item(self, index: int) -> Item:
        return self._render(self._pools.choose, VALIDATION_SEED + index, self._config.stages[-1])

    def _render(self, generator: HeadGenerator, seed: int, stage: Stage) -> Item:
        size, voxel_size_mm = drawn_patch(stage, seed)
        scan = generator.patch(seed, size, voxel_size_mm, self._config.margin_mm)
        return Item(scan.image.cpu().numpy(), scan.labels.cpu().numpy(), f"synthetic-{seed}")


def head_config(config: DataConfig, target: Target) -> HeadConfig:
    """Ranges and probabilities of the draws, from the settings. Raises ConfigError."""
    known = get_args(HeadContrast)
    if not config.contrasts or set(config.contrasts) - set(known):
        raise ConfigError(f"data.contrasts: expected weights for {', '.join(known)}, got {dict(config.contrasts)}")
    return HeadConfig(
        target=target,
        contrasts={cast(HeadContrast, kind): weight for kind, weight in config.contrasts.items()},
        lesion_probability=config.lesion_probability,
        outside_texture=config.outside_texture,
        shape=ShapeRanges(rotation_deg=config.rotation_deg),
        scan=ScanRanges(stripped_probability=config.stripped_probability),
    )


def lesion_masks(config: DataConfig) -> LesionMasks:
    """The masks of every entry of `data.lesions` without those of `data.held_out`. Raises ConfigError."""
    folders = [config.lesions] if isinstance(config.lesions, str) else list(config.lesions)
    if not any(folders):
        raise ConfigError(
            "data.lesions: not set; pass folders of lesion masks (*.nii.gz in MNI space), as data.lesions=[A,B]"
        )
    held_out = held_out_masks(config.held_out)
    pools = []
    for folder in map(Path, folders):
        names = set(mask_names(folder)) if held_out else set()
        skip = [name for name in held_out if name in names]
        pools.append(load_lesion_masks(folder, Path(config.cache), skip=skip, size_power=config.lesion_size_power))
    masks = tuple(mask for pool in pools for mask in pool.masks)
    weights = np.array([mask.voxels for mask in masks], float) ** config.lesion_size_power
    return LesionMasks(masks, weights / weights.sum())


def _load_pools(config: DataConfig, drawn: HeadConfig, masks: LesionMasks | None) -> _Pools:
    folder, cache = Path(config.anatomies), Path(config.cache)
    try:
        heads = load_heads(folder, cache, ("train",))
        chosen = _choosing_heads(folder, cache) or heads
    except LabelMapError as error:
        raise ConfigError(f"data.anatomies: {error}") from error
    train = HeadGenerator(heads, drawn, masks, config.device)
    choose = train if chosen is heads else HeadGenerator(chosen, drawn, masks, config.device)
    return _Pools(train, choose, [head.name for head in heads])


def _choosing_heads(folder: Path, cache: Path) -> list[HeadLabels]:
    return load_heads(folder, cache, ("choose",)) if has_split(folder, "choose") else []


def _target(config: DataConfig) -> Target:
    if config.task not in TARGET_LABELS:
        raise ConfigError(f"data.task: expected {', '.join(TARGET_LABELS)}, got {config.task!r}")
    target: Target = config.task
    labels: list[Any] = list(config.labels)
    if len(labels) != len(TARGET_LABELS[target]):
        raise ConfigError(
            f"data.labels: task {target} has {len(TARGET_LABELS[target])} labels "
            f"({', '.join(TARGET_LABELS[target])}), got {len(labels)}: {labels}"
        )
    return target
