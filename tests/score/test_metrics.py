"""Scores against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meshnet.score.metrics import Mask, avd, dice, dice_macro, hd95_mm, lesion_f1, lesion_scores, mcc, volume_error_ml


def box(*ranges: tuple[int, int]) -> Mask:
    mask = np.zeros((12, 13, 11), bool)
    mask[tuple(slice(a, b) for a, b in ranges)] = True
    return mask


EMPTY = np.zeros((12, 13, 11), bool)
TRUE = box((2, 6), (2, 6), (2, 6))  # 64 voxels
SHIFTED = box((3, 7), (2, 6), (2, 6))  # 48 of them shared


def test_dice_is_twice_the_overlap_over_the_sum() -> None:
    assert dice(SHIFTED, TRUE) == 2 * 48 / 128
    assert dice(EMPTY, EMPTY) == 1.0
    assert dice(EMPTY, TRUE) == 0.0


def test_the_papers_dice_averages_background_and_lesion() -> None:
    background = 2 * (EMPTY.size - 80) / (2 * EMPTY.size - 128)
    assert dice_macro(SHIFTED, TRUE) == pytest.approx((0.75 + background) / 2)


def test_avd_is_relative_to_the_true_volume() -> None:
    assert avd(box((2, 6), (2, 6), (2, 4)), TRUE) == 0.5
    assert avd(SHIFTED, TRUE) == 0.0
    assert math.isnan(avd(TRUE, EMPTY))


def test_mcc_equals_the_correlation_of_the_two_masks() -> None:
    expected = np.corrcoef(SHIFTED.ravel(), TRUE.ravel())[0, 1]
    assert mcc(SHIFTED, TRUE) == pytest.approx(expected)
    assert mcc(EMPTY, TRUE) == 0.0
    assert mcc(EMPTY, EMPTY) == 1.0


def test_hd95_is_in_mm_on_anisotropic_grids() -> None:
    far = box((2, 3), (2, 3), (2, 3)), box((2, 3), (2, 3), (7, 8))
    assert hd95_mm(*far, (1.0, 1.0, 2.5)) == 12.5
    assert hd95_mm(TRUE, TRUE, (0.9, 1.1, 3.0)) == 0.0
    assert hd95_mm(EMPTY, TRUE, (1.0, 1.0, 1.0)) == math.inf


def test_hd95_ignores_a_stray_voxel_in_twenty() -> None:
    stray = TRUE.copy()
    stray[11, 12, 10] = True
    assert hd95_mm(stray, TRUE, (1.0, 1.0, 1.0)) == 0.0


def test_lesion_f1_counts_components_not_voxels() -> None:
    true = box((1, 3), (1, 3), (1, 3)) | box((8, 10), (8, 10), (8, 10))
    predicted = box((2, 4), (2, 4), (2, 4)) | box((5, 6), (11, 12), (1, 2))
    assert lesion_f1(predicted, true) == 0.5
    assert lesion_f1(EMPTY, EMPTY) == 1.0
    assert lesion_f1(EMPTY, true) == 0.0


def test_volume_error_is_signed_and_in_ml() -> None:
    assert volume_error_ml(EMPTY, TRUE, (1.0, 2.0, 2.0)) == pytest.approx(-0.256)


def test_masks_on_different_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="one grid"):
        dice(TRUE, TRUE[:-1])


def test_all_scores_come_under_the_names_used_in_tables() -> None:
    assert set(lesion_scores(SHIFTED, TRUE)) == {
        "dice_lesion", "dice_macro", "avd", "mcc", "hd95_mm", "lesion_f1", "volume_error_ml",
    }  # fmt: skip
