"""Losses of whole volumes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from meshnet.train.config import LossConfig
from meshnet.train.items import NOT_LESION


def segmentation_loss(logits: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """Scalar loss, float32: weighted cross-entropy with label smoothing, plus `config.dice` times the soft Dice loss.

    logits: [N, C, D, H, W]; labels: int64 [N, D, H, W], 0..C-1, or `NOT_LESION` (see `lesion_only_loss`).
    """
    logits = logits.float()
    if logits.shape[1] > 2 and bool((labels == NOT_LESION).any()):
        return lesion_only_loss(logits, labels, config)
    weight = torch.tensor(config.class_weights, device=logits.device)
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
