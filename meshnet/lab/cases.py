"""The cases that `meshnet.lab.evaluate_models` scores models on: held-out synthetic subjects and real scans.

A case is a scan on the conformed grid (LIA, 1 mm) with its reference labels. `Case.load` reads or renders it on demand,
because rendering a whole head takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.lab.held_out import HeldOut, held_out_subjects
from meshnet.lab.real_heads import (
    brain_mask,
    conformed_image,
    lesion_free_heads,
    model_labels,
    near_brain,
    stroke_heads,
)
from meshnet.lab.structures import DEEP_NAMES, structure_names, structure_subjects
from meshnet.model.spec import read_spec
from meshnet.scan.nifti import read_scan
from meshnet.synth.anatomy import CSF, EYE, GREY, MRICRON_TEMPLATES, WHITE, Anatomy
from meshnet.synth.contrast import HeadContrast
from meshnet.synth.draw import SynthConfig
from meshnet.synth.frozen_subjects import frozen_subjects, read_frozen_seeds
from meshnet.synth.grid import Grid
from meshnet.synth.label_maps import load_heads
from meshnet.synth.lesion_masks import load_lesion_masks
from meshnet.synth.render import Subject
from meshnet.synth.subject import Synthesizer
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.synth.torch_render import DrawnHead, render

Group = Literal[
    "label-map heads, lesion",
    "label-map heads, lesion-free",
    "real heads without a stroke",
    "synthetic lesion",
    "synthetic lesion-free",
    "Colin27, unseen contrast",
    "M2265",
    "real heads, brain",
    "t1_crop",
    "Colin27",
    "label-map heads, structures",
    "t1_crop, structures",
]
Kind = Literal["lesion", "tissue", "brain", "structures"]

#: [i, j, k] of the LIA grid, 1 mm: a whole head. More air around it changes no result.
HEAD = Grid((176, 184, 208), 1.0, (0.0, 0.0, -2.0))
_UNSEEN_FIRST_SEED, _UNSEEN_COUNT = 2_000_005_000, 12


class Tissue(IntEnum):
    """Values of `Volumes.labels` of a tissue case: those of `meshnet.synth` and of the model `tissue`, and `BRAIN`."""

    OUTSIDE = 0
    CSF = 1
    GREY = 2
    WHITE = 3
    BRAIN = 4  #: brain in a reference that does not separate the tissues


#: The reference of t1_crop, from brainchop's 11-channel model: 0 background, 1 white matter, 2 grey matter.
_FROM_BRAINCHOP = np.array([Tissue.OUTSIDE, Tissue.WHITE, Tissue.GREY], np.uint8)


@dataclass(frozen=True)
class Volumes:
    """image: uint8 [i, j, k] as conform returns it. labels: uint8 [i, j, k], the reference; lesion cases: 1 in the
    lesion, else 0; tissue and brain cases: `Tissue`; structures: position in `names`. near_brain: bool [i, j, k], None
    where no case asks for it. names: of the structures (`meshnet.lab.structures.canonical`)."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    near_brain: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One scan with its reference. name: unique. kind: the kind of model that is scored on it. contrast: only models
    made for it are scored; empty for all."""

    group: Group
    name: str
    kind: Kind
    load: Callable[[], Volumes]
    contrast: str = ""


def all_cases(
    held_out: HeldOut,
    anatomies: Sequence[Anatomy],
    data: Path,
    cache: Path,
    *,
    brain_model: Path,
    structures_model: Path,
    templates: Path = MRICRON_TEMPLATES,
) -> Iterator[Case]:
    """Real scans first, then the synthetic ones. Cases whose files are missing from `data` are left out.

    brain_model, structures_model: model folders whose labels are the brain and the structures of the real heads, which
    have no other reference. The cases that need one are left out where it is missing.
    """
    yield from real_lesion_cases(data)
    if (brain_model / "model.json").is_file():
        yield from lesion_free_cases(data, brain_model, cache)
        yield from brain_cases(data, brain_model, cache)
    yield from tissue_cases(data, templates)
    yield from structure_cases(data, structures_model, cache)
    lesions = data / "lesions" / "soop"
    if lesions.is_dir():
        if (data / "anatomy" / "synthseg").is_dir():
            yield from label_map_cases(held_out, data, cache)
        for name, subject in held_out_subjects(held_out, anatomies, lesions, cache):
            group: Group = "synthetic lesion" if subject.lesion is not None else "synthetic lesion-free"
            yield Case(group, name, "lesion", lambda s=subject: rendered(s, HEAD))  # type: ignore[misc]
    for subject in unseen_contrasts(anatomies[0]):
        yield Case("Colin27, unseen contrast", f"colin-{subject.seed}", "lesion", lambda s=subject: rendered(s, HEAD))  # type: ignore[misc]


def real_lesion_cases(data: Path) -> Iterator[Case]:
    """Scan M2265, and the same scan on an oblique grid, with the lesion of the published model as reference."""
    for scan, expected in (
        ("M2265_T2w", "M2265_T2w__brainchop_t2_lesion"),
        ("M2265_T2w_regridded", "M2265_T2w_regridded__brainchop_t2_lesion_conformed"),
    ):
        paths = data / "scans" / f"{scan}.nii.gz", data / "expected" / f"{expected}.nii.gz"
        if all(path.is_file() for path in paths):
            yield Case("M2265", scan, "lesion", lambda p=paths: _real(*p))  # type: ignore[misc]


def lesion_free_cases(data: Path, brain_model: Path, cache: Path) -> Iterator[Case]:
    """Real heads without a stroke; the reference is empty."""

    def load(path: Path) -> Volumes:
        image, brain = _with_brain(path, brain_model, cache)
        return Volumes(image, np.zeros_like(image), near_brain(brain))

    for head in lesion_free_heads(data):
        yield Case("real heads without a stroke", head.name, "lesion", partial(load, head.path), head.contrast)


def brain_cases(data: Path, brain_model: Path, cache: Path) -> Iterator[Case]:
    """Every real head; the reference is the brain as the model folder `brain_model` marks it."""

    def load(path: Path) -> Volumes:
        image, brain = _with_brain(path, brain_model, cache)
        return Volumes(image, brain.astype(np.uint8) * np.uint8(Tissue.BRAIN))

    for head in [*lesion_free_heads(data), *stroke_heads(data)]:
        yield Case("real heads, brain", f"brain-{head.name}", "brain", partial(load, head.path), head.contrast)


def _with_brain(path: Path, brain_model: Path, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The conformed image of a real head and its brain, both [i, j, k]."""
    image = conformed_image(path)
    return image, brain_mask(image, brain_model, cache, os.cpu_count() or 1)


