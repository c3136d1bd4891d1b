"""Sources of training items: cases of a prepared folder, or heads rendered during training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.cohort.prepare import Row, read_grid, read_index
from meshnet.cohort.splits import OUTER_FOLDS
from meshnet.model.spec import MinMax
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import reorient
from meshnet.synth.anatomy import cached_anatomies
from meshnet.synth.draw import Contrast, SynthConfig, Task
from meshnet.synth.subject import Synthesizer, training_patch
from meshnet.train.config import ConfigError, DataConfig, Stage, TrainConfig
from meshnet.train.items import NOT_LESION, Item, Source
from meshnet.train.stages import VALIDATION_SEED, drawn_patch, seed_of_step, stage_at
from meshnet.train.synth_heads_source import SynthHeadsSource, lesion_masks


class SynthSource:
    """Rendered subjects. The seed of a subject follows from the seed of the run and the step's number; the stage of
    the step sets patch and voxel size. stop_after: items after which the run stops, for the description (0: all)."""

    size = 256
    voxel_size_mm = 1.0
    cases: Sequence[str] = ()

    def __init__(self, config: DataConfig, seed: int, *, stop_after: int = 0) -> None:
        if not config.stages:
            raise ConfigError("data.stages: synthetic training needs at least one stage {steps, size, voxel_size_mm}")
        cache = Path(config.cache)
        lesions = lesion_masks(config) if config.task == "lesion" else None
        synth = SynthConfig(
            task=_task(config.task),
            contrasts=_contrasts(config),
            lesion_probability=config.lesion_probability,
            sulci_probability=config.sulci_probability,
            sulci=config.sulci,
            outside_texture=config.outside_texture,
            eye_of_fluid=(config.eye_of_fluid[0], config.eye_of_fluid[1]),
        )
        self._synthesizer = Synthesizer(cached_anatomies(cache, Path(config.templates)), synth, lesions)
        self._stages = config.stages
        self._margin_mm = config.margin_mm
        self._seed = seed
        self._validation_subjects = config.validation_subjects
        self.steps = sum(stage.steps for stage in config.stages)
        self.steps_per_epoch = self.steps
        self.description = (
            f"{min(self.steps, stop_after or self.steps)} synthetic {config.task} patches from ICBM152 and Colin27"
            + (f" and {len(lesions.masks)} real lesion masks" if lesions else "")
        )

    def item(self, step: int) -> Item:
        return self._render(seed_of_step(self._seed, step), stage_at(self._stages, step))

    def validation_count(self) -> int:
        return self._validation_subjects

    def validation_item(self, index: int) -> Item:
        return self._render(VALIDATION_SEED + index, self._stages[-1])

    def _render(self, seed: int, stage: Stage) -> Item:
        size, voxel_size_mm = drawn_patch(stage, seed)
        scan = training_patch(self._synthesizer, seed, size, voxel_size_mm, self._margin_mm)
        return Item(scan.image, scan.labels, f"synthetic-{seed}")


class PreparedSource:
    """The training cases of one outer fold of a folder of meshnet-prepare, in another random order each epoch.

    With `data.inner_fold`, the cases of that inner fold are for validation. Without it, all training cases are trained
    on and there is no validation, as for the final models. The outer test fold is read by meshnet-evaluate only.
    """

    def __init__(self, config: TrainConfig) -> None:
        if not config.data.folder:
            raise ConfigError("data.folder: not set; pass a folder written by meshnet-prepare, as data=FOLDER")
        folder = Path(config.data.folder)
        rows = [r for r in read_index(folder) if r.outer_fold != config.fold]
        inner = config.data.inner_fold
        inner_of = [(r.inner_fold_0, r.inner_fold_1, r.inner_fold_2)[config.fold] for r in rows]
        self._train = [r for r, i in zip(rows, inner_of, strict=True) if inner is None or i != inner]
        self._validation = [r for r, i in zip(rows, inner_of, strict=True) if inner is not None and i == inner]
        if not self._train:
            raise ConfigError(f"{folder}: no training cases for fold={config.fold} data.inner_fold={inner}")
        self.cases: Sequence[str] = sorted(r.name for r in rows)
        self.size, self.voxel_size_mm = read_grid(folder)
        self._folder = folder
        self._seed = config.seed + 1000 * config.restart
        self._orientation = config.data.orientation
        self._classes = len(config.data.labels)
        self.steps_per_epoch = len(self._train)
        self.steps = config.trainer.epochs * self.steps_per_epoch
        self.description = f"{len(self._train)} prepared cases of {folder.name}, all but outer fold {config.fold}"

    def item(self, step: int) -> Item:
        epoch, position = divmod(step, len(self._train))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._train))
        return self._load(self._train[order[position]])

    def validation_count(self) -> int:
        return len(self._validation)

    def validation_item(self, index: int) -> Item:
        return self._load(self._validation[index])

    def _load(self, row: Row) -> Item:
        item = load_case(self._folder, row, self._orientation)
        if self._classes == 2:
            return item
        return replace(item, labels=_lesion_only(item.labels, self._classes - 1), lesion_only=True)


class MixedSource:
    """Cases of a prepared folder, and rendered heads in between: the share `data.synthetic_share` of the steps.

    All cases are seen `trainer.epochs` times, as without rendered heads. Validation is on the folder's cases.
    """

    def __init__(self, prepared: PreparedSource, heads: SynthHeadsSource, share: float) -> None:
        self._prepared, self._heads, self._share = prepared, heads, share
        self.size, self.voxel_size_mm, self.cases = prepared.size, prepared.voxel_size_mm, prepared.cases
        self.steps_per_epoch = round(prepared.steps_per_epoch / (1 - share))
        self.steps = round(prepared.steps / (1 - share))
        self.description = f"{prepared.description}; {share:.0%} of the steps: {heads.description}"

    def item(self, step: int) -> Item:
        before = int(step * self._share)
        if int((step + 1) * self._share) > before:
            return self._heads.item(before)
        return self._prepared.item(step - before)

    def validation_count(self) -> int:
        return self._prepared.validation_count()

    def validation_item(self, index: int) -> Item:
        return self._prepared.validation_item(index)


def _mixed(config: TrainConfig) -> MixedSource:
    """Rendered heads have the prepared grid's size and voxels."""
    prepared, share = PreparedSource(config), config.data.synthetic_share
    data = config.data
    if not data.anatomies:
        raise ConfigError(
            f"data.synthetic_share={share:g}: the rendered heads need label maps; pass data.anatomies=FOLDER and "
            f"data.lesions=[FOLDER,...], or data.synthetic_share=0 to train on the cases of {data.folder} alone"
        )
    stage = Stage(
        steps=round(prepared.steps * share / (1 - share)),
        size=[prepared.size] * 3,
        voxel_size_mm=[prepared.voxel_size_mm] * 2,
    )
    data = replace(data, stages=[stage])
    return MixedSource(prepared, SynthHeadsSource(data, config.seed + 1000 * config.restart), share)


