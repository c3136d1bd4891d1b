"""Overlap, distance and lesion-wise scores of two masks.

Masks are boolean [D, H, W]. Each function states its value for empty masks; `avd` alone can return NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

#: Voxels that touch by face, edge or corner form one lesion (26-neighbourhood).
_FULL_CONNECTIVITY = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Confusion:
    """Voxel counts of a predicted against a true mask."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def confusion(predicted: Mask, true: Mask) -> Confusion:
    """Voxel counts of the two masks. Raises ValueError if their shapes differ."""
    if predicted.shape != true.shape:
        raise ValueError(f"expected two masks on one grid, got shapes {predicted.shape} and {true.shape}")
    tp = int(np.count_nonzero(predicted & true))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(true)) - tp
    return Confusion(tp, fp, fn, predicted.size - tp - fp - fn)


def dice(predicted: Mask, true: Mask) -> float:
    """Dice coefficient 2|A∩B| / (|A|+|B|) (Dice 1945), 0 to 1; 1 if both masks are empty."""
    c = confusion(predicted, true)
    total = 2 * c.true_positive + c.false_positive + c.false_negative
    return 1.0 if total == 0 else 2 * c.true_positive / total


def dice_macro(predicted: Mask, true: Mask) -> float:
    """Mean of the lesion's and the background's Dice, 0 to 1: the DICE of the stroke lesion paper.

    A lesion Dice of 0.754 and a background Dice of 0.998 give 0.876.
    """
    return (dice(predicted, true) + dice(~predicted, ~true)) / 2


def precision(predicted: Mask, true: Mask) -> float:
    """Share of `predicted` that lies in `true`, 0 to 1; 0 if `predicted` alone is empty, 1 if both masks are."""
    c = confusion(predicted, true)
    found = c.true_positive + c.false_positive
    return c.true_positive / found if found else float(c.false_negative == 0)


def recall(predicted: Mask, true: Mask) -> float:
    """Share of `true` that lies in `predicted`, 0 to 1; 0 if `true` alone is empty, 1 if both masks are."""
    return precision(true, predicted)


def avd(predicted: Mask, true: Mask) -> float:
    """Absolute volume difference |V_pred - V_true| / V_true, a fraction of at least 0; NaN if `true` is empty."""
    c = confusion(predicted, true)
    volume = c.true_positive + c.false_negative
    return float("nan") if volume == 0 else abs(c.false_positive - c.false_negative) / volume


def mcc(predicted: Mask, true: Mask) -> float:
    """Matthews correlation coefficient (Matthews 1975), -1 to 1.

    1 if the masks are equal, also if both are empty or full; 0 if only one of them is empty or full.
    """
    c = confusion(predicted, true)
    if c.false_positive == c.false_negative == 0:
        return 1.0
    tp, fp, fn, tn = (float(n) for n in (c.true_positive, c.false_positive, c.false_negative, c.true_negative))
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return 0.0 if product == 0 else (tp * tn - fp * fn) / float(np.sqrt(product))


def hd95_mm(predicted: Mask, true: Mask, voxel_size_mm: tuple[float, float, float]) -> float:
    """95 % Hausdorff distance in mm: the larger of the two directed 95th percentiles of the surface distances.

    0 if both masks are empty, infinite if one is. voxel_size_mm: along the three axes.
    """
    distances = surface_distances_mm(predicted, true, voxel_size_mm)
    if distances is None:
        return 0.0 if predicted.any() == true.any() else float("inf")
    return max(float(np.percentile(distance, 95)) for distance in distances)


def mean_surface_distance_mm(predicted: Mask, true: Mask, voxel_size_mm: tuple[float, float, float]) -> float:
    """Average symmetric surface distance in mm: the mean over the surface voxels of both masks of the distance to the
    other surface (Heimann et al. 2009, doi:10.1109/TMI.2009.2013851).

    0 if both masks are empty, infinite if one is. voxel_size_mm: along the three axes.
    """
    distances = surface_distances_mm(predicted, true, voxel_size_mm)
    if distances is None:
        return 0.0 if predicted.any() == true.any() else float("inf")
    return float(np.concatenate(distances).mean())


