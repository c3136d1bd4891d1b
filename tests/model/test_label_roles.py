"""Which labels are the lesion, the brain around it, and shown at first."""

from __future__ import annotations

import numpy as np
import pytest

from meshnet.model.label_roles import context_indices, lesion_indices, mask_of, only, shown_indices, shows_brain
from meshnet.model.spec import LabelRole, make_labels
from tests.helpers.export_models import small_model


@pytest.mark.parametrize(
    ("task", "roles", "lesion", "context", "shown"),
    [
        ("brain tissue and stroke lesion", (None, "context", "context", "lesion"), (3,), (1, 2), (3,)),
        ("two lesions", (None, "lesion", "context", "lesion"), (1, 3), (2,), (1, 3)),
        ("stroke lesion", (None, None), (1,), (), (1,)),
        ("stroke Lesion, two kinds", (None, None, None), (1, 2), (), (1, 2)),
        ("tissue", (None, None, None), (), (), (1, 2)),
        ("hippocampus", (None, None, "context"), (), (2,), (1,)),
    ],
)
def test_labels_are_found_by_their_roles(
    task: str, roles: tuple[LabelRole | None, ...], lesion: tuple[int, ...], context: tuple[int, ...], shown: object
) -> None:
    labels = make_labels([f"label {i}" for i in range(len(roles))], roles)
    spec = small_model(classes=len(roles))[0].model_copy(update={"task": task, "labels": labels})
    assert lesion_indices(spec) == lesion
    assert context_indices(spec) == context
    assert shown_indices(spec) == shown


def test_a_model_from_before_roles_is_known_by_the_name_of_its_lesion() -> None:
    labels = make_labels(["background", "grey", "old lesion", "New Lesion"])
    spec = small_model(classes=4)[0].model_copy(update={"task": "tissue and lesion", "labels": labels})
    assert lesion_indices(spec) == (2, 3)
    assert not shows_brain(spec), "without roles nothing says that grey is the brain"
    assert lesion_indices(spec.model_copy(update={"task": "tissue"})) == ()


def test_labels_are_masked_and_kept_by_their_indices() -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    assert mask_of(labels, (1, 255)).tolist() == [[False, True], [False, True]]
    assert only(labels, (2,)).tolist() == [[0, 0], [2, 0]]
    assert not mask_of(labels, ()).any()
