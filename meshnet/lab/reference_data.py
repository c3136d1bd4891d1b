"""Lay out the scans of a data folder that have a reference as one BIDS data set, for `meshnet-evaluate --model`.

Each scan belongs to a group, the column `reference_group` of participants.tsv, because the references are worth
different things: `GROUPS` says how much each one shows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meshnet.cohort.bids import CohortError
from meshnet.lab.cases import HEAD, Volumes, label_map_cases, rendered, unseen_contrasts
from meshnet.lab.held_out import held_out_subjects, read_held_out
from meshnet.scan.conform import LIA_DIRECTIONS
from meshnet.scan.nifti import new_header, read_scan, save_labels, save_volume
from meshnet.synth.anatomy import cached_anatomies

_T = TypeVar("_T")

COLUMN = "reference_group"
HELD_OUT = Path(__file__).parents[1] / "conf" / "t2-lesion-held-out.json"


@dataclass(frozen=True)
class Group:
    """name: in tables; worth: what the reference is, and what a figure against it shows; rendered: heads, no scans."""

    name: str
    worth: str
    rendered: bool = False


M2265 = Group(
    "M2265",
    "One stroke patient's T2w and a copy of it resampled to an oblique grid. The reference is the output of "
    "brainchop-t2-lesion, not a drawing by an expert. That model scores 1 against itself by construction; for the "
    "others the figure is agreement with that model. The choice among our models has used this scan.",
)
OMS = Group(
    "oms",
    "T2w, FLAIR and T1w of two people with multiple sclerosis and no stroke. The reference is empty: each marked mL is "
    "false as a stroke lesion, though some of it may be white-matter lesion. A model is scored on the contrasts that "
    "it is made for. Training may show parts of these scans to recent models as lesion-free heads; their cards say so. "
    "The choice among our models has used these scans.",
)
HEALTHY = Group(
    "healthy head",
    "The T1w sample of brainchop and a FLAIR head, both without stroke as far as is known. The reference is empty. "
    "Only models made for these contrasts are scored.",
)
SYNTHETIC = Group(
    "synthetic, held out",
    "Synthetic heads with lesion masks that training never drew, and heads without a lesion. The reference is exact, "
    "the anatomy is not new: these heads are deformations of the two anatomies that t2-lesion was trained on. Each "
    "head counts as a person here, so the intervals tell nothing about other people.",
    rendered=True,
)
COLIN = Group(
    "Colin27, other contrast",
    "The head of one man, rendered without a lesion in contrasts that training doesn't draw. The reference is exact; "
    "t2-lesion was trained on this anatomy.",
    rendered=True,
)
LABEL_MAPS = Group(
    "label maps, test persons",
    "The frozen T2w heads of `make evaluate-models`, rendered from SynthSeg's label maps of three people, with lesion "
    "masks that training never drew, and heads without a lesion. The reference is exact, t2-lesion has seen neither "
    "these people nor these masks, and nothing is chosen by these heads. But intensities and the look of the lesion "
    "come from the generator that it was trained with. Each head counts as a person here, so the intervals tell "
    "nothing about other people.",
    rendered=True,
)
GROUPS = (M2265, OMS, HEALTHY, LABEL_MAPS, SYNTHETIC, COLIN)


@dataclass(frozen=True)
class _Scan:
    """A scan of the data folder. mask: None for a lesion-free one."""

    group: Group
    name: str
    image: Path
    mask: Path | None


@dataclass(frozen=True)
class _Head:
    """A head to render. load: renders it."""

    group: Group
    name: str
    load: Callable[[], Volumes]


def write_reference_data(data: Path, out: Path, cache: Path, groups: Sequence[str], heads: int | None = None) -> Path:
    """Write the BIDS data set of these groups to `out`; files that are there already are kept. Returns `out`.

    Real scans are linked, synthetic heads rendered: all of them, or `heads` with a lesion and `heads` without for each
    group. Raises CohortError if `data` has none of the groups, or `out` holds persons that aren't in this selection.
    """
    persons: dict[str, str] = {}
    for scan in _real_scans(data):
        if scan.group.name in groups:
            _link(scan, out)
            persons[scan.name.split("_")[0]] = scan.group.name
    for head in _heads(data, cache, groups, heads):
        _render(head, out)
        persons[head.name.split("_")[0]] = head.group.name
    if not persons:
        raise CohortError(f"{data}: none of the groups {', '.join(groups)} is there; expected scans/ and lesions/")
    others = sorted(folder.name for folder in out.glob("sub-*") if folder.name not in persons)
    if others:
        raise CohortError(
            f"{out}: holds {len(others)} persons that are not in this selection, such as {others[0]}; use another -o, "
            f"or delete them"
        )
    lines = ["\t".join(("participant_id", COLUMN)), *("\t".join(item) for item in sorted(persons.items()))]
    (out / "participants.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "dataset_description.json").write_text(
        json.dumps({"Name": "scans with a reference", "BIDSVersion": "1.9.0"})
    )
    return out


def _real_scans(data: Path) -> Iterator[_Scan]:
    scans, expected = data / "scans", data / "expected"
    yield from _present(
        _Scan(M2265, "sub-M2265_acq-original_T2w", scans / "M2265_T2w.nii.gz",
              expected / "M2265_T2w__brainchop_t2_lesion.nii.gz"),
        _Scan(M2265, "sub-M2265_acq-regridded_T2w", scans / "M2265_T2w_regridded.nii.gz",
              expected / "M2265_T2w_regridded__brainchop_t2_lesion_conformed.nii.gz"),
        _Scan(HEALTHY, "sub-t1crop_T1w", scans / "t1_crop.nii.gz", None),
        _Scan(HEALTHY, "sub-headflair_FLAIR", scans / "head_FLAIR_1mm.nii.gz", None),
    )  # fmt: skip
    for path in sorted((scans / "oms").glob("patient*_study*_*.nii.gz")):
        patient, study, contrast = path.name.removesuffix(".nii.gz").split("_")
        suffix = {"T1W": "T1w", "T2W": "T2w"}.get(contrast, contrast)
        name = f"sub-{patient.replace('patient', 'oms')}_ses-{study.removeprefix('study')}_{suffix}"
        yield _Scan(OMS, name, path, None)


def _present(*scans: _Scan) -> Iterable[_Scan]:
    return (s for s in scans if s.image.is_file() and (s.mask is None or s.mask.is_file()))


def _heads(data: Path, cache: Path, groups: Sequence[str], count: int | None) -> Iterator[_Head]:
    """The heads of the rendered groups, `count` of each kind."""
    lesions = data / "lesions" / "soop"
    if LABEL_MAPS.name in groups and lesions.is_dir() and (data / "anatomy" / "synthseg").is_dir():
        cases = list(label_map_cases(read_held_out(HELD_OUT), data, cache, ("T2w",)))
        for group in sorted({case.group for case in cases}):
            for case in _spread([case for case in cases if case.group == group], count):
                yield _Head(LABEL_MAPS, _bids_name(case.name), case.load)
    if not {SYNTHETIC.name, COLIN.name} & set(groups):
        return
    anatomies = cached_anatomies(cache)
    if SYNTHETIC.name in groups and lesions.is_dir():
        subjects = list(held_out_subjects(read_held_out(HELD_OUT), anatomies, lesions, cache))
        for has_lesion in (True, False):
            kind = [(name, subject) for name, subject in subjects if (subject.lesion is not None) == has_lesion]
            for name, subject in _spread(kind, count):
                yield _Head(SYNTHETIC, _bids_name(name), partial(rendered, subject, HEAD))
    if COLIN.name in groups:
        for subject in list(unseen_contrasts(anatomies[0]))[:count]:  # four kinds of contrast in turn
            yield _Head(COLIN, _bids_name(f"colin{subject.seed}"), partial(rendered, subject, HEAD))


def _spread(items: Sequence[_T], count: int | None) -> list[_T]:
    """`count` of the items at equal steps, because the lists are sorted by lesion volume; None for all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _bids_name(name: str) -> str:
    return f"sub-{''.join(c for c in name if c.isalnum())}_acq-synthetic_T2w"


