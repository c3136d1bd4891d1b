"""Find the scans and masks of a data set: ARC's BIDS layout, or a plain folder of pairs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: BIDS `acq` labels of the paper's cohort: T2w SPACE with and without two-fold acceleration.
SPACE = ("spc3p2", "spc3")

#: Scans with a lesion mask in ARC (OpenNeuro ds004884), by `acq` label. The paper prints 115, 109, 5 (`tse3`, not in
#: the cohort) and 230 in all, which don't add up.
SCANS_OF_ARC = {"spc3p2": 115, "spc3": 108}

_SUFFIXES = (".nii.gz", ".nii")


class CohortError(ValueError):
    """A data set or prepared folder that can't be used. The message names the folder and the expected content."""


@dataclass(frozen=True)
class Case:
    """One scan with its mask. name: unique in the data set and a valid file name."""

    name: str
    subject: str
    session: str
    acquisition: str
    run: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Excluded:
    """A scan that is not used, and why."""

    name: str
    reason: str


def find_bids(
    root: Path, acquisitions: Collection[str], *, contrasts: Sequence[str] = ("T2w",)
) -> tuple[list[Case], list[Excluded]]:
    """Scans of a BIDS data set with masks under `derivatives/lesion_masks`.

    Every scan of these contrasts (BIDS suffixes) is in one of the two lists. acquisitions: the `acq` labels to use;
    empty: all. Raises CohortError if the data set has no such scan.
    """
    found = [p for contrast in contrasts for p in root.glob(f"sub-*/**/anat/*_{contrast}.nii*")]
    images = [p for p in sorted(found) if p.name.endswith(_SUFFIXES)]
    if not images:
        wanted = " or ".join(f"sub-*/[ses-*/]anat/*_{contrast}.nii.gz" for contrast in contrasts)
        raise CohortError(f"{root}: no {wanted}; expected a BIDS data set (or --format pairs)")
    masks_root = root / "derivatives" / "lesion_masks"
    cases, excluded = [], []
    for image in images:
        stem = _stem(image)
        entities = dict(re.findall(r"([a-z]+)-([A-Za-z0-9]+)", stem))
        acquisition = entities.get("acq", "")
        mask = _first_file(masks_root / image.parent.relative_to(root), f"{stem}_desc-lesion_mask")
        if acquisitions and acquisition not in acquisitions:
            wanted = ", ".join(sorted(acquisitions))
            excluded.append(Excluded(stem, f"acquisition {acquisition or 'unnamed'!r} is not in the cohort ({wanted})"))
        elif mask is None:
            excluded.append(Excluded(stem, "no lesion mask under derivatives/lesion_masks"))
        else:
            subject, session = entities.get("sub", stem), entities.get("ses", "")
            cases.append(Case(stem, subject, session, acquisition, entities.get("run", ""), image, mask))
    used, named = {case.mask for case in cases}, {e.name for e in excluded}
    for mask in sorted(masks_root.glob("sub-*/**/anat/*_desc-lesion_mask.nii*")):
        stem = _stem(mask).removesuffix("_desc-lesion_mask")
        if mask not in used and stem not in named:
            excluded.append(Excluded(stem, f"a lesion mask without a {' or '.join(contrasts)} scan of that name"))
    return cases, excluded


def find_pairs(root: Path) -> tuple[list[Case], list[Excluded]]:
    """Images `NAME.nii.gz` with `NAME_mask.nii.gz` beside them; every image counts as a subject.

    Raises CohortError if the folder has no image.
    """
    files = [p for p in sorted(root.iterdir()) if p.name.endswith(_SUFFIXES)]
    images = [p for p in files if not _stem(p).endswith("_mask")]
    if not images:
        raise CohortError(f"{root}: no NIfTI images; expected NAME.nii.gz with NAME_mask.nii.gz beside it")
    cases, excluded = [], []
    for image in images:
        stem = _stem(image)
        mask = _first_file(root, f"{stem}_mask")
        if mask is None:
            excluded.append(Excluded(stem, f"no {stem}_mask.nii.gz beside it"))
        else:
            cases.append(Case(stem, stem, "", "", "", image, mask))
    return cases, excluded


def difference_from_arc(counts: Mapping[str, int]) -> str:
    """A sentence that compares the prepared cases, by acquisition, with the scans of ds004884 that have a mask."""
    expected = " + ".join(f"{number} {acquisition}" for acquisition, number in SCANS_OF_ARC.items())
    whole = f"{expected} = {sum(SCANS_OF_ARC.values())} scans with a lesion mask in ARC (OpenNeuro ds004884)"
    apart = {a: counts.get(a, 0) - SCANS_OF_ARC.get(a, 0) for a in dict.fromkeys([*SCANS_OF_ARC, *counts])}
    differing = [f"{number:+d} {acquisition or 'unnamed'}" for acquisition, number in apart.items() if number]
    return f"these are the {whole}" if not differing else f"{', '.join(differing)} compared with the {whole}"


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _first_file(folder: Path, stem: str) -> Path | None:
    return next((p for p in (folder / f"{stem}{suffix}" for suffix in _SUFFIXES) if p.is_file()), None)
