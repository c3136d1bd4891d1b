"""The separate lesions of a result: volume, size and place of each. `static/src/volume/lesions.ts` finds the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from meshnet.model.label_roles import context_indices, lesion_indices, mask_of, shows_brain
from meshnet.model.spec import ModelSpec
from meshnet.scan.extent import Side, longest_diameter_mm, nearest_to_mean, side_of
from meshnet.scan.scan_grid import volume_ml


@dataclass(frozen=True)
class Lesion:
    """One connected component (voxels sharing a face) of a lesion label on the scan's own grid."""

    label: int  #: index of the lesion label
    voxels: int
    volume_ml: float
    centre_ras_mm: tuple[float, float, float]  #: of its voxel nearest to the mean position of its voxels
    longest_diameter_mm: float  #: between the two corners of its voxels that are farthest apart
    side: Side  #: of the centre, by its distance from `midline_x_mm`
    mean_probability: float | None = None  #: 0 to 1, of its voxels; None without a probability map


def lesion_labels(spec: ModelSpec) -> list[int]:
    """Indices of the labels that are lesions, by role or task, else those with the word in their name."""
    named = [one.index for one in spec.labels if one.index > 0 and "lesion" in one.name.lower()]
    return list(lesion_indices(spec)) or named


def find_lesions(
    spec: ModelSpec,
    labels_native: NDArray[np.uint8],
    affine_vox2ras: NDArray[np.float64],
    probability: NDArray[np.uint8] | None = None,
) -> list[Lesion]:
    """The lesions of labels uint8 [i, j, k], the largest first; affine [4, 4]: voxel to RAS, mm.

    probability: of the lesion, 0 to 255 on the same grid. Volumes and centres are those of the page's list of parts.
    """
    midline, _ = midline_x_mm(spec, labels_native, affine_vox2ras)
    found: list[tuple[tuple[int, ...], Lesion]] = []
    for index in lesion_labels(spec):
        components, _ = label(labels_native == index)
        for number, box in enumerate(find_objects(components), start=1):
            inside = components[box] == number
            places = np.argwhere(inside) + [side.start for side in box]
            centre = ras_mm(nearest_to_mean(places), affine_vox2ras)
            lesion = Lesion(
                label=index,
                voxels=len(places),
                volume_ml=volume_ml(len(places), affine_vox2ras),
                centre_ras_mm=centre,
                longest_diameter_mm=longest_diameter_mm(inside, affine_vox2ras),
                side=side_of(centre[0], midline),
                mean_probability=None if probability is None else _mean(probability[box][inside]),
            )
            # The page's order of voxels (i fastest) decides between equally large ones.
            first = places[np.lexsort(tuple(places.T))[0], ::-1]
            found.append(((-len(places), *(int(n) for n in first)), lesion))
    return [lesion for _, lesion in sorted(found, key=lambda pair: pair[0])]


def midline_x_mm(
    spec: ModelSpec, labels_native: NDArray[np.uint8], affine_vox2ras: NDArray[np.float64]
) -> tuple[float, bool]:
    """World x (RAS, mm) of the plane between left and right, and whether the labelled brain gave it.

    The mean x of the brain's voxels (tissue, fluid, lesion) where the model labels the brain, else 0, the scanner's.
    """
    context = mask_of(labels_native, context_indices(spec))
    if not shows_brain(spec) or not context.any():
        return 0.0, False
    brain = context | mask_of(labels_native, lesion_indices(spec))
    # Sums along the axes instead of a list of a million places.
    counts = [brain.sum(tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    mean = [float(np.arange(len(count)) @ count) / float(count.sum()) for count in counts]
    return ras_mm(mean, affine_vox2ras)[0], True


def ras_mm(voxel: NDArray[np.int_] | list[float], affine_vox2ras: NDArray[np.float64]) -> tuple[float, float, float]:
    """World position (RAS, mm) of a voxel index [3], which may be fractional."""
    i, j, k = (float(n) for n in voxel)
    x, y, z = (float(row[0] * i + row[1] * j + row[2] * k + row[3]) for row in affine_vox2ras[:3])
    return x, y, z


def _mean(values: NDArray[np.uint8]) -> float:
    return int(values.sum(dtype=np.int64)) / (255 * len(values))
