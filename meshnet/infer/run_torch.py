"""Run a layer graph with PyTorch on the CPU, one layer at a time.

Memory order: activations are [D, H, W, channels], channels fastest (PyTorch's channels_last_3d), in which its CPU
convolution is two to three times faster. Only the input and the output of one layer exist at full size. Each
convolution works on slabs of planes with a halo of `dilation` planes, because PyTorch's CPU kernels copy their operands
into another layout, which for a whole 256^3 volume of 26 channels would double the memory. The plain network,
`meshnet.model.network.model_from(...)(image)`, gives the same result to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meshnet.infer.probabilities import quantise
from meshnet.model.graph import Graph, InstanceNorm, Layer

#: Planes (along D) of a slab.
SLAB = 16

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}


def run_torch(
    graph: Graph,
    image: NDArray[np.float32],
    *,
    threads: int,
    on_layer: Callable[[], object] = lambda: None,
    probabilities: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; the lowest class wins a tie.

    `on_layer` is called after each layer, the classifier included. `probabilities`, if given, uint8
    [classes - 1, D, H, W], is filled by the rule of `meshnet.infer.probabilities`.
    """
    torch.set_num_threads(threads)
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(image))[..., None]
        for layer in graph.layers[:-1]:
            x = _convolve(layer, x)
            scale, offset = _norm_scale_offset(layer.norm, x) if layer.norm is not None else (None, None)
            activation = _ACTIVATIONS[layer.activation]
            for slab in torch.split(x, SLAB):
                if scale is not None and offset is not None:
                    slab.sub_(offset[0]).mul_(scale).add_(offset[1])
                slab.copy_(activation(slab))
            on_layer()
        labels = _classify(graph.layers[-1], x, probabilities)
        on_layer()
    return labels.numpy()


def _convolve(layer: Layer, x: Tensor) -> Tensor:
    """The layer's convolution, slab by slab: [D, H, W, in] to [D, H, W, out]."""
    bias, d = torch.from_numpy(layer.bias), layer.dilation
    weight = torch.from_numpy(layer.weight).to(memory_format=torch.channels_last_3d)
    pad = d * (layer.kernel_size - 1) // 2
    depth = x.shape[0]
    out = torch.empty((*x.shape[:3], layer.weight.shape[0]))
    for start in range(0, depth, SLAB):
        stop = min(depth, start + SLAB)
        low, high = max(0, start - pad), min(depth, stop + pad)
        # Outside the volume the halo is zero, like the convolution's padding.
        slab = functional.pad(x[low:high], (0, 0, 0, 0, 0, 0, pad - (start - low), pad - (high - stop)))
        y = functional.conv3d(slab.permute(3, 0, 1, 2)[None], weight, bias, padding=(0, pad, pad), dilation=d)
        out[start:stop] = y[0].permute(1, 2, 3, 0)
    return out


def _norm_scale_offset(norm: InstanceNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale [channels] and offsets [2, channels] with `norm(x) = (x - offsets[0]) * scale + offsets[1]`.

    The statistics are float64, because float32 sums of 16.7 million voxels lose precision.
    """
    voxels = x[..., 0].numel()
    mean = sum((slab.double().sum((0, 1, 2)) for slab in torch.split(x, SLAB)), torch.zeros(x.shape[3])) / voxels
    squares = ((slab.double() - mean).square().sum((0, 1, 2)) for slab in torch.split(x, SLAB))
    scale = 1 / torch.sqrt(sum(squares, torch.zeros(x.shape[3])) / voxels + norm.eps)
    after = torch.zeros_like(mean)
    if norm.weight is not None and norm.bias is not None:
        scale, after = scale * torch.from_numpy(norm.weight), after + torch.from_numpy(norm.bias)
    return scale.float(), torch.stack((mean, after)).float()


def _classify(layer: Layer, x: Tensor, probabilities: NDArray[np.uint8] | None) -> Tensor:
    """Classifier (1x1x1) and argmax, plane by plane, so that logits never exist at full size. Fills `probabilities`."""
    weight, bias = torch.from_numpy(layer.weight[:, :, 0, 0, 0]), torch.from_numpy(layer.bias)
    labels = torch.empty(tuple(x.shape[:3]), dtype=torch.uint8)
    for plane in range(x.shape[0]):
        logits = x[plane] @ weight.T + bias
        labels[plane] = logits.argmax(dim=-1)
        if probabilities is not None:
            probabilities[:, plane] = quantise(logits.movedim(-1, 0).numpy(), labels[plane].numpy())
    return labels
