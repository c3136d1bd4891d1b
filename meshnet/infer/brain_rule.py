"""The brain rule: a lesion component that lies mostly outside the brain is set to background.

Models with `context` labels know the brain around a lesion, so that "lesion" in an eye or in the scalp can be told from
a lesion of the brain. `static/src/volume/brain-rule.ts` applies the same rule, voxel by voxel.

A component is a set of lesion voxels joined by faces, as in the page's list of pieces. Its surroundings are the voxels
within `REACH` voxels of it along each axis that are not lesion. It is dropped when fewer than a third of them are
context. Lesion voxels replace the tissue they lie in, so that only the surroundings show where a component lies. Half
would be too strict: a lesion that reaches the brain's surface has background on one side, a large one on nearly half of
it (docs/lab/own-models.md has the measurement).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.model.label_roles import context_indices, lesion_indices, mask_of, shows_brain
from meshnet.model.spec import ModelSpec

#: Largest distance along each axis, in voxels of the model's grid, from a component to its surroundings.
REACH = 2


def without_lesions_outside_brain(labels: NDArray[np.uint8], spec: ModelSpec) -> tuple[NDArray[np.uint8], int]:
    """Labels uint8 [i, j, k] on the model's grid, without the lesion components that lie mostly outside the brain.

    Also returns the number of voxels that were set to background. Labels of a model without the rule come back as they
    are.
    """
    if not shows_brain(spec):
        return labels, 0
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
