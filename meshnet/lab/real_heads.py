"""Real heads without a stroke: a lesion model should mark nothing on them, least of all outside the brain.

The brain is the published model mindgrab's mask, dilated by 5 mm (`near_brain`), so that a mark on the brain's surface
is not held against a model. Labels are kept in the cache, by the weights' and the image's SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.infer.backends import fastest_backend, open_network
from meshnet.infer.brain_rule import without_parts_outside_brain
from meshnet.lab.opened import Opened, labels_of
from meshnet.model.checkpoint import load_checkpoint
from meshnet.scan.conform import conform
from meshnet.scan.nifti import read_scan

#: A mark this far from the brain's mask counts as outside the brain.
OUTSIDE_MM = 5.0
#: Scans of `scans/oms` are named `patient01_study1_T2W.nii.gz`; contrast by the last part of the name.
_OMS_CONTRASTS = {"T1W": "T1w", "T2W": "T2w", "FLAIR": "FLAIR"}


@dataclass(frozen=True)
class RealHead:
    """A scan on disk. contrast: as `modality` of a ModelSpec names it."""

    name: str
    path: Path
    contrast: str


def lesion_free_heads(data: Path) -> Iterator[RealHead]:
    """The scans of `data` without a stroke; those that are missing are left out."""
    for path in sorted((data / "scans" / "oms").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        contrast = _OMS_CONTRASTS.get(name.rsplit("_", 1)[-1])
        if contrast is not None:
            yield RealHead(f"oms-{name}", path, contrast)
    for name, contrast in (("t1_crop", "T1w"), ("head_FLAIR_1mm", "FLAIR")):
        path = data / "scans" / f"{name}.nii.gz"
        if path.is_file():
            yield RealHead(name, path, contrast)


def stroke_heads(data: Path) -> Iterator[RealHead]:
    """The scans of `data` with a stroke; those that are missing are left out."""
    for name in ("M2265_T2w", "M2265_T2w_regridded"):
        path = data / "scans" / f"{name}.nii.gz"
        if path.is_file():
            yield RealHead(name, path, "T2w")


def conformed_image(path: Path) -> NDArray[np.uint8]:
    """uint8 [i, j, k] on the conformed grid (LIA, 1 mm)."""
    return conform(read_scan(path)).data


def brain_mask(image: NDArray[np.uint8], brain_model: Path, cache: Path, threads: int = 1) -> NDArray[np.bool_]:
    """bool [i, j, k]: every label above 0 of the model folder `brain_model` on a conformed image.

    Raises SpecError for a damaged model folder.
    """
    return model_labels(image, brain_model, cache, threads) > 0


def model_labels(image: NDArray[np.uint8], model: Path, cache: Path, threads: int = 1) -> NDArray[np.uint8]:
    """uint8 [i, j, k]: the labels of the model folder `model` on a conformed image.

    Raises SpecError for a damaged model folder.
    """
    spec, weights = load_checkpoint(model)
    digest = hashlib.sha256(image.tobytes()).hexdigest()[:16]
    path = cache / f"brain-labels-{spec.weights.sha256[:16]}-{digest}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return np.asarray(stored["labels"])
    network, _ = open_network(spec, weights, backend=fastest_backend(), threads=threads)
    labels = without_parts_outside_brain(labels_of(Opened(spec, network), image), spec)[0]
    cache.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, labels=labels)
    return labels


def near_brain(brain: NDArray[np.bool_], voxel_size_mm: float = 1.0) -> NDArray[np.bool_]:
    """bool [i, j, k]: voxels at most `OUTSIDE_MM` from the brain's mask; all of them where the mask is empty."""
    if not brain.any():
        return np.ones_like(brain)
    distance_mm = ndimage.distance_transform_edt(~brain, sampling=voxel_size_mm)
    return np.asarray(distance_mm <= OUTSIDE_MM)