def label_map_cases(
    held_out: HeldOut, data: Path, cache: Path, contrasts: Sequence[str] = ("T2w", "T1w", "FLAIR")
) -> Iterator[Case]:
    """The frozen subjects: label maps of the test split, lesions from masks that training never draws."""
    heads = load_heads(data / "anatomy" / "synthseg", cache, ("test",))
    masks = load_lesion_masks(data / "lesions" / "soop", cache, only=held_out.lesions)
    generator = HeadGenerator(heads, HeadConfig(target="lesion"))
    seeds = read_frozen_seeds()
    for contrast in contrasts:
        for name, subject in frozen_subjects(generator, masks, held_out.lesions, contrast, seeds):
            group: Group = "label-map heads, lesion" if subject.lesion else "label-map heads, lesion-free"
            yield Case(group, name, "lesion", partial(rendered_head, subject, HEAD), contrast)


def tissue_cases(data: Path, templates: Path) -> Iterator[Case]:
    """brainchop's sample scan with the labels of its 11-channel model, and Colin27's head with its brain."""
    crop = data / "scans" / "t1_crop.nii.gz", data / "expected" / "t1_crop__brainchop_model11_gw_ae.nii.gz"
    if all(path.is_file() for path in crop):
        yield Case("t1_crop", "t1_crop", "tissue", lambda: _real(*crop, codes=_FROM_BRAINCHOP))
    colin = templates / "ch2.nii.gz", templates / "ch2bet.nii.gz"
    if all(path.is_file() for path in colin):
        yield Case("Colin27", "ch2", "tissue", lambda: _colin(*colin))


