"""The brain rule: what a model marks outside the brain is set to background. Its form depends on the model.

`static/src/volume/brain-rule.ts` applies the same rule, voxel by voxel.

**Lesions.** A lesion component that lies mostly outside the brain goes. Models with `context` labels know the brain
around a lesion, so that "lesion" in an eye or in the scalp can be told from a lesion of the brain.

A component is a set of lesion voxels joined by faces, as in the page's list of pieces. Its surroundings are the voxels
within `REACH` voxels of it along each axis that are not lesion. It is dropped when fewer than a third of them are
context. Lesion voxels replace the tissue they lie in, so that only the surroundings show where a component lies. Half
would be too strict: a lesion that reaches the brain's surface has background on one side, a large one on nearly half of
it (docs/lab/own-models.md has the measurement).

**Pieces.** A model whose `pieces` are "largest" marks one brain: only the largest piece of all that it labels is kept
(`meshnet.infer.largest_piece`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.infer.largest_piece import largest_piece
from meshnet.model.label_roles import context_indices, lesion_indices, mask_of, shows_brain
from meshnet.model.spec import ModelSpec

#: Largest distance along each axis, in voxels of the model's grid, from a component to its surroundings.
REACH = 2


def without_parts_outside_brain(labels: NDArray[np.uint8], spec: ModelSpec) -> tuple[NDArray[np.uint8], int]:
    """Labels uint8 [i, j, k] on the model's grid, without what lies outside the brain by the rule of this model.

    Also returns the number of voxels that were set to background. Labels of a model without the rule come back as they
    are.
    """
    if spec.pieces == "largest":
        return largest_piece(labels)
    return _without_lesions_outside(labels, spec) if shows_brain(spec) else (labels, 0)


def _without_lesions_outside(labels: NDArray[np.uint8], spec: ModelSpec) -> tuple[NDArray[np.uint8], int]:
    lesion, context = mask_of(labels, lesion_indices(spec)), mask_of(labels, context_indices(spec))
    components, _ = ndimage.label(lesion)
    kept = labels.copy()
    dropped = 0
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        around = tuple(slice(max(0, side.start - REACH), side.stop + REACH) for side in box)
        component = components[around] == number
        near = ndimage.maximum_filter(component, size=2 * REACH + 1, mode="constant", cval=0)
        surroundings = near & ~lesion[around]
        if 3 * np.count_nonzero(surroundings & context[around]) < np.count_nonzero(surroundings):
            kept[around][component] = 0
            dropped += int(np.count_nonzero(component))
    return kept, dropped