def _paths(name: str, out: Path) -> tuple[Path, Path]:
    entities = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    folder = Path(*entities, "anat")
    mask = out / "derivatives" / "lesion_masks" / folder / f"{name}_desc-lesion_mask.nii.gz"
    return out / folder / f"{name}.nii.gz", mask


def _link(scan: _Scan, out: Path) -> None:
    image, mask = _paths(scan.name, out)
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    _point(image, scan.image)
    if scan.mask is not None:
        _point(mask, scan.mask)
    elif not mask.is_file():
        read = read_scan(scan.image)
        save_labels(mask, np.zeros(read.data.shape, np.uint8), read.header)


def _point(link: Path, target: Path) -> None:
    if not link.is_symlink() or os.readlink(link) != str(target.resolve()):
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())


def _render(head: _Head, out: Path) -> None:
    image, mask = _paths(head.name, out)
    if image.is_file() and mask.is_file():
        return
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    volumes = head.load()
    header = new_header(_affine(volumes.image.shape), volumes.image.shape, code=1)
    save_labels(mask, volumes.labels, header)
    save_volume(image, volumes.image, header)


def _affine(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """LIA, 1 mm, centred at 0."""
    affine = np.eye(4)
    affine[:3, :3] = LIA_DIRECTIONS
    affine[:3, 3] = -LIA_DIRECTIONS @ (np.array(shape) / 2)
    return affine


def group_names() -> list[str]:
    """The names of all groups."""
    return [group.name for group in GROUPS]
