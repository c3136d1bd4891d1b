"""`DilatedConv3d`: `nn.Conv3d` with a faster weight gradient on the CPU and the same result.

On a CPU with AVX-512, PyTorch uses oneDNN, whose weight gradient takes two to five times as long for a dilated
convolution as for a plain one. On one residue class of the dilation d (the voxels x ≡ r mod d along each axis) a
dilated convolution is a plain one. So the d³ residue classes are stacked as a batch, and the plain weight gradient is
taken over that batch. With AVX2 alone the dilated gradient is as fast as the plain one, and nothing is stacked.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class DilatedConv3d(nn.Conv3d):
    """`nn.Conv3d` (stride 1, one group, zero padding) that uses the fast weight gradient if possible."""

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, C, D, H, W] to [N, O, D', H', W'], like `nn.Conv3d`."""
        if not _applies(self, image):
            return super().forward(image)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else image.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        out = _Convolve.apply(  # type: ignore[no-untyped-call]
            image.to(dtype), self.weight.to(dtype), bias, self.dilation[0]
        )
        return cast(Tensor, out)


def _applies(conv: nn.Conv3d, image: Tensor) -> bool:
    """Whether the fast gradient applies: on the CPU, with gradients, size-preserving padding and one dilation above
    1."""
    d = conv.dilation[0]
    return (
        image.device.type == "cpu"
        and residue_classes_pay()
        and torch.is_grad_enabled()
        and conv.weight.requires_grad
        and d > 1
        and conv.dilation == (d, d, d)
        and conv.kernel_size == (3, 3, 3)
        and conv.padding == (d, d, d)
    )


def residue_classes_pay() -> bool:
    """Whether this CPU takes the gradient faster over residue classes (measured: docs/lab/training.md)."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


class _Convolve(torch.autograd.Function):
    """Convolution 3×3×3, stride 1, padding = dilation."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.dilation = dilation
        ctx.has_bias = bias is not None
        return functional.conv3d(image, weight, bias, padding=dilation, dilation=dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        image, weight = ctx.saved_tensors
        d: int = ctx.dilation
        of_image, of_weight, of_bias = None, None, None
        if ctx.needs_input_grad[0]:
            of_image = _gradients(gradient, image, weight, d, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            classes = residue_classes(gradient, d), residue_classes(image, d)
            _, of_weight, of_bias = _gradients(*classes, weight, 1, (False, True, ctx.has_bias))
        return of_image, of_weight, of_bias, None


def _gradients(
    gradient: Tensor, image: Tensor, weight: Tensor, dilation: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of image, weight and bias; only those that are `wanted` are computed."""
    d, outputs = [dilation] * 3, weight.shape[0]
    found = torch.ops.aten.convolution_backward(
        gradient, image, weight, [outputs], [1] * 3, d, d, False, [0] * 3, 1, list(wanted)
    )
    return cast("tuple[Tensor, Tensor, Tensor]", found)


def residue_classes(volume: Tensor, dilation: int) -> Tensor:
    """[N, C, D, H, W] to [N·d³, C, ⌈D/d⌉, ⌈H/d⌉, ⌈W/d⌉], channels last in memory.

    Sizes that d doesn't divide are padded with zeros, which add nothing to a weight gradient.
    """
    n, c = volume.shape[:2]
    d = dilation
    fill = [-size % d for size in volume.shape[2:]]
    if any(fill):
        volume = functional.pad(volume, (0, fill[2], 0, fill[1], 0, fill[0]))
    a, b, e = (size // d for size in volume.shape[2:])
    last = volume.permute(0, 2, 3, 4, 1).reshape(n, a, d, b, d, e, d, c)
    classes = last.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(n * d**3, a, b, e, c)
    return classes.permute(0, 4, 1, 2, 3)
