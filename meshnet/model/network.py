"""MeshNet in PyTorch: a plain chain of layers, built from an `Architecture`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meshnet.model.dilated_conv import DilatedConv3d
from meshnet.model.spec import Architecture, BatchNorm, GroupNorm


class MeshNet(nn.Module):
    """MeshNet (Fedorov et al. 2017), among others the variants -5, -16 and -26 of the stroke lesion paper.

    Input: float [N, in_channels, D, H, W]. Output: logits, float [N, classes, D, H, W].
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        widths = [a.in_channels] + [a.channels] * len(a.dilations)
        self.layers = nn.ModuleList(
            _Layer(a, width_in, dilation) for width_in, dilation in zip(widths[:-1], a.dilations, strict=True)
        )
        self.classifier = nn.Conv3d(a.channels, a.classes, kernel_size=1, bias=a.classifier_bias)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.classifier(x)
        return logits


class _Layer(nn.Module):
    """Convolution, norm, activation. The names of its children are those of `meshnet.model.checkpoint`."""

    def __init__(self, a: Architecture, width_in: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (a.kernel_size - 1) // 2
        self.conv = DilatedConv3d(
            width_in, a.channels, a.kernel_size, padding=padding, dilation=dilation, bias=a.conv_bias
        )
        self.norm = _norm(a)
        self.activation = _activation(a.activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


def _norm(a: Architecture) -> nn.Module:
    match a.norm:
        case BatchNorm(eps=eps):
            return nn.BatchNorm3d(a.channels, eps=eps)
        case GroupNorm(eps=eps, affine=affine):
            return nn.GroupNorm(a.channels, a.channels, eps=eps, affine=affine)
        case _:
            return nn.Identity()


def _activation(name: str) -> nn.Module:
    match name:
        case "relu":
            return nn.ReLU(inplace=True)
        case "elu":
            return nn.ELU(inplace=True)
        case "gelu":
            return nn.GELU(approximate="none")
        case "gelu_tanh":
            return nn.GELU(approximate="tanh")
    raise ValueError(f"unknown activation {name!r}; expected relu, elu, gelu or gelu_tanh")


def weights_of(model: MeshNet) -> dict[str, NDArray[np.float32]]:
    """The model's tensors by the names of `meshnet.model.checkpoint`, as float32 arrays."""
    return {
        name: tensor.detach().to("cpu", torch.float32).numpy().copy()
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def model_from(architecture: Architecture, weights: Mapping[str, NDArray[np.float32]]) -> MeshNet:
    """A MeshNet in PyTorch's eval mode with these weights (names of `meshnet.model.checkpoint`)."""
    model = MeshNet(architecture)
    state = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in weights.items()}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = tensor
    model.load_state_dict(state)
    return model.eval()
