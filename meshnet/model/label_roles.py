"""Which labels of a model are the lesion, which are the brain around it, and which are shown and saved.

`static/src/volume/label-roles.ts` has the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import ModelSpec


def lesion_indices(spec: ModelSpec) -> tuple[int, ...]:
    """Indices of the labels that are a lesion; empty for a model of anything else.

    They have the role `lesion`. A model without roles whose task names a lesion: its labels with that word in their
    name, else every label but background.
    """
    with_role = tuple(label.index for label in spec.labels if label.role == "lesion")
    if any(label.role for label in spec.labels) or "lesion" not in spec.task.lower():
        return with_role
    foreground = [label for label in spec.labels if label.index > 0]
    named = [label for label in foreground if "lesion" in label.name.lower()]
    return tuple(label.index for label in named or foreground)


def context_indices(spec: ModelSpec) -> tuple[int, ...]:
    """Indices of the labels with the role `context`: tissue and fluid of the brain, without the lesion."""
    return tuple(label.index for label in spec.labels if label.role == "context")


def shows_brain(spec: ModelSpec) -> bool:
    """Whether the model has both lesion and context labels, so that they show the brain around the lesion."""
    return bool(lesion_indices(spec) and context_indices(spec))


def shown_indices(spec: ModelSpec) -> tuple[int, ...]:
    """Indices of the labels that the page shows at first and that are saved by default: all but background and
    context."""
    return tuple(label.index for label in spec.labels if label.index > 0 and label.role != "context")


def mask_of(labels: NDArray[np.uint8], indices: Iterable[int]) -> NDArray[np.bool_]:
    """Mask of the voxels that have one of these labels; `labels` of any shape."""
    chosen = np.zeros(256, bool)
    chosen[list(indices)] = True
    return chosen[labels]


def only(labels: NDArray[np.uint8], indices: Sequence[int]) -> NDArray[np.uint8]:
    """`labels` with every other label set to background."""
    kept = np.zeros(256, np.uint8)
    kept[list(indices)] = list(indices)
    return kept[labels]


def saved_labels(labels: NDArray[np.uint8], spec: ModelSpec, *, all_labels: bool) -> NDArray[np.uint8]:
    """The labels that are written to a file: without the context, unless `all_labels` is set."""
    return labels if all_labels or not context_indices(spec) else only(labels, shown_indices(spec))
