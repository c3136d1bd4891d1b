"""Remove small connected components from a label volume; `static/src/volume/clean.ts` has the same rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label


def remove_small_components(labels: NDArray[np.uint8], smallest_voxels: float) -> tuple[NDArray[np.uint8], int]:
    """Labels uint8 [i, j, k] without small components, and the number of voxels removed.

    Components (voxels of one label that share a face) of fewer than `smallest_voxels` voxels become 0, the background.
    """
    out = labels.copy()
    for index, box in enumerate(find_objects(labels), start=1):
        if box is None:
            continue
        components, _ = label(labels[box] == index)
        small = np.bincount(components.reshape(-1)) < smallest_voxels
        small[0] = False  # voxels of other labels
        out[box][small[components]] = 0
    return out, int(np.count_nonzero(labels != out))
