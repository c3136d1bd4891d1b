"""U-KAN (Li et al. 2024) in 3-D: a convolutional U-Net whose two deepest stages are Kolmogorov-Arnold layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (256, 320, 512)
GRID, ORDER = 5, 3


class UKAN(nn.Module):
    """Input float [N, in_channels, D, H, W], each side divisible by 32; output logits of the same size."""

    def __init__(self, in_channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        a, b, c = WIDTHS
        encoder = [(in_channels, a // 8), (a // 8, a // 4), (a // 4, a)]
        self.encoders = nn.ModuleList(_convs(i, o, o) for i, o in encoder)
        self.embed1, self.embed2 = _Embed(a, b), _Embed(b, c)
        self.block1, self.norm1 = _KANBlock(b), nn.LayerNorm(b)
        self.block2, self.norm2 = _KANBlock(c), nn.LayerNorm(c)
        decoder = [(c, b), (b, a), (a, a // 4), (a // 4, a // 8), (a // 8, a // 8)]
        self.decoders = nn.ModuleList(_convs(i, i, o) for i, o in decoder)
        self.block3, self.norm3 = _KANBlock(b), nn.LayerNorm(b)
        self.block4, self.norm4 = _KANBlock(a), nn.LayerNorm(a)
        self.out = nn.Conv3d(a // 8, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        skips = []
        for encoder in self.encoders:
            x = functional.relu(functional.max_pool3d(encoder(x), 2))
            skips.append(x)
        x = _on_tokens(self.embed1(x), self.block1, self.norm1)
        skips.append(x)
        x = _on_tokens(self.embed2(x), self.block2, self.norm2)
        deep = ((self.block3, self.norm3), (self.block4, self.norm4))
        for index, decoder in enumerate(self.decoders):
            x = functional.relu(functional.interpolate(decoder(x), scale_factor=2.0, mode="trilinear"))
            if skips:
                x = x + skips.pop()
            if index < len(deep):
                x = _on_tokens(x, *deep[index])
        logits: Tensor = self.out(x)
        return logits


def _convs(width_in: int, middle: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(width_in, middle, 3, padding=1),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, width_out, 3, padding=1),
        nn.BatchNorm3d(width_out),
        nn.ReLU(inplace=True),
    )


def _on_tokens(x: Tensor, block: nn.Module, norm: nn.Module) -> Tensor:
    """The block on the volume, then LayerNorm over channels."""
    y: Tensor = norm(block(x).movedim(1, -1)).movedim(-1, 1)
    return y


class _Embed(nn.Module):
    """Strided 3^3 convolution and LayerNorm over channels."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width_in, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x).movedim(1, -1)).movedim(-1, 1)
        return y


class _KANBlock(nn.Module):
    """x + three times [KAN layer on tokens, depthwise 3^3 convolution, BatchNorm, ReLU] of LayerNorm(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linears = nn.ModuleList(KANLinear(width, width) for _ in range(3))
        self.depthwise = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, width, 3, padding=1, groups=width), nn.BatchNorm3d(width), nn.ReLU(inplace=True)
            )
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        for linear, depthwise in zip(self.linears, self.depthwise, strict=True):
            y = depthwise(linear(y.movedim(1, -1)).movedim(-1, 1))
        out: Tensor = x + y
        return out


class KANLinear(nn.Module):
    """A learned univariate function on every edge: `W silu(x) + sum_k S_k b_k(x)`, b_k cubic B-splines on
    [-1, 1], S_k scaled by one weight per edge (Liu et al. 2024). [..., in] -> [..., out]."""

    knots: Tensor

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        step = 2.0 / GRID
        knots = torch.arange(-ORDER, GRID + ORDER + 1, dtype=torch.float32) * step - 1.0
        self.register_buffer("knots", knots)
        self.base_weight = nn.Parameter(torch.empty(width_out, width_in))
        self.spline_weight = nn.Parameter(torch.randn(width_out, width_in, GRID + ORDER) * 0.02)
        self.spline_scaler = nn.Parameter(torch.empty(width_out, width_in))
        nn.init.kaiming_uniform_(self.base_weight, a=5**0.5)
        nn.init.kaiming_uniform_(self.spline_scaler, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        scaled = self.spline_weight * self.spline_scaler[..., None]
        splines = b_splines(x, self.knots, ORDER).flatten(-2)
        out: Tensor = functional.linear(functional.silu(x), self.base_weight)
        return out + functional.linear(splines, scaled.flatten(1))


def b_splines(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """Values [..., len(knots) - order - 1] of the B-spline basis at x [...] (Cox-de Boor recursion)."""
    x = x[..., None]
    basis = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[: -k - 1]) / (knots[k:-1] - knots[: -k - 1])
        right = (knots[k + 1 :] - x) / (knots[k + 1 :] - knots[1:-k])
        basis = left * basis[..., :-1] + right * basis[..., 1:]
    return basis
