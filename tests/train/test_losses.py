"""Both losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from meshnet.train.config import LossConfig
from meshnet.train.losses import segmentation_loss, soft_dice_loss


def two_voxels() -> tuple[Tensor, Tensor]:
    """Logits of a background voxel called lesion with probability 1/4, and of a lesion voxel called so with 2/3."""
    of_lesion = torch.tensor([math.log(1 / 3), math.log(2)])
    logits = torch.stack([torch.zeros(2), of_lesion]).reshape(1, 2, 1, 1, 2)
    return logits, torch.tensor([0, 1]).reshape(1, 1, 1, 2)


def test_the_cross_entropy_is_the_mean_weighted_by_class() -> None:
    config = LossConfig(label_smoothing=0.0, class_weights=[0.5, 1.0])
    expected = (0.5 * -math.log(3 / 4) + 1.0 * -math.log(2 / 3)) / (0.5 + 1.0)
    assert float(segmentation_loss(*two_voxels(), config)) == pytest.approx(expected)


def test_label_smoothing_moves_a_hundredth_to_both_classes_alike() -> None:
    config = LossConfig(label_smoothing=0.01, class_weights=[0.5, 1.0])
    plain = 0.5 * -math.log(3 / 4) + 1.0 * -math.log(2 / 3)
    uniform = sum(0.5 * -math.log(b) + 1.0 * -math.log(s) for b, s in ((3 / 4, 1 / 4), (1 / 3, 2 / 3)))
    expected = (0.99 * plain + 0.01 / 2 * uniform) / (0.5 + 1.0)
    assert float(segmentation_loss(*two_voxels(), config)) == pytest.approx(expected)


def test_soft_dice_is_over_the_lesion_with_its_offset() -> None:
    p, lesion = 1 / 4 + 2 / 3, 1.0
    assert float(soft_dice_loss(*two_voxels(), 0.0)) == pytest.approx(1 - 2 * (2 / 3) / (p + lesion))
    assert float(soft_dice_loss(*two_voxels(), 8.0)) == pytest.approx(1 - (2 * (2 / 3) + 8) / (p + lesion + 8))


def test_the_dice_weight_adds_soft_dice_to_the_cross_entropy() -> None:
    plain = LossConfig(dice=0.0, dice_offset_voxels=8.0)
    both = LossConfig(dice=3.0, dice_offset_voxels=8.0)
    added = float(segmentation_loss(*two_voxels(), both)) - float(segmentation_loss(*two_voxels(), plain))
    assert added == pytest.approx(3 * float(soft_dice_loss(*two_voxels(), 8.0)), rel=1e-5)
