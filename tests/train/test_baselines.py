"""The networks of the paper's Table 1: exact parameter counts, and that each can learn."""

from __future__ import annotations

import warnings

import pytest
import torch

from meshnet.train.baselines import BASELINES, MESHNETS, build_baseline, parameter_count
from meshnet.train.baselines.mamba import selective_scan, selective_scan_naive
from meshnet.train.baselines.ukan import GRID, ORDER, KANLinear, b_splines
from meshnet.train.config import compose_config
from meshnet.train.networks import build_network


@pytest.fixture(autouse=True)
def _quiet_monai() -> None:
    warnings.filterwarnings("ignore", module="monai")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)


def test_all_fourteen_models_have_the_parameters_of_table_1() -> None:
    counts = {b.title: parameter_count(build_baseline(name, (256, 256, 256))) for name, b in BASELINES.items()}
    for channels, (title, _) in MESHNETS.items():
        counts[title] = parameter_count(build_network(compose_config([f"model=meshnet{channels}"])))
    assert counts == {b.title: b.parameters for b in BASELINES.values()} | dict(MESHNETS.values())
    assert len(counts) == 14


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_runs_forward_and_backward(name: str) -> None:
    # instance norm at a 1^3 bottleneck has no statistics: the smallest size that leaves 2^3 there
    side = min(2 * BASELINES[name].multiple_of, 64)
    torch.manual_seed(0)
    network = build_baseline(name, (side, side, side))
    image = torch.rand(1, 1, side, side, side)
    logits = network(image)
    assert logits.shape == (1, 2, side, side, side)
    torch.nn.functional.cross_entropy(logits, (image[:, 0] > 0.5).long()).backward()
    with_gradient = sum(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())
    assert with_gradient > 0.8 * sum(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", BASELINES)
def test_a_size_that_does_not_halve_evenly_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="multiple of"):
        build_baseline(name, (36, 48, 48))


def test_the_chunked_scan_equals_the_naive_one_for_any_chunk() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 37, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    delta = torch.rand(2, 37, 6, generator=generator, dtype=torch.float64) * 8
    A = -torch.rand(6, 4, generator=generator, dtype=torch.float64) * 20
    B, C = torch.randn(2, 2, 37, 4, generator=generator, dtype=torch.float64)
    expected = selective_scan_naive(x, delta, A, B, C)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    for chunk in (1, 5, 16, 37, 64):
        got = selective_scan(x, delta, A, B, C, chunk=chunk)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
        (gradient,) = torch.autograd.grad(got.square().sum(), x)
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-11)


def test_b_splines_sum_to_one_inside_the_grid_and_vanish_outside() -> None:
    layer = KANLinear(1, 1)
    inside = torch.linspace(-0.999, 0.999, 50)
    values = b_splines(inside, layer.knots, ORDER)
    assert values.shape == (50, GRID + ORDER)
    torch.testing.assert_close(values.sum(dim=-1), torch.ones(50))
    assert (values >= -1e-6).all()
    assert b_splines(torch.tensor([-9.0, 9.0]), layer.knots, ORDER).abs().sum() == 0