def structure_cases(data: Path, structures_model: Path, cache: Path) -> Iterator[Case]:
    """brainchop's sample scan with the labels of `structures_model`, and the label-map heads of the test split."""
    crop = data / "scans" / "t1_crop.nii.gz"
    if crop.is_file() and (structures_model / "model.json").is_file():

        def load() -> Volumes:
            image = conformed_image(crop)
            names = structure_names(read_spec(structures_model / "model.json"))
            return Volumes(image, model_labels(image, structures_model, cache, os.cpu_count() or 1), names=names)

        yield Case("t1_crop, structures", "t1_crop-structures", "structures", load, "T1w")
    if (data / "anatomy" / "synthseg").is_dir():
        contrasts: tuple[HeadContrast, ...] = ("T1w", "T2w", "FLAIR")
        for contrast in contrasts:
            for name, subject in structure_subjects(data, cache, contrast):
                load_head = partial(rendered_head, subject, HEAD, names=DEEP_NAMES)
                yield Case("label-map heads, structures", name, "structures", load_head, contrast)


def unseen_contrasts(colin: Anatomy, first_seed: int = _UNSEEN_FIRST_SEED) -> Iterator[Subject]:
    """Lesion-free T2-like renderings of Colin27 whose contrast lies outside the range that training draws from
    (`meshnet.synth.draw`: grey 0.28 to 0.72 of fluid, white 0.52 to 0.88 of grey)."""
    config = SynthConfig(task="lesion", contrasts={"T2w": 1.0}, lesion_probability=0.0)
    synthesizer = Synthesizer([colin], replace(config, task="tissue"))
    for index in range(_UNSEEN_COUNT):
        subject = synthesizer.subject(first_seed + index)
        rng = np.random.default_rng(first_seed + index)
        means = subject.contrast.means.copy()
        means[GREY] = means[CSF] * (rng.uniform(0.2, 0.27) if index % 2 else rng.uniform(0.73, 0.8))
        means[WHITE] = means[GREY] * (rng.uniform(0.44, 0.51) if index % 4 < 2 else rng.uniform(0.89, 0.94))
        means[EYE] = means[CSF]
        yield replace(subject, task="lesion", contrast=replace(subject.contrast, means=means))


def rendered(subject: Subject, grid: Grid) -> Volumes:
    """A synthetic subject's image and labels on `grid`."""
    scan = subject.render(grid)
    return Volumes(np.rint(scan.image * 255).astype(np.uint8), scan.labels)


def rendered_head(subject: DrawnHead, grid: Grid, names: tuple[str, ...] = ()) -> Volumes:
    """A label-map head's image and labels on `grid`; names: of the labels."""
    scan = render(subject, grid)
    image = np.rint(scan.image.cpu().numpy() * 255).astype(np.uint8)
    return Volumes(image, scan.labels.cpu().numpy(), names=names)


def _real(scan: Path, labels: Path, *, codes: NDArray[np.uint8] | None = None) -> Volumes:
    """A scan, conformed, and its label file on the conformed grid. codes: new value of each label 0, 1, ..."""
    stored = np.asarray(read_scan(labels).data).astype(np.uint8)
    return Volumes(conformed_image(scan), stored if codes is None else codes[stored])


def _colin(head: Path, brain: Path) -> Volumes:
    inside = conformed_image(brain) > 0
    labels = np.where(inside, Tissue.BRAIN, Tissue.OUTSIDE).astype(np.uint8)
    return Volumes(conformed_image(head), labels)
