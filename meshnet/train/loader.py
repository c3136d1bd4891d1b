"""The loader of training items: processes beside the training, and items loaded ahead."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from meshnet.train.config import DataConfig
from meshnet.train.items import Source, Steps

#: Most worker processes by default; each holds the data source.
_MOST_WORKERS = 16


#: image float32 [N, 1, D, H, W], labels uint8 [N, D, H, W], and `Item.lesion_only` of each volume.
Batch = tuple[Tensor, Tensor, tuple[bool, ...]]


def make_loader(
    source: Source, config: DataConfig, device: torch.device, start: int, stop: int, *, batch_size: int = 1
) -> DataLoader[tuple[Tensor, Tensor, bool]]:
    """The items `start` to `stop` of a source, in order; each value is a `Batch` of `batch_size` of them."""
    workers = worker_count(config, device)
    return DataLoader(
        Steps(source, start, stop),
        batch_size=batch_size,
        collate_fn=_collate,
        num_workers=workers,
        prefetch_factor=config.prefetch if workers else None,
        pin_memory=device.type == "cuda",
    )


def _collate(items: Sequence[tuple[Tensor, Tensor, bool]]) -> Batch:
    """One batch. The flags stay on the CPU, where the loss reads them."""
    images, labels, lesion_only = zip(*items, strict=True)
    return default_collate(list(images)), default_collate(list(labels)), lesion_only


def worker_count(config: DataConfig, device: torch.device) -> int:
    """Worker processes: `data.workers`; by default the cores less one where a GPU trains, else none.

    On a CPU, workers would take the cores that the network needs. Heads rendered on the GPU need none, and a forked
    process can't use CUDA.
    """
    if config.workers is not None:
        return config.workers
    if device.type != "cuda" or config.device != "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, _MOST_WORKERS)