def _lesion_only(labels: NDArray[np.uint8], lesion: int) -> NDArray[np.uint8]:
    """Labels of a network that also learns tissue, from a mask of the lesion: `lesion` inside, else `NOT_LESION`."""
    return np.where(labels > 0, lesion, NOT_LESION).astype(np.uint8)


def load_case(folder: Path, row: Row, orientation: str) -> Item:
    """One prepared case with its axes in `orientation` and intensities scaled to [0, 1] by minimum and maximum."""
    image, labels = (
        np.asarray(cast(nib.Nifti1Image, nib.load(folder / name)).dataobj) for name in (row.image, row.labels)
    )
    normalized = normalize(reorient(image, end=orientation), MinMax())
    return Item(normalized, reorient(labels.astype(np.uint8), end=orientation), row.name)


def _task(name: str) -> Task:
    if name not in get_args(Task):
        raise ConfigError(f"data.task: expected tissue or lesion, got {name!r}")
    return cast(Task, name)


def _contrasts(config: DataConfig) -> dict[Contrast, float]:
    if not config.contrasts or set(config.contrasts) - set(get_args(Contrast)):
        known = ", ".join(get_args(Contrast))
        raise ConfigError(f"data.contrasts: expected weights for {known}, got {dict(config.contrasts)}")
    return {cast(Contrast, kind): weight for kind, weight in config.contrasts.items()}


def open_source(config: TrainConfig) -> Source:
    """The data source that the settings name. Raises ConfigError, or FileNotFoundError for missing files."""
    stop_after = config.trainer.stop_at_step * config.trainer.batch_size
    if config.data.source == "synth":
        seed = config.seed + 1000 * config.restart
        return SynthSource(config.data, seed, stop_after=stop_after)
    if config.data.source == "synth_heads":
        seed = config.seed + 1000 * config.restart
        return SynthHeadsSource(config.data, seed, stop_after=stop_after)
    if not 0 <= config.fold < OUTER_FOLDS:
        raise ConfigError(f"fold: expected 0..{OUTER_FOLDS - 1}, got {config.fold}")
    return _mixed(config) if config.data.synthetic_share else PreparedSource(config)
