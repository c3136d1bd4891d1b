"""The loader of training items: processes beside the training, and items loaded ahead."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from meshnet.train.config import DataConfig
from meshnet.train.items import Source, Steps

#: Most worker processes by default; each holds the data source.
_MOST_WORKERS = 16


def make_loader(
    source: Source, config: DataConfig, device: torch.device, start: int, stop: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """The items of the steps `start` to `stop`, in order, as batches of one: image float32, labels uint8."""
    workers = worker_count(config, device)
    return DataLoader(
        Steps(source, start, stop),
        batch_size=1,
        num_workers=workers,
        prefetch_factor=config.prefetch if workers else None,
        pin_memory=device.type == "cuda",
    )


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
