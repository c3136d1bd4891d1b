"""The device memory of a training step: a lower bound, and whether activations have to be recomputed."""

from __future__ import annotations

import os
from dataclasses import replace

import torch

from meshnet.train.config import TrainConfig
from meshnet.train.fabric import precision_of

#: Share of the device's memory that the activations of a MeshNet may take before they are recomputed.
_SHARE = 0.7

#: Voxels from which a baseline recomputes activations by default: its need is not known beforehand.
_LARGE = 128**3


def bytes_needed(config: TrainConfig, shape: tuple[int, ...]) -> int:
    """Lower bound in bytes on the device memory of one training step of MeshNet on a volume of `shape` voxels.

    Counted are the activations kept for the backward pass: with recomputation the inputs of all layers and the
    activations of one layer, else (`trainer.checkpoint_activations` is false) four tensors per layer; 2 bytes per value
    in half precision. A batch of several volumes needs that much for each.
    """
    m = config.model
    voxels = shape[0] * shape[1] * shape[2] * config.trainer.batch_size
    layers = len(m.dilations)
    kept = 4 * layers if config.trainer.checkpoint_activations is False else layers + 5
    width = 4 if config.trainer.precision == "32-true" else 2
    return voxels * (m.channels * kept * width + 2 * 4 * len(config.data.labels))


def recomputes(config: TrainConfig, shape: tuple[int, ...], device: torch.device) -> bool:
    """Whether a step recomputes activations: as `trainer.checkpoint_activations` says, else where memory asks for it.

    Memory asks where a MeshNet that keeps all activations would need more than 70 % of the device. A baseline
    recomputes on volumes of 128³ voxels and more.
    """
    if config.trainer.checkpoint_activations is not None:
        return config.trainer.checkpoint_activations
    if config.model.kind != "meshnet":
        return shape[0] * shape[1] * shape[2] >= _LARGE
    precision = precision_of(config.trainer) if device.type == "cpu" else config.trainer.precision
    keeping = replace(config, trainer=replace(config.trainer, checkpoint_activations=False, precision=precision))
    return bytes_needed(keeping, shape) > _SHARE * _device_bytes(device)


def _device_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(config: TrainConfig, shape: tuple[int, ...], device: torch.device) -> None:
    """Raise MemoryError, with the bytes needed, where the GPU can't hold one step."""
    if device.type != "cuda" or config.model.kind != "meshnet":
        return
    needed, total = bytes_needed(config, shape), torch.cuda.get_device_properties(device).total_memory
    if needed > total:
        raise MemoryError(
            f"{torch.cuda.get_device_name(device)} has {total:,} bytes, one step on {shape} needs at least {needed:,}; "
            f"use trainer.checkpoint_activations=true, fewer model.channels, or a larger GPU"
        )
