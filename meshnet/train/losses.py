"""Losses of whole volumes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from meshnet.train.config import LossConfig


def segmentation_loss(logits: Tensor, labels: Tensor, config: LossConfig) -> Tensor:
    """Scalar loss of logits [N, C, D, H, W] against int64 labels [N, D, H, W]: weighted cross-entropy
    with label smoothing, plus `config.dice` times the soft Dice loss. Computed in float32."""
    logits = logits.float()
    weight = torch.tensor(config.class_weights, device=logits.device)
    loss = functional.cross_entropy(logits, labels, weight=weight, label_smoothing=config.label_smoothing)
    if config.dice:
        loss = loss + config.dice * soft_dice_loss(logits, labels, config.dice_offset_voxels)
    return loss


def soft_dice_loss(logits: Tensor, labels: Tensor, offset_voxels: float) -> Tensor:
    """1 - mean soft Dice (Milletari et al. 2016, linear denominator) over the foreground classes.

    The offset on both sides keeps classes that are absent from a patch from deciding it.
    """
    probability = logits.softmax(dim=1)
    losses = []
    for index in range(1, logits.shape[1]):
        p, t = probability[:, index], (labels == index).float()
        losses.append(1 - (2 * (p * t).sum() + offset_voxels) / (p.sum() + t.sum() + offset_voxels))
    return torch.stack(losses).mean()
