"""The separate lesions of a result: volume and place of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from meshnet.model.label_roles import lesion_indices
from meshnet.model.spec import ModelSpec
from meshnet.scan.scan_grid import volume_ml


@dataclass(frozen=True)
class Lesion:
    """One connected component (voxels sharing a face) of a lesion label on the scan's own grid."""

    label: int  #: index of the lesion label
    voxels: int
    volume_ml: float
    centre_ras_mm: tuple[float, float, float]  #: of its voxel nearest to the mean position of its voxels


def lesion_labels(spec: ModelSpec) -> list[int]:
    """Indices of the labels that are lesions, by role or task, else those with the word in their name."""
    named = [one.index for one in spec.labels if one.index > 0 and "lesion" in one.name.lower()]
    return list(lesion_indices(spec)) or named


def find_lesions(
    spec: ModelSpec, labels_native: NDArray[np.uint8], affine_vox2ras: NDArray[np.float64]
) -> list[Lesion]:
    """The lesions of labels uint8 [i, j, k], the largest first; affine [4, 4]: voxel to RAS, mm.

    Volumes and centres are those of the page's list of parts.
    """
    found: list[tuple[tuple[int, ...], Lesion]] = []
    for index in lesion_labels(spec):
        components, _ = label(labels_native == index)
        for number, box in enumerate(find_objects(components), start=1):
            places = np.argwhere(components[box] == number)
            places += [side.start for side in box]
            # In the page's order of voxels (i fastest), which decides between equally near or equally large ones.
            places = places[np.lexsort(tuple(places.T))]
            i, j, k = (places - places.sum(0) / len(places)).T
            nearest = np.argmin(i**2 + j**2 + k**2)
            x, y, z = (float(mm) for mm in (affine_vox2ras @ [*places[nearest], 1.0])[:3])
            lesion = Lesion(index, len(places), volume_ml(len(places), affine_vox2ras), (x, y, z))
            found.append(((-len(places), *(int(n) for n in places[0, ::-1])), lesion))
    return [lesion for _, lesion in sorted(found, key=lambda pair: pair[0])]
