"""Which parameters Muon takes and how far it moves them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from meshnet.train.config import ConfigError, OptimizerConfig, ScheduleConfig, compose_config
from meshnet.train.networks import build_network
from meshnet.train.optimizer import build_optimizer, build_schedule


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(compose_config(["model.channels=6", "model.dilations=[1,2,1]"]), (16, 16, 16))


def test_muon_takes_hidden_convolutions_and_adamw_everything_else_once() -> None:
    net = network()
    muon, adamw = build_optimizer(net, OptimizerConfig(kind="muon")).param_groups
    assert [tuple(p.shape) for p in muon["params"]] == [(6, 6, 3, 3, 3), (6, 6, 3, 3, 3)]
    assert {tuple(p.shape) for p in adamw["params"]} == {(6, 1, 3, 3, 3), (2, 6, 1, 1, 1), (6,), (2,)}
    assert len(muon["params"]) + len(adamw["params"]) == len(list(net.parameters()))


def test_muon_moves_every_direction_of_a_layer_about_equally_far_however_uneven_its_gradient_is() -> None:
    net = network()
    optimizer = build_optimizer(net, OptimizerConfig(kind="muon", muon_lr=0.1, weight_decay=0.0))
    weight = optimizer.param_groups[0]["params"][0]
    before = weight.detach().clone()
    left, right = torch.linalg.qr(torch.randn(6, 6))[0], torch.linalg.qr(torch.randn(162, 6))[0]
    spread = torch.tensor([1.0, 0.8, 0.5, 0.3, 0.2, 0.1])
    weight.grad = (left * spread @ right.T).reshape(weight.shape)
    optimizer.step()
    moved = torch.linalg.svdvals((weight.detach() - before).reshape(6, -1))
    # Newton-Schulz of five steps in bfloat16 brings singular values to 0.7..1.2, not to 1
    assert moved.min() > 0.05
    assert moved.max() < 0.15


def test_every_group_has_a_cycle_of_its_own_rate() -> None:
    optimizer = build_optimizer(network(), OptimizerConfig(kind="muon", lr=0.004, muon_lr=0.02))
    schedule = build_schedule(optimizer, ScheduleConfig(warmup=0.5, div_factor=10.0), steps=10)
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx([0.002, 0.0004])
    assert [max(group) for group in zip(*rates, strict=True)] == pytest.approx([0.02, 0.004], rel=0.05)


def test_an_unknown_optimiser_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="expected adamw or muon, got 'sgd'"):
        build_optimizer(network(), OptimizerConfig(kind="sgd"))
