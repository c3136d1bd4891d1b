"""The loss of a volume against values worked out by hand.

The logits are logarithms, so that the probabilities are round numbers: (ln 3, 0) is (0.75, 0.25).
"""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from meshnet.train.config import LossConfig
from meshnet.train.items import NOT_LESION
from meshnet.train.losses import batch_loss, segmentation_loss, soft_dice_loss


def volume(*voxels: tuple[float, ...]) -> Tensor:
    """Logits [1, C, 1, 1, voxels] whose probabilities are the given ones."""
    return torch.tensor(voxels).log().T.reshape(1, -1, 1, 1, len(voxels))


def labels(*values: int) -> Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def config(**changes: Any) -> LossConfig:
    """Cross-entropy without smoothing and with equal weights, but for `changes`."""
    return LossConfig(**{"class_weights": [1.0, 1.0], "label_smoothing": 0.0, "dice": 0.0, **changes})


#: Three voxels and their labels: right with 0.75, undecided, right with 0.9.
LOGITS = volume((0.75, 0.25), (0.5, 0.5), (0.1, 0.9))
LABELS = labels(0, 1, 1)


def test_cross_entropy_is_the_mean_of_minus_the_logarithm_of_the_right_probability() -> None:
    wanted = -(log(0.75) + log(0.5) + log(0.9)) / 3
    assert segmentation_loss(LOGITS, LABELS, config()).item() == pytest.approx(wanted, rel=1e-6)
    assert wanted == pytest.approx(0.362063, abs=1e-6)


def test_class_weights_weigh_each_voxel_by_its_label_and_divide_by_their_sum() -> None:
    wanted = -(0.5 * log(0.75) + log(0.5) + log(0.9)) / (0.5 + 1 + 1)
    got = segmentation_loss(LOGITS, LABELS, config(class_weights=[0.5, 1.0]))
    assert got.item() == pytest.approx(wanted, rel=1e-6)
    assert wanted == pytest.approx(0.376939, abs=1e-6)


def test_label_smoothing_gives_every_class_an_equal_part_of_a_hundredth() -> None:
    """The smoothed part is weighted by each class's weight; both parts are divided by the labels' weights."""
    right = -(0.5 * log(0.75) + log(0.5) + log(0.9)) / 2.5
    every = -(0.5 * log(0.75) + log(0.25) + 0.5 * log(0.5) + log(0.5) + 0.5 * log(0.1) + log(0.9)) / 2.5
    got = segmentation_loss(LOGITS, LABELS, config(class_weights=[0.5, 1.0], label_smoothing=0.01))
    assert got.item() == pytest.approx(0.99 * right + 0.01 / 2 * every, rel=1e-6)
    assert got.item() == pytest.approx(0.380823, abs=1e-6)


def test_a_volume_of_background_alone_has_the_loss_of_unweighted_background() -> None:
    """The weight of the background cancels where there is no other label."""
    got = segmentation_loss(LOGITS, labels(0, 0, 0), config(class_weights=[0.5, 1.0]))
    assert got.item() == pytest.approx(-(log(0.75) + log(0.5) + log(0.1)) / 3, rel=1e-6)


def test_soft_dice_counts_the_foreground_classes_alone() -> None:
    # sum of p·t: 0.5 + 0.9; sum of p: 0.25 + 0.5 + 0.9; sum of t: 2
    wanted = 1 - 2 * 1.4 / (1.65 + 2)
    assert soft_dice_loss(LOGITS, LABELS, offset_voxels=0).item() == pytest.approx(wanted, rel=1e-6)
    assert soft_dice_loss(LOGITS, LABELS, offset_voxels=3).item() == pytest.approx(1 - 5.8 / 6.65, rel=1e-6)


