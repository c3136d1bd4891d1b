"""Devices and precision of a training run, through Lightning Fabric."""

from __future__ import annotations

import sys

import torch
from lightning.fabric import Fabric

from meshnet.train.config import TrainerConfig


def make_fabric(t: TrainerConfig) -> Fabric:
    """Lightning Fabric with these settings; CUDA is used where there is a GPU and the settings leave it open."""
    accelerator, precision = accelerator_of(t), precision_of(t)
    if t.precision not in (precision, "auto"):
        print(
            f"trainer.precision={t.precision}: this CPU computes bfloat16 in software, more than ten times slower; "
            f"training in {precision}",
            file=sys.stderr,
        )
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


def accelerator_of(t: TrainerConfig) -> str:
    """The device that the settings mean: `auto` is CUDA where there is a GPU, else the CPU."""
    if t.accelerator != "auto":
        return t.accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def precision_of(t: TrainerConfig) -> str:
    """The precision that a run has on this machine.

    `auto` is half precision on CUDA, else float32. bfloat16 on a CPU without AVX-512 becomes float32, because oneDNN
    has no fast convolutions for it there (docs/lab/training.md).
    """
    accelerator = accelerator_of(t)
    if t.precision == "auto":
        return "16-mixed" if accelerator == "cuda" else "32-true"
    if accelerator == "cpu" and t.precision.startswith("bf16") and not has_fast_bfloat16():
        return "32-true"
    return t.precision


def has_fast_bfloat16() -> bool:
    """Whether this CPU's convolutions are fast in bfloat16."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"
