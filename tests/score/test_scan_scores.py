"""Scores of one scan against values worked out by hand, on tilted and anisotropic grids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from meshnet.cohort.bids import CohortError
from meshnet.score.metrics import LesionMatch, Mask, f1_of, match_lesions, mean_surface_distance_mm
from meshnet.score.scan_scores import ScanScore, lesion_values, onto_grid, own_brain, read_scan_score, write_scan_score
from tests.helpers.scan_files import affine_of

#: Voxels of 1 x 2 x 3 mm, tilted, flipped.
TILTED = affine_of(axes="LAS", rotation_deg=(12, -7, 31), voxel_size_mm=(1.0, 2.0, 3.0))
SHAPE = (14, 13, 12)


def box(*ranges: tuple[int, int], shape: tuple[int, ...] = SHAPE) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in ranges)] = True
    return mask


def test_distances_and_volumes_use_the_voxel_size_of_a_tilted_grid() -> None:
    true = box((2, 3), (2, 3), (2, 3))
    predicted = box((2, 3), (2, 3), (6, 7))  # four voxels of 3 mm away
    values, lesion_ml, found = lesion_values(predicted, true, TILTED)
    assert values["hd95_mm"] == pytest.approx(12)
    assert values["msd_mm"] == pytest.approx(12)
    assert values["dice_lesion"] == 0
    assert values["volume_error_ml"] == pytest.approx(0)
    assert lesion_ml == pytest.approx([0.006])
    assert found == [False]


def test_the_mean_surface_distance_averages_over_both_surfaces() -> None:
    one = box((2, 3), (2, 3), (2, 3))
    two = one | box((5, 6), (2, 3), (2, 3))  # 3 mm along i
    assert mean_surface_distance_mm(one, two, (1.0, 2.0, 3.0)) == pytest.approx((0 + 0 + 3) / 3)
    assert mean_surface_distance_mm(~two & two, one, (1.0, 2.0, 3.0)) == math.inf
    assert mean_surface_distance_mm(~two & two, ~two & two, (1.0, 2.0, 3.0)) == 0


def test_nothing_marked_counts_with_the_diagonal_of_the_image() -> None:
    true = box((2, 4), (2, 4), (2, 4))
    values, _, found = lesion_values(np.zeros(SHAPE, bool), true, TILTED)
    diagonal = math.hypot(1.0 * 13, 2.0 * 12, 3.0 * 11)
    assert values["hd95_mm"] == pytest.approx(diagonal)
    assert values["msd_mm"] == pytest.approx(diagonal)
    assert values["volume_error_percent"] == pytest.approx(-100)
    assert values["lesion_sensitivity"] == 0
    assert found == [False]


def test_lesions_that_meet_are_found_and_the_others_are_false() -> None:
    true = box((1, 3), (1, 3), (1, 3)) | box((8, 12), (8, 12), (8, 11))
    predicted = box((2, 4), (2, 4), (2, 4)) | box((1, 2), (10, 12), (1, 2)) | box((12, 14), (1, 3), (9, 12))
    match = match_lesions(predicted, true)
    assert match == LesionMatch((8, 48), (True, False), 1, 2)
    assert f1_of(match) == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    values, lesion_ml, found = lesion_values(predicted, true, TILTED)
    assert values["lesion_sensitivity"] == 0.5
    assert values["false_lesions"] == 2
    assert lesion_ml == pytest.approx([0.048, 0.288])
    assert found == [True, False]


def test_a_scan_without_lesion_has_marked_volume_and_no_overlap() -> None:
    predicted = box((1, 3), (1, 3), (1, 3))
    values, lesion_ml, found = lesion_values(predicted, np.zeros(SHAPE, bool), TILTED, np.zeros(SHAPE, bool))
    assert math.isnan(values["dice_lesion"])
    assert math.isnan(values["volume_error_percent"])
    assert values["false_lesions"] == 1
    assert values["outside_ml"] == values["outside_far_ml"] == pytest.approx(0.048)
    assert (lesion_ml, found) == ([], [])


def test_volume_outside_the_brain_is_counted_near_and_far() -> None:
    brain = box((0, 5), (0, 13), (0, 12))
    predicted = box((4, 12), (3, 4), (3, 4))  # voxels of 1 mm along i: 4 inside, 5 to 11 outside
    true = box((5, 6), (3, 4), (3, 4))  # counts as brain, though the mask leaves it out
    values, _, _ = lesion_values(predicted, true, TILTED, brain)
    assert values["outside_ml"] == pytest.approx(6 * 0.006)
    assert values["outside_far_ml"] == pytest.approx(1 * 0.006)  # voxel 11 is 6 mm from voxel 5
    without, _, _ = lesion_values(predicted, true, TILTED)
    assert math.isnan(without["outside_ml"])


def test_the_own_brain_of_a_model_leaves_out_what_lies_apart() -> None:
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:6, 1:6, 1:6] = 1
    labels[3, 3, 3] = 0  # a hole in the brain
    labels[2:4, 5:7, 2:4] = 2  # a lesion at its surface
    labels[8, 8, 8] = 2  # an eye
    brain = own_brain(labels)
    assert brain[3, 3, 3]
    assert brain[2, 6, 2]
    assert not brain[8, 8, 8]
    assert not own_brain(np.zeros((3, 3, 3), np.uint8)).any()


def test_a_mask_is_brought_to_another_grid_through_the_affines() -> None:
    mask = box((3, 7), (2, 6), (4, 8), shape=(12, 12, 12))
    affine = affine_of(voxel_size_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    flipped = affine.copy()
    flipped[:3, 0] *= -1
    flipped[:3, 3] += affine[:3, 0] * 11
    there = onto_grid(mask, affine, flipped, (12, 12, 12), name="x.nii.gz")
    np.testing.assert_array_equal(there, mask[::-1])
    finer = np.diag([0.5, 1.0, 1.0, 1.0])
    assert onto_grid(mask, affine, finer, (24, 12, 12), name="x.nii.gz").sum() == 2 * mask.sum()


def test_labels_in_another_space_are_refused() -> None:
    elsewhere = affine_of(origin_mm=(400.0, 0.0, 0.0))
    with pytest.raises(CohortError, match=r"x\.nii\.gz: its field of view doesn't meet that of the reference"):
        onto_grid(box((1, 2), (1, 2), (1, 2)), elsewhere, affine_of(), SHAPE, name="x.nii.gz")


def test_a_kept_score_comes_back_and_one_of_other_files_does_not(tmp_path: Path) -> None:
    path = tmp_path / "model" / "scan.json"
    score = ScanScore("m", "s", "p", 1.5, 2.0, {"dice_lesion": 0.5, "outside_ml": math.nan}, (1.5,), (True,), {"a": 1})
    write_scan_score(path, score)
    kept = read_scan_score(path, {"a": 1})
    assert kept is not None
    assert math.isnan(kept.values["outside_ml"])
    assert (kept.lesion_ml, kept.found, kept.values["dice_lesion"]) == ((1.5,), (True,), 0.5)
    assert read_scan_score(path, {"a": 2}) is None
    path.write_text("{")
    assert read_scan_score(path, {"a": 1}) is None
    assert read_scan_score(tmp_path / "none.json", {}) is None