def test_soft_dice_is_the_mean_over_several_foreground_classes() -> None:
    logits, truth = volume((0.2, 0.5, 0.3), (0.1, 0.1, 0.8)), labels(1, 2)
    first = 1 - 2 * 0.5 / (0.5 + 0.1 + 1)
    second = 1 - 2 * 0.8 / (0.3 + 0.8 + 1)
    assert soft_dice_loss(logits, truth, offset_voxels=0).item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_soft_dice_of_a_volume_of_background_alone_depends_on_the_offset() -> None:
    # sum of p: 1.65; without an offset a class that is absent has the largest loss
    background = labels(0, 0, 0)
    assert soft_dice_loss(LOGITS, background, offset_voxels=0).item() == pytest.approx(1)
    assert soft_dice_loss(LOGITS, background, offset_voxels=100).item() == pytest.approx(1.65 / 101.65, rel=1e-5)


def test_the_dice_part_is_added_with_its_factor() -> None:
    both = segmentation_loss(LOGITS, LABELS, config(dice=0.5, dice_offset_voxels=3.0)).item()
    wanted = -(log(0.75) + log(0.5) + log(0.9)) / 3 + 0.5 * (1 - 5.8 / 6.65)
    assert both == pytest.approx(wanted, rel=1e-6)


def test_half_precision_logits_give_a_float32_loss_with_a_gradient() -> None:
    logits = LOGITS.half().requires_grad_()
    loss = segmentation_loss(logits, LABELS, config(dice=1.0))
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad is not None
    # Cross-entropy and Dice both ask for more lesion where the label says lesion.
    assert logits.grad[0, 1, 0, 0, 1] < 0


def lesion_only(logits: Tensor, settings: LossConfig) -> Tensor:
    """The loss of two voxels, the second of which is marked as lesion, class 2."""
    return segmentation_loss(logits, labels(NOT_LESION, 2), settings, lesion_only=True)


def test_a_voxel_that_is_no_lesion_may_be_any_tissue() -> None:
    """Three classes: the last is the lesion. Voxel 1: not a lesion, 1 - 0.2; voxel 2: a lesion, 0.6."""
    logits = volume((0.3, 0.5, 0.2), (0.3, 0.1, 0.6))
    got = lesion_only(logits, config(class_weights=[1.0, 1.0, 2.0]))
    assert got.item() == pytest.approx(-(log(0.8) + 2 * log(0.6)) / 3, rel=1e-6)
    swapped = lesion_only(volume((0.5, 0.3, 0.2), (0.1, 0.3, 0.6)), config(class_weights=[1.0, 1.0, 2.0]))
    assert swapped.item() == pytest.approx(got.item(), rel=1e-6), "how the rest is split makes no difference"


def test_soft_dice_of_a_volume_with_lesions_only_is_that_of_the_lesion() -> None:
    logits = volume((0.3, 0.5, 0.2), (0.3, 0.1, 0.6))
    plain = config(class_weights=[1.0, 1.0, 1.0])
    with_dice = config(class_weights=[1.0, 1.0, 1.0], dice=1.0, dice_offset_voxels=0.0)
    part = lesion_only(logits, with_dice) - lesion_only(logits, plain)
    assert part.item() == pytest.approx(1 - 2 * 0.6 / (0.8 + 1), rel=1e-5)


def test_the_gradient_of_a_batch_is_the_mean_of_its_volumes_gradients() -> None:
    """One volume with all labels and another that marks the lesion only, of different weight."""
    settings = config(class_weights=[0.5, 1.0, 2.0], label_smoothing=0.01, dice=1.0, dice_offset_voxels=1.0)
    network = torch.nn.Conv3d(1, 3, 1)
    images = torch.rand(2, 1, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.cat([labels(0, 1, 2, 2), labels(NOT_LESION, NOT_LESION, NOT_LESION, 2)])
    separate = [
        gradient(network, segmentation_loss(network(images[i : i + 1]), truth[i : i + 1], settings, lesion_only=i == 1))
        for i in range(2)
    ]
    together = gradient(network, batch_loss(network(images), truth, settings, (False, True)))
    torch.testing.assert_close(together, (separate[0] + separate[1]) / 2)
    assert not torch.allclose(separate[0], separate[1], rtol=0.1)


def gradient(network: torch.nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])
