"""The optimiser of a training run and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from meshnet.train.config import ConfigError, OptimizerConfig, ScheduleConfig


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW over all parameters (the paper), or Muon over hidden convolutions and AdamW over the rest.

    Muon (Jordan 2024) steps along the orthogonal matrix nearest to the momentum of a layer, so that every direction of
    its [out, in * 27] weights moves equally far. `muon_lr` is the rate of Muon, `lr` that of AdamW, which takes the
    first layer (one input channel), the classifier, norms and biases. Raises ConfigError for an unknown `kind`.
    """
    adamw: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "eps": config.eps}
    if config.kind == "adamw":
        return AdamW(network.parameters(), **adamw)
    if config.kind != "muon":
        raise ConfigError(f"optimizer.kind: expected adamw or muon, got {config.kind!r}")
    # torch.optim.Muon takes only matrices. Imported here: the import takes half as long as that of torch
    from pytorch_optimizer import Muon

    hidden = [p for p in network.parameters() if p.ndim > 2 and p.shape[1] > 1 and p[0, 0].numel() > 1]
    taken = {id(p) for p in hidden}
    rest = [p for p in network.parameters() if id(p) not in taken]
    return Muon(
        [
            {"params": hidden, "use_muon": True, "lr": config.muon_lr, "weight_decay": config.weight_decay},
            {"params": rest, "use_muon": False, **adamw},
        ]
    )


def build_schedule(optimizer: torch.optim.Optimizer, config: ScheduleConfig, steps: int) -> OneCycleLR:
    """OneCycleLR over `steps` steps; the rate of each parameter group is its maximum."""
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps + 1,
        pct_start=config.warmup,
        div_factor=config.div_factor,
        final_div_factor=config.final_div,
        cycle_momentum=isinstance(optimizer, AdamW),  # as in the paper; the momentum of Muon stays fixed
    )
