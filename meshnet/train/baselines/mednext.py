"""MedNeXt v1 in 3-D (Roy et al. 2023), written from the paper: kernel 3, no deep supervision.

MONAI's MedNeXt has other counts (it lacks the original's one-element dummy weight, among others), so
the paper's Table 1 needs this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class MedNeXtSize:
    """blocks and expansion ratio of the nine stages (four down, bottleneck, four up)."""

    blocks: tuple[int, ...]
    expansion: tuple[int, ...]
    residual_resampling: bool


SIZES = {
    "S": MedNeXtSize((2,) * 9, (2,) * 9, False),
    "B": MedNeXtSize((2,) * 9, (2, 3, 4, 4, 4, 4, 4, 3, 2), True),
    "M": MedNeXtSize((3, 4, 4, 4, 4, 4, 4, 4, 3), (2, 3, 4, 4, 4, 4, 4, 3, 2), True),
}


class MedNeXt(nn.Module):
    """Input float [N, in_channels, D, H, W], each side divisible by 16; output logits of the same size."""

    def __init__(self, size: str, in_channels: int = 1, classes: int = 2, channels: int = 32) -> None:
        super().__init__()
        s = SIZES[size]
        widths = [channels * 2**i for i in range(5)]
        self.stem = nn.Conv3d(in_channels, channels, 1)
        self.encoders = nn.ModuleList(_stage(widths[i], s.blocks[i], s.expansion[i]) for i in range(4))
        self.downs = nn.ModuleList(
            _Block(widths[i], widths[i + 1], s.expansion[i + 1], "down", s.residual_resampling) for i in range(4)
        )
        self.bottleneck = _stage(widths[4], s.blocks[4], s.expansion[4])
        self.ups = nn.ModuleList(
            _Block(widths[4 - i], widths[3 - i], s.expansion[5 + i], "up", s.residual_resampling) for i in range(4)
        )
        self.decoders = nn.ModuleList(_stage(widths[3 - i], s.blocks[5 + i], s.expansion[5 + i]) for i in range(4))
        self.out = nn.ConvTranspose3d(channels, classes, 1)
        # the original carries this weight for activation checkpointing and counts it
        self.dummy = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.bottleneck(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        logits: Tensor = self.out(x) + 0 * self.dummy
        return logits


def _stage(channels: int, blocks: int, expansion: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels, channels, expansion, "same", True) for _ in range(blocks)))


class _Block(nn.Module):
    """Depthwise 3^3 (strided, or transposed) -> GroupNorm per channel -> 1^3 expand -> GELU -> 1^3 compress."""

    def __init__(self, width_in: int, width_out: int, expansion: int, kind: str, residual: bool) -> None:
        super().__init__()
        self.kind = kind
        stride = 1 if kind == "same" else 2
        conv = nn.ConvTranspose3d if kind == "up" else nn.Conv3d
        self.depthwise = conv(width_in, width_in, 3, stride=stride, padding=1, groups=width_in)
        self.norm = nn.GroupNorm(width_in, width_in)
        self.expand = nn.Conv3d(width_in, expansion * width_in, 1)
        self.compress = nn.Conv3d(expansion * width_in, width_out, 1)
        self.shortcut: nn.Module | None = None
        if residual:
            self.shortcut = nn.Identity() if kind == "same" else conv(width_in, width_out, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.compress(functional.gelu(self.expand(self.norm(self.depthwise(x)))))
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
            y = y + shortcut
        # a transposed convolution of stride 2 gives 2n - 1 voxels: one plane of zeros in front of each axis
        out: Tensor = functional.pad(y, (1, 0, 1, 0, 1, 0)) if self.kind == "up" else y
        return out
