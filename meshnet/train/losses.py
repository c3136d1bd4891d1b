"""Losses of whole volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from meshnet.train.config import LossConfig


def batch_loss(logits: Tensor, labels: Tensor, config: LossConfig, lesion_only: Sequence[bool]) -> Tensor:
    """The mean of `segmentation_loss` over the N volumes of a batch, a scalar.

    Each volume counts the same, whatever its labels weigh. lesion_only: per volume, as of `Item`.
    """
    losses = [
        segmentation_loss(logits[i : i + 1], labels[i : i + 1], config, lesion_only=only)
        for i, only in enumerate(lesion_only)
    ]
    return torch.stack(losses).mean()


def segmentation_loss(logits: Tensor, labels: Tensor, config: LossConfig, *, lesion_only: bool = False) -> Tensor:
    """Scalar loss, float32: weighted cross-entropy with label smoothing, plus `config.dice` times the soft Dice loss.

    logits: [N, C, D, H, W]; labels: int64 [N, D, H, W], 0..C-1. lesion_only: the labels are `NOT_LESION` outside the
    lesion (see `lesion_only_loss`). The labels themselves are not searched for it: the CPU would wait for the GPU.
    """
    logits = logits.float()
    if lesion_only:
        return lesion_only_loss(logits, labels, config)
    weight = _class_weights(tuple(config.class_weights), logits.device)
    loss = functional.cross_entropy(logits, labels, weight=weight, label_smoothing=config.label_smoothing)
    if config.dice:
        loss = loss + config.dice * soft_dice_loss(logits, labels, config.dice_offset_voxels)
    return loss


def lesion_only_loss(logits: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """The loss of two classes, lesion and anything else, for a network that also learns tissue.

    The last class is the lesion; all other classes add up to one, so that a voxel labelled `NOT_LESION` may be any
    tissue (marginal loss, Shi et al. 2021, doi:10.1016/j.media.2021.101979). The weights are those of the background
    and of the lesion. Arguments and result as of `segmentation_loss`.
    """
    rest = logits[:, :-1].logsumexp(dim=1)
    two = torch.stack([rest, logits[:, -1]], dim=1)
    lesion = (labels == logits.shape[1] - 1).long()
    return segmentation_loss(
        two, lesion, replace(config, class_weights=[config.class_weights[0], config.class_weights[-1]])
    )


@cache
def _class_weights(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 [C] on the device; kept, because a copy in every step would make the CPU wait for the GPU."""
    return torch.tensor(weights, dtype=torch.float32, device=device)


def soft_dice_loss(logits: Tensor, labels: Tensor, offset_voxels: float) -> Tensor:
    """1 minus the mean soft Dice over the foreground classes (Milletari et al. 2016, with a linear denominator).

    offset_voxels is added to numerator and denominator, so that classes absent from a patch have little influence.
    """
    probability = logits.softmax(dim=1)
    losses = []
    for index in range(1, logits.shape[1]):
        p, t = probability[:, index], (labels == index).float()
        losses.append(1 - (2 * (p * t).sum() + offset_voxels) / (p.sum() + t.sum() + offset_voxels))
    return torch.stack(losses).mean()
