"""Losses of whole volumes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from meshnet.train.config import LossConfig


def segmentation_loss(logits: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """Scalar loss, float32: weighted cross-entropy with label smoothing, plus `config.dice` times the soft Dice loss.

    logits: [N, C, D, H, W]; labels: int64 [N, D, H, W], 0..C-1.
    """
    logits = logits.float()
    weight = torch.tensor(config.class_weights, device=logits.device)
    loss = functional.cross_entropy(logits, labels, weight=weight, label_smoothing=config.label_smoothing)
    if config.dice:
        loss = loss + config.dice * soft_dice_loss(logits, labels, config.dice_offset_voxels)
    return loss


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
