"""Run a layer graph with PyTorch on the CPU, one layer at a time.

Only a layer's input and output exist at full size, and each convolution works on slabs of planes with
a halo of `dilation` planes: PyTorch's CPU kernels copy their operands into a blocked layout, which for
whole 256^3 volumes of 26 channels would double the memory. A naive whole-volume run is
`meshnet.model.model_from(...)(image)`; the two agree to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from export.graph import Graph, InstanceNorm, Layer

#: Planes (along D) that one convolution call produces.
SLAB = 32

_ACTIVATIONS: dict[str, Callable[[Tensor], object]] = {
    "relu": functional.relu_,
    "elu": functional.elu_,
    "gelu": lambda x: x.copy_(functional.gelu(x)),
    "gelu_tanh": lambda x: x.copy_(functional.gelu(x, approximate="tanh")),
}


def run_torch(
    graph: Graph, image: NDArray[np.float32], *, threads: int, on_layer: Callable[[], object] = lambda: None
) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W].

    `on_layer` is called after each layer. The lowest class wins a tie.
    """
    torch.set_num_threads(threads)
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(image))[None]
        for layer in graph.layers[:-1]:
            x = _run_layer(layer, x)
            on_layer()
        labels = _classify(graph.layers[-1], x)
        on_layer()
    return labels.numpy()


def _run_layer(layer: Layer, x: Tensor) -> Tensor:
    """[in, D, H, W] to [out, D, H, W]."""
    weight, bias, d = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias), layer.dilation
    pad = d * (layer.kernel_size - 1) // 2
    depth = x.shape[1]
    out = torch.empty((layer.weight.shape[0], *x.shape[1:]))
    for start in range(0, depth, SLAB):
        stop = min(depth, start + SLAB)
        low, high = max(0, start - pad), min(depth, stop + pad)
        # Beyond the volume's ends the halo is zeros, as the convolution's own padding is.
        slab = functional.pad(x[:, low:high], (0, 0, 0, 0, pad - (start - low), pad - (high - stop)))
        out[:, start:stop] = functional.conv3d(slab, weight, bias, padding=(0, pad, pad), dilation=d)
    for channel in range(out.shape[0]):  # one at a time, so that GELU's copy is one channel's
        if layer.norm is not None:
            _normalize_channel(out[channel], layer.norm, channel)
        _ACTIVATIONS[layer.activation](out[channel])
    return out


def _normalize_channel(x: Tensor, norm: InstanceNorm, channel: int) -> None:
    """Instance norm in place, statistics in float64: float32 sums of 16.7 million voxels drift."""
    variance, mean = torch.var_mean(x.double(), correction=0)
    x.sub_(mean.float()).div_(torch.sqrt(variance + norm.eps).float())
    if norm.weight is not None and norm.bias is not None:
        x.mul_(float(norm.weight[channel])).add_(float(norm.bias[channel]))


def _classify(layer: Layer, x: Tensor) -> Tensor:
    """1x1x1 classifier and argmax, plane by plane, so that logits never exist at full size."""
    weight, bias = torch.from_numpy(layer.weight[:, :, 0, 0, 0]), torch.from_numpy(layer.bias)
    labels = torch.empty(tuple(x.shape[1:]), dtype=torch.uint8)
    for z in range(x.shape[1]):
        logits = torch.einsum("oc,chw->ohw", weight, x[:, z]) + bias[:, None, None]
        labels[z] = logits.argmax(dim=0)
    return labels
