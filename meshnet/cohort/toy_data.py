"""`meshnet-toy-data OUT`: a small BIDS data set in ARC's layout, with lesions that a tiny network can learn.

The heads are ellipsoids of a few tissues with one bright lesion each: enough to try every command, too simple to
train a useful model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.cohort.arguments import at_least, out_folder

#: Subjects with a fault: no mask, a mask on another grid, an empty mask, an acquisition outside the cohort.
MISSING_MASK, WRONG_GRID, EMPTY_LESION, OTHER_ACQUISITION = "M9001", "M9002", "M9003", "M9004"


#: Fewest subjects that meshnet-prepare can split into nested folds.
_FEWEST_SUBJECTS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 if the data set can't be written."""
    parser = argparse.ArgumentParser(
        prog="meshnet-toy-data",
        description="Write a small BIDS data set of synthetic heads with lesions, to try the training commands.",
        epilog="Then: meshnet-prepare OUT PREPARED --size 64 --voxel-size-mm 3",
    )
    parser.add_argument("out", type=out_folder, help="folder for the data set; must not exist or be empty")
    parser.add_argument(
        "--subjects", type=at_least(_FEWEST_SUBJECTS), default=12, help="default %(default)s, at least 5"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the heads (default %(default)s)")
    args = parser.parse_args(arguments)
    try:
        if args.out.exists() and any(args.out.iterdir()):
            print(f"meshnet-toy-data: {args.out}: not empty; expected a new folder", file=sys.stderr)
            return 2
        names = make_arc(args.out, subjects=args.subjects, seed=args.seed, broken=False)
    except OSError as error:
        print(f"meshnet-toy-data: {args.out}: cannot write the data set ({error.strerror})", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(names)} scans of {args.subjects} subjects")
    return 0


def make_arc(
    root: Path,
    *,
    subjects: int = 12,
    seed: int = 0,
    broken: bool = True,
    lesion_radius_mm: tuple[float, float] = (14, 26),
) -> list[str]:
    """Write the data set; returns the names of the usable scans.

    Acquisitions alternate between spc3p2 and spc3; the third subject has two sessions, the fourth a run entity; grids
    are anisotropic, oblique, flipped or odd-sized in turn. broken: add four subjects with a fault. lesion_radius_mm:
    smallest and largest.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "ARC-like", "BIDSVersion": "1.8.0"}))
    usable = []
    for number in range(subjects):
        subject = f"M2{number:03d}"
        acquisition = ("spc3p2", "spc3")[number % 2]
        for session in ("100", "250") if number == 2 else ("100",):
            run = "_run-2" if number == 3 else ""
            name = f"sub-{subject}_ses-{session}_acq-{acquisition}{run}_T2w"
            _write_case(root, name, *_head(rng, number, lesion_radius_mm))
            usable.append(name)
    if broken:
        for subject, acquisition in (
            (MISSING_MASK, "spc3"),
            (WRONG_GRID, "spc3"),
            (EMPTY_LESION, "spc3p2"),
            (OTHER_ACQUISITION, "tse3"),
        ):
            name = f"sub-{subject}_ses-100_acq-{acquisition}_T2w"
            image, mask, affine = _head(rng, 0, lesion_radius_mm)
            _write_case(root, name, image, mask, affine)
            mask_path = _mask_path(root, name)
            if subject == MISSING_MASK:
                mask_path.unlink()
            elif subject == WRONG_GRID:
                _save(mask_path, mask[:-3], affine)
            elif subject == EMPTY_LESION:
                _save(mask_path, np.zeros_like(mask), affine)
    return usable


def _head(
    rng: np.random.Generator, number: int, lesion_radius_mm: tuple[float, float]
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.float64]]:
    """Image, lesion mask and affine of a ball-shaped head of about 150 mm with one bright lesion."""
    shape = ((56, 60, 40), (61, 47, 55), (50, 64, 48), (57, 57, 57))[number % 4]
    affine = _affine(number % 4, shape)
    voxel = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    x, y, z = np.einsum("ab,bijk->aijk", affine[:3, :3], voxel) + affine[:3, 3, None, None, None]
    radius = np.sqrt((x / 66) ** 2 + (y / 80) ** 2 + (z / 62) ** 2)
    center = rng.uniform(-26, 26, 3)
    size_mm = rng.uniform(*lesion_radius_mm)
    wobble = 1 + 0.15 * np.sin(x / 6 + number) * np.cos(y / 7)
    distance = np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2) * wobble
    lesion = (distance < size_mm) & (radius < 0.85)
    image = np.zeros(shape)
    image[radius < 1.0] = 260
    image[radius < 0.92] = 60
    image[radius < 0.86] = 330 + 40 * np.sin(x / 9)[radius < 0.86]
    image[lesion] = 850
    image = np.maximum(image + rng.normal(0, 12, shape), 0)
    return image.astype(np.int16), lesion.astype(np.uint8), affine


def _affine(kind: int, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Affine [4, 4] from voxels to mm of an anisotropic, oblique, flipped or sagittal grid, centred at 0."""
    turn = np.deg2rad(8.0)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    matrix = (
        np.diag([2.9, 3.0, 4.2]),
        rotation @ np.diag([2.7, 3.9, 2.8]),
        np.diag([-3.1, 2.9, 3.2]),
        np.array([[0, 0, -2.9], [3.2, 0, 0], [0, -2.9, 0]], float),
    )[kind]
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ (np.array(shape) / 2)
    return affine


def _mask_path(root: Path, name: str) -> Path:
    subject, session = name.split("_")[:2]
    return root / "derivatives" / "lesion_masks" / subject / session / "anat" / f"{name}_desc-lesion_mask.nii.gz"


def _write_case(
    root: Path, name: str, image: NDArray[np.int16], mask: NDArray[np.uint8], affine: NDArray[np.float64]
) -> None:
    subject, session = name.split("_")[:2]
    _save(root / subject / session / "anat" / f"{name}.nii.gz", image, affine)
    _save(_mask_path(root, name), mask, affine)


def _save(path: Path, array: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
