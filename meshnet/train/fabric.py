"""Devices and precision of a training run, through Lightning Fabric."""

from __future__ import annotations

import torch
from lightning.fabric import Fabric

from meshnet.train.config import TrainerConfig


def make_fabric(t: TrainerConfig) -> Fabric:
    """Lightning Fabric with these settings; CUDA is used where there is a GPU and the settings leave it open."""
    accelerator = t.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    precision = t.precision
    if precision == "auto":
        precision = "16-mixed" if accelerator == "cuda" else "32-true"
    if accelerator in ("cuda", "gpu"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = t.tf32
        torch.backends.cudnn.benchmark = t.cudnn_benchmark
    return Fabric(
        accelerator=accelerator,
        devices=t.devices,
        num_nodes=t.nodes,
        strategy=t.strategy,
        precision=precision,  # type: ignore[arg-type]
    )
