"""Scores of one model on one scan, and the JSON file that keeps them. docs/evaluation.md defines every number."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.cohort.bids import CohortError
from meshnet.scan.conform import vox2vox
from meshnet.scan.label_files import AFFINE_TOLERANCE_MM
from meshnet.scan.scan_grid import resample_labels, volume_ml
from meshnet.score.metrics import Mask, dice, dice_macro, f1_of, hd95_mm, match_lesions, mean_surface_distance_mm

#: Raised when the definition of a score changes, so that kept scores are computed again.
VERSION = 1

#: Lesion farther than this outside the brain is counted apart: a border drawn one or two voxels wide doesn't reach it.
FAR_MM = 5.0

#: Grid points along each axis at which two fields of view are compared.
_LATTICE = 9

_TOUCHING = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class ScanScore:
    """Scores of a model on a scan.

    reference_ml: 0 for a scan without lesion. values: by the names in docs/evaluation.md, NaN where one is undefined.
    lesion_ml, found: of each lesion of the reference. key: the files and settings that the scores were made from.
    """

    model: str
    scan: str
    subject: str
    reference_ml: float
    result_ml: float
    values: Mapping[str, float]
    lesion_ml: tuple[float, ...] = ()
    found: tuple[bool, ...] = ()
    key: Mapping[str, Any] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no voxel was marked in a scan with a lesion."""
        return self.reference_ml > 0 and self.result_ml == 0


def lesion_values(
    predicted: Mask, true: Mask, affine: NDArray[np.float64], brain: Mask | None = None
) -> tuple[dict[str, float], list[float], list[bool]]:
    """All values of one scan, and of each lesion of the reference its volume in mL and whether it was found.

    predicted, true, brain: masks [i, j, k] on one grid with this affine (voxel to RAS, mm). Overlap, distances and
    volume error are NaN for a scan without lesion. An infinite distance (nothing predicted) becomes the diagonal of the
    image, the largest distance of two voxels. Volumes outside the brain are NaN without a brain.
    """
    size_mm = voxel_size_mm(affine)
    match = match_lesions(predicted, true)
    result, reference = (volume_ml(int(np.count_nonzero(mask)), affine) for mask in (predicted, true))
    diagonal = float(np.linalg.norm(affine[:3, :3] @ (np.array(true.shape) - 1)))
    values = {
        "dice_lesion": dice(predicted, true),
        "dice_macro": dice_macro(predicted, true),
        "hd95_mm": _finite(hd95_mm(predicted, true, size_mm), diagonal),
        "msd_mm": _finite(mean_surface_distance_mm(predicted, true, size_mm), diagonal),
        "lesion_f1": f1_of(match),
        "lesion_sensitivity": sum(match.found) / len(match.found) if match.found else math.nan,
        "volume_error_ml": result - reference,
        "volume_error_abs_ml": abs(result - reference),
        "volume_error_percent": 100 * (result - reference) / reference if reference else math.nan,
    }
    if not true.any():
        values = dict.fromkeys(values, math.nan)
    outside, far = (math.nan, math.nan) if brain is None else _outside_ml(predicted & ~true, brain | true, affine)
    values |= {"false_lesions": float(match.false), "outside_ml": outside, "outside_far_ml": far}
    return values, [volume_ml(n, affine) for n in match.voxels], list(match.found)


def voxel_size_mm(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Voxel size along i, j, k in mm; affine [4, 4]: voxel to RAS, mm."""
    i_mm, j_mm, k_mm = (float(size) for size in np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    return i_mm, j_mm, k_mm


def onto_grid(
    mask: Mask,
    affine_from: NDArray[np.float64],
    affine_to: NDArray[np.float64],
    shape_to: tuple[int, ...],
    *,
    name: str,
) -> Mask:
    """The mask on another grid, nearest neighbour through the affines; unchanged where the grids are equal.

    Raises CohortError, with `name`, if the two fields of view don't meet.
    """
    if mask.shape == shape_to and np.abs(affine_from - affine_to).max() <= AFFINE_TOLERANCE_MM:
        return mask
    points = np.stack(np.meshgrid(*(np.linspace(0, n - 1, _LATTICE) for n in shape_to), indexing="ij"), -1)
    matrix = vox2vox(affine_to, affine_from)
    there = points @ matrix[:3, :3].T + matrix[:3, 3]
    if not ((there >= -0.5) & (there <= np.array(mask.shape) - 0.5)).all(axis=-1).any():
        raise CohortError(
            f"{name}: its field of view doesn't meet that of the reference; expected labels in the scanner's space of "
            f"the scan (a template's space, or a lost affine, puts them elsewhere)"
        )
    return resample_labels(mask.astype(np.uint8), affine_from, affine_to, shape_to) > 0


def own_brain(labels: NDArray[np.uint8]) -> Mask:
    """The brain that a joint model shows: the largest component (26-neighbourhood) of its labels above 0, holes filled.

    The lesion counts as brain where it touches the other labels; one that lies apart, as in an eyeball, doesn't.
    """
    parts, count = ndimage.label(labels > 0, _TOUCHING)
    if count == 0:
        return np.zeros(labels.shape, bool)
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    filled: Mask = ndimage.binary_fill_holes(largest)
    return filled


def read_scan_score(path: Path, key: Mapping[str, Any]) -> ScanScore | None:
    """The kept score, or None if there is none, it can't be read, or it was made from something else than `key`."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] != dict(key):
            return None
        nan = {name: math.nan if value is None else value for name, value in stored["values"].items()}
        pairs = {name: tuple(stored[name]) for name in ("lesion_ml", "found")}
        return ScanScore(**(stored | {"values": nan} | pairs))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_scan_score(path: Path, score: ScanScore) -> None:
    """Write the score, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = asdict(score)
    stored["values"] = {name: None if math.isnan(value) else value for name, value in score.values.items()}
    partial = path.with_suffix(f".partial{os.getpid()}")
    partial.write_text(json.dumps(stored), encoding="utf-8")
    os.replace(partial, path)


def _finite(value: float, diagonal: float) -> float:
    return diagonal if math.isinf(value) else value


def _outside_ml(marked: Mask, brain: Mask, affine: NDArray[np.float64]) -> tuple[float, float]:
    """mL of `marked` outside the brain, and of it farther than `FAR_MM` from the brain."""
    outside = marked & ~brain
    if not outside.any():
        return 0.0, 0.0
    if not brain.any():
        everything = volume_ml(int(np.count_nonzero(outside)), affine)
        return everything, everything
    distance = ndimage.distance_transform_edt(~brain, sampling=voxel_size_mm(affine))
    far = outside & (distance > FAR_MM)
    return volume_ml(int(np.count_nonzero(outside)), affine), volume_ml(int(np.count_nonzero(far)), affine)
