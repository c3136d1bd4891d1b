"""The largest piece of all that is labelled: the brain rule of models of one brain.

Pieces of the face and the neck go, also where a thin bridge joins them to the brain: on a real T1w head the mask of
`brain` reached into the neck through one (docs/lab/own-models.md). So pieces are told apart after `THIN` steps of
erosion, and the largest one grows back by as many steps within the labels.
`static/src/volume/largest-piece.ts` does the same, voxel by voxel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Steps of erosion, from face to face: bridges of up to 4 voxels are cut.
THIN = 2


def largest_piece(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Labels uint8 [i, j, k] of the largest piece, and the number of voxels that were set to background.

    Of equal pieces the first in the file's order (i fastest) is kept; where erosion leaves nothing, the largest
    component as it is.
    """
    boxes = ndimage.find_objects((labels > 0).view(np.uint8))
    if not boxes:
        return labels, 0
    # A voxel around them where the volume has one, so that erosion meets background.
    box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in boxes[0])
    labelled = labels[box].T > 0
    core = ndimage.binary_erosion(labelled, iterations=THIN, border_value=1)
    thin = THIN if core.any() else 0
    components, _ = ndimage.label(core if thin else labelled)
    kept = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    for _ in range(thin):
        kept = ndimage.binary_dilation(kept, mask=labelled)
    dropped = int(np.count_nonzero(labelled) - np.count_nonzero(kept))
    if dropped == 0:
        return labels, 0
    result = np.zeros_like(labels)
    result[box] = np.where(kept.T, labels[box], np.uint8(0))
    return result, dropped
