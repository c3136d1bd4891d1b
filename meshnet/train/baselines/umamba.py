"""U-Mamba (Ma, Li and Wang 2024) in 3-D: a residual U-Net with Mamba at the bottleneck or in every encoder stage.

Five stages of 16 to 256 features; upsampling is nearest neighbour and a 1^3 convolution.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from meshnet.train.baselines.mamba import Mamba

FEATURES = (16, 32, 64, 128, 256)
#: Residual blocks of each encoder stage and of each decoder stage (deepest first), as the original
#: thins them out: two, but one in the later half.
_ENCODER_BLOCKS = (2, 2, 2, 1, 1)
_DECODER_BLOCKS = (2, 2, 2, 1)


class UMamba(nn.Module):
    """Input float [N, in_channels, D, H, W], each side divisible by 16; output logits of the same size."""

    def __init__(self, variant: Literal["bot", "enc"], in_channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        stages, tokens = [], []
        self.stem = _stage(in_channels, FEATURES[0], 1, _ENCODER_BLOCKS[0])
        width_in = FEATURES[0]
        for index, width in enumerate(FEATURES):
            stages.append(_stage(width_in, width, 1 if index == 0 else 2, _ENCODER_BLOCKS[index]))
            has_mamba = variant == "enc" or index == len(FEATURES) - 1
            tokens.append(_MambaLayer(width) if has_mamba else nn.Identity())
            width_in = width
        self.stages, self.tokens = nn.ModuleList(stages), nn.ModuleList(tokens)
        ups, decoders = [], []
        for index, width in enumerate(FEATURES[-2::-1]):
            ups.append(nn.Conv3d(2 * width, width, 1))
            decoders.append(_stage(2 * width, width, 1, _DECODER_BLOCKS[index]))
        self.ups, self.decoders = nn.ModuleList(ups), nn.ModuleList(decoders)
        self.out = nn.Conv3d(FEATURES[0], classes, 1)
        # the original makes heads for deep supervision even where it is off, and counts them
        self.idle_heads = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in FEATURES[-2:0:-1])

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        skips = []
        for stage, tokens in zip(self.stages, self.tokens, strict=True):
            x = tokens(stage(x))
            skips.append(x)
        skips.pop()
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            larger = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = decoder(torch.cat([up(larger), skips.pop()], dim=1))
        logits: Tensor = self.out(x)
        return logits


def _stage(width_in: int, width: int, stride: int, blocks: int) -> nn.Sequential:
    first = _ResidualBlock(width_in, width, stride, project=True)
    return nn.Sequential(first, *(_ResidualBlock(width, width, 1, project=False) for _ in range(blocks - 1)))


class _ResidualBlock(nn.Module):
    """Two 3^3 convolutions with InstanceNorm and LeakyReLU; a 1^3 convolution on the shortcut of the first."""

    def __init__(self, width_in: int, width: int, stride: int, *, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(width_in, width, 3, stride=stride, padding=1)
        self.norm1 = nn.InstanceNorm3d(width, affine=True)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1)
        self.norm2 = nn.InstanceNorm3d(width, affine=True)
        self.shortcut = nn.Conv3d(width_in, width, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.norm1(self.conv1(x)))
        return functional.leaky_relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class _MambaLayer(nn.Module):
    """Voxels as one sequence through LayerNorm and Mamba (no shortcut, as in the original)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.mamba(self.norm(x.flatten(2).mT))
        out: Tensor = tokens.mT.reshape(x.shape)
        return out
