"""The brain rule: lesions that lie mostly outside the brain, and pieces apart from it, become background."""

from __future__ import annotations

import numpy as np
import pytest

from meshnet.infer.brain_rule import without_parts_outside_brain
from meshnet.model.label_roles import shows_brain
from meshnet.model.spec import ModelSpec, dump_spec
from tests.helpers.export_models import small_model
from tests.helpers.joint_model import GREY, LESION, brain_with_lesions, joint_spec

SHAPE = (44, 48, 52)
DEEP, EYE = ((22, 20, 30), 5), ((22, 5, 46), 4)


def test_a_lesion_in_the_brain_stays_and_one_outside_it_is_dropped() -> None:
    labels = brain_with_lesions(SHAPE, DEEP, EYE)
    kept, dropped = without_parts_outside_brain(labels, joint_spec())
    assert np.array_equal(kept, brain_with_lesions(SHAPE, DEEP))
    assert dropped == np.count_nonzero(labels != kept)
    assert np.array_equal(labels, brain_with_lesions(SHAPE, DEEP, EYE)), "the input is left as it was"


def test_a_lesion_beside_the_ventricle_stays_although_fluid_surrounds_half_of_it() -> None:
    labels = brain_with_lesions(SHAPE, ((22, 28, 26), 2))
    assert without_parts_outside_brain(labels, joint_spec())[1] == 0


@pytest.mark.parametrize(("plane", "dropped"), [(10, 0), (11, 1)])
def test_a_voxel_beside_the_brain_stays_and_one_farther_off_is_dropped(plane: int, dropped: int) -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:10] = GREY
    labels[plane, 10, 10] = LESION
    assert without_parts_outside_brain(labels, joint_spec())[1] == dropped


@pytest.mark.parametrize(("in_brain", "dropped"), [(14, 0), (13, 3)])
def test_a_third_of_the_surroundings_in_the_brain_is_enough(in_brain: int, dropped: int) -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[:3, 0, 0] = LESION
    around = np.argwhere(labels[:5, :3, :3] != LESION)  # 42 voxels
    labels[tuple(around[:in_brain].T)] = GREY
    assert without_parts_outside_brain(labels, joint_spec())[1] == dropped


def test_a_component_is_judged_apart_from_one_that_it_touches_at_a_corner_only() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:10] = GREY
    labels[4:10, 8:12, 8:12] = LESION
    labels[10:16, 12:16, 12:16] = LESION
    kept, dropped = without_parts_outside_brain(labels, joint_spec())
    assert dropped == 6 * 4 * 4
    assert kept[:10].tolist() == labels[:10].tolist()


def test_voxels_beyond_the_volume_count_for_neither_side() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[:10] = GREY
    labels[:2, :2, :2] = labels[-2:, -2:, -2:] = LESION
    kept, dropped = without_parts_outside_brain(labels, joint_spec())
    assert (dropped, int((kept == LESION).sum())) == (8, 8)


def test_a_volume_that_is_all_lesion_or_has_none_is_left_as_it_is() -> None:
    for label in (LESION, GREY):
        assert without_parts_outside_brain(np.full((4, 4, 4), label, np.uint8), joint_spec())[1] == 0


def test_a_model_without_context_labels_has_no_brain_rule() -> None:
    spec = small_model(classes=2)[0].model_copy(update={"task": "stroke lesion"})
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4] = 1
    assert not shows_brain(spec)
    assert without_parts_outside_brain(labels, spec) == (labels, 0)


def one_brain_spec() -> ModelSpec:
    spec, _ = small_model(classes=3)
    return spec.model_copy(update={"task": "tissue", "pieces": "largest"})


def test_of_a_model_of_one_brain_the_largest_piece_stays_whatever_its_labels() -> None:
    brain = brain_with_lesions(SHAPE)
    labels = brain.copy()
    labels[1:4, 1:4, 1:4] = 2
    labels[40, 40, 45:50] = 1
    kept, dropped = without_parts_outside_brain(labels, one_brain_spec())
    assert np.array_equal(kept, brain)
    assert dropped == 27 + 5
    assert labels[2, 2, 2] == 2, "the input is left as it was"


@pytest.mark.parametrize(("width", "is_cut"), [(1, True), (4, True), (5, False)])
def test_a_piece_behind_a_thin_bridge_is_dropped_and_one_behind_a_thick_one_stays(width: int, is_cut: bool) -> None:
    labels = np.zeros((60, 30, 30), np.uint8)
    labels[2:32, 2:28, 2:28] = 1
    labels[45:58, 5:18, 5:18] = 1
    labels[32:45, 10 : 10 + width, 10 : 10 + width] = 1
    kept, dropped = without_parts_outside_brain(labels, one_brain_spec())
    assert bool(kept[50, 10, 10]) is not is_cut
    assert (dropped > 13**3) is is_cut
    assert kept[2:32, 4:26, 4:26].all(), "the brain's own surface stays"


def test_labels_at_the_volumes_border_are_not_worn_away_there() -> None:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[:6] = 1
    assert without_parts_outside_brain(labels, one_brain_spec())[1] == 0


def test_voxels_that_share_an_edge_alone_are_two_pieces() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1:3] = labels[2, 2, 1] = 1
    kept, dropped = without_parts_outside_brain(labels, one_brain_spec())
    assert dropped == 1
    assert kept[2, 2, 1] == 0


def test_of_equal_pieces_the_first_in_the_files_order_stays() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 2] = labels[3, 0, 0] = 1
    kept, _ = without_parts_outside_brain(labels, one_brain_spec())
    assert kept[3, 0, 0] == 1
    assert np.count_nonzero(kept) == 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_piece_or_none_is_left_as_it_is(label: int) -> None:
    labels = np.full((4, 4, 4), label, np.uint8)
    assert without_parts_outside_brain(labels, one_brain_spec()) == (labels, 0)


def test_a_model_without_the_field_keeps_every_piece() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, 2] = labels[3, 0, 0] = 1
    spec = one_brain_spec().model_copy(update={"pieces": None})
    assert without_parts_outside_brain(labels, spec) == (labels, 0)
    assert "pieces" not in dump_spec(spec)
    assert '"pieces": "largest"' in dump_spec(one_brain_spec())
