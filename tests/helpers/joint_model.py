"""A model with lesion and tissue labels, and label volumes as it could give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import ModelSpec, make_labels
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.train.networks import LABEL_ROLES, SPEC_TASKS
from tests.helpers.export_models import small_model

CSF, GREY, WHITE, LESION = 1, 2, 3, 4


def joint_spec() -> ModelSpec:
    """Five classes: background, csf, grey, white, lesion."""
    labels = make_labels(TARGET_LABELS["tissue-lesion"], LABEL_ROLES["tissue-lesion"])
    spec, _ = small_model(classes=len(labels))
    return spec.model_copy(update={"labels": labels, "task": SPEC_TASKS["tissue-lesion"]})


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """Mask of the voxels at most `radius` voxels from `centre`."""
    i, j, k = np.indices(shape)
    return np.asarray((i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 <= radius**2)


def brain_with_lesions(
    shape: tuple[int, int, int], *lesions: tuple[tuple[float, float, float], float]
) -> NDArray[np.uint8]:
    """A brain (two thirds of the volume wide) of white matter, grey matter and a ventricle, with balls of lesion."""
    middle = (shape[0] / 2, shape[1] / 2, shape[2] / 2)
    labels = np.zeros(shape, np.uint8)
    for size, label in ((1 / 3, GREY), (0.27, WHITE), (0.08, CSF)):
        labels[ball(shape, middle, size * min(shape))] = label
    for centre, radius in lesions:
        labels[ball(shape, centre, radius)] = LESION
    return labels