def surface_distances_mm(
    predicted: Mask, true: Mask, voxel_size_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Distances in mm from each surface voxel of `predicted` to the surface of `true`, and the reverse; None if a mask
    is empty.

    A surface voxel is a mask voxel with a face neighbour outside the mask or outside the volume. Distances are between
    the centres of voxels. voxel_size_mm: along the three axes.
    """
    if not predicted.any() or not true.any():
        return None
    box = _bounding_box(predicted | true)
    surfaces = []
    for mask in (predicted, true):
        cut = np.pad(mask[box], 1)
        surfaces.append(cut & ~ndimage.binary_erosion(cut))
    here, there = surfaces
    return (
        ndimage.distance_transform_edt(~there, sampling=voxel_size_mm)[here],
        ndimage.distance_transform_edt(~here, sampling=voxel_size_mm)[there],
    )


@dataclass(frozen=True)
class LesionMatch:
    """Connected components (26-neighbourhood) of two masks.

    voxels: of each true lesion; found: whether it shares a voxel with the prediction, in the same order. right, false:
    number of predicted components with and without a voxel of the truth.
    """

    voxels: tuple[int, ...]
    found: tuple[bool, ...]
    right: int
    false: int


def match_lesions(predicted: Mask, true: Mask) -> LesionMatch:
    """The lesions of two masks on one grid, and which of them meet."""
    predicted_labels, predicted_count = ndimage.label(predicted, _FULL_CONNECTIVITY)
    true_labels, true_count = ndimage.label(true, _FULL_CONNECTIVITY)
    both = predicted & true
    found = set(np.unique(true_labels[both]).tolist())
    right = len(np.unique(predicted_labels[both]))
    sizes = np.bincount(true_labels.ravel(), minlength=true_count + 1)[1:]
    return LesionMatch(
        tuple(int(n) for n in sizes),
        tuple(index in found for index in range(1, true_count + 1)),
        right,
        predicted_count - right,
    )


def lesion_f1(predicted: Mask, true: Mask) -> float:
    """F1 over connected components (26-neighbourhood), 0 to 1; 1 if both masks are empty.

    A true lesion is found if it shares a voxel with `predicted`; a predicted one is right if it shares a voxel with
    `true`.
    """
    return f1_of(match_lesions(predicted, true))


def f1_of(match: LesionMatch) -> float:
    """F1 over lesions, 0 to 1; 1 if there is no lesion in either mask."""
    predicted_count = match.right + match.false
    if predicted_count + len(match.voxels) == 0:
        return 1.0
    recall = sum(match.found) / len(match.found) if match.found else 0.0
    precision = match.right / predicted_count if predicted_count else 0.0
    return 0.0 if recall + precision == 0 else 2 * recall * precision / (recall + precision)


def volume_error_ml(predicted: Mask, true: Mask, voxel_size_mm: tuple[float, float, float]) -> float:
    """Signed volume error V_pred - V_true in mL; voxel_size_mm: along the three axes."""
    c = confusion(predicted, true)
    return (c.false_positive - c.false_negative) * float(np.prod(voxel_size_mm)) / 1000.0


def lesion_scores(
    predicted: Mask, true: Mask, voxel_size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> dict[str, float]:
    """All scores of one case by their names in tables; voxel_size_mm: along the three axes."""
    return {
        "dice_lesion": dice(predicted, true),
        "dice_macro": dice_macro(predicted, true),
        "avd": avd(predicted, true),
        "mcc": mcc(predicted, true),
        "hd95_mm": hd95_mm(predicted, true, voxel_size_mm),
        "lesion_f1": lesion_f1(predicted, true),
        "volume_error_ml": volume_error_ml(predicted, true, voxel_size_mm),
    }


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box
