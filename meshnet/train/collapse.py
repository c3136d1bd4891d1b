"""Recognises a collapsed run: its loss never fell, or its network marks nothing."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch
from torch import nn

from meshnet.train.config import TrainConfig
from meshnet.train.items import Source, as_tensors

if TYPE_CHECKING:  # meshnet-evaluate reads collapsed runs; importing Fabric would more than double its start
    from lightning.fabric import Fabric

LOSS_NEVER_FELL = "loss never fell"
ALL_BACKGROUND = "all background"

#: Losses needed to judge their course.
_FEWEST = 20

#: Training items that the final network is tried on.
_TRIED = 4


def collapse_reason(
    fabric: Fabric, config: TrainConfig, network: nn.Module, source: Source, score: float | None
) -> str:
    """Why the finished run counts as collapsed, else empty.

    network: that the run saves, logits [1, C, D, H, W] of an image [1, 1, D, H, W]. score: validation Dice, None
    without validation. The losses of a run that starts from a model are not judged: it may begin at its lowest loss.
    """
    if not config.model.init_from and never_fell(logged_losses(Path(config.run) / "log.csv")):
        return LOSS_NEVER_FELL
    return "" if score or not marks_nothing(fabric, network, source) else ALL_BACKGROUND


def logged_losses(path: Path) -> list[float]:
    """The losses in `log.csv`, in the order of the steps."""
    with path.open(newline="") as file:
        return [float(line["loss"]) for line in csv.DictReader(file)]


def never_fell(losses: Sequence[float]) -> bool:
    """Whether the mean of the last fifth is not below that of the first fifth; false for fewer than 20 losses."""
    fifth = len(losses) // 5
    return len(losses) >= _FEWEST and mean(losses[-fifth:]) >= mean(losses[:fifth])


@torch.inference_mode()
def marks_nothing(fabric: Fabric, network: nn.Module, source: Source) -> bool:
    """Whether the network calls every voxel background in training items that have another label.

    False where none of the first items has one.
    """
    network.eval()
    tried = False
    for step in range(min(_TRIED, source.steps)):
        image, labels = as_tensors(source.item(step))
        if not labels.any():
            continue
        tried = True
        with fabric.autocast():
            predicted = network(image[None].to(fabric.device))[0].argmax(dim=0)
        if predicted.any():
            return False
    return tried
