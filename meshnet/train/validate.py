"""Validation during training."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from meshnet.train.items import Source, as_tensors


@torch.inference_mode()
def validate(fabric: Fabric, model: nn.Module, source: Source) -> float | None:
    """Mean Dice over all validation subjects and the foreground classes present in each; None without subjects.

    model: logits [1, C, D, H, W] of an image [1, 1, D, H, W].
    """
    model.eval()
    scores: list[float] = []
    for index in range(source.validation_count()):
        item = source.validation_item(index)
        image, labels = (t.to(fabric.device) for t in as_tensors(item))
        with fabric.autocast():  # the averaged weights of trainer.ema_decay are in no wrapper of Fabric
            logits = model(image[None])[0]
        scores.extend(_foreground_dice(logits.argmax(dim=0), labels, len(logits), item.lesion_only))
    return sum(scores) / len(scores) if scores else None


def _foreground_dice(predicted: Tensor, labels: Tensor, classes: int, lesion_only: bool) -> Iterator[float]:
    """Dice of every foreground class that `labels` contains; integers [D, H, W]. Of a volume where only the lesion
    is marked, Dice of the lesion, the last class."""
    for index in range(classes - 1 if lesion_only else 1, classes):
        p, t = predicted == index, labels == index
        if t.any():
            yield float(2 * (p & t).sum() / (p.sum() + t.sum()))
