"""The fast weight gradient against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from meshnet.model import dilated_conv
from meshnet.model.dilated_conv import DilatedConv3d, residue_classes


@pytest.fixture(autouse=True)
def _residue_classes_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dilated_conv, "residue_classes_pay", lambda: True)


@pytest.mark.parametrize("dilation", [1, 2, 4, 16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(16, 16, 16), (7, 18, 11)])
def test_gradients_equal_those_of_a_plain_convolution(dilation: int, bias: bool, size: tuple[int, int, int]) -> None:
    torch.manual_seed(dilation)
    fast = DilatedConv3d(3, 5, 3, padding=dilation, dilation=dilation, bias=bias)
    plain = nn.Conv3d(3, 5, 3, padding=dilation, dilation=dilation, bias=bias)
    plain.load_state_dict(fast.state_dict())
    results = []
    for conv in (fast, plain):
        image = torch.linspace(-1, 1, 2 * 3 * size[0] * size[1] * size[2]).reshape(2, 3, *size).requires_grad_()
        (conv(image) ** 3).sum().backward()
        results.append([image.grad, *(p.grad for p in conv.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert ours is not None
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3 * float(theirs.abs().max()))


def test_half_precision_gives_gradients_in_full_precision() -> None:
    conv = DilatedConv3d(2, 2, 3, padding=2, dilation=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(torch.rand(1, 2, 8, 8, 8))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32


def test_residue_classes_put_every_voxel_where_its_class_is() -> None:
    volume = torch.arange(4 * 6 * 5.0).reshape(1, 1, 4, 6, 5)
    classes = residue_classes(volume, 2)
    assert classes.shape == (8, 1, 2, 3, 3)
    for index, (z, y, x) in enumerate((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)):
        piece = volume[0, 0, z::2, y::2, x::2]
        assert torch.equal(classes[index, 0, :, :, : piece.shape[2]], piece)


@pytest.mark.parametrize(("capability", "pays"), [("AVX512", True), ("AVX2", False)])
def test_a_cpu_without_avx512_takes_the_plain_gradient(
    capability: str, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    conv = DilatedConv3d(2, 2, 3, padding=2, dilation=2)
    out = conv(torch.rand(1, 2, 8, 8, 8))
    assert ("_Convolve" in type(out.grad_fn).__name__) is pays
