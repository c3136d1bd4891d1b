"""The layer graph: ModelSpec and weights as a list of layers with BatchNorm folded.

All writers, runners and the verification of exports start from it, so that axis order, folding and padding are decided
here alone. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import Weights, check_weights, pack_checkpoint
from meshnet.model.spec import BatchNorm, GroupNorm, ModelSpec, NoNorm, SpecError


@dataclass(frozen=True)
class InstanceNorm:
    """Per-channel norm over the whole volume: `(x - mean) / sqrt(var + eps) * weight + bias`.

    The variance is the biased one, as in PyTorch's GroupNorm. `weight` and `bias` [channels] are None without affine.
    """

    eps: float
    weight: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class Layer:
    """Convolution (stride 1, zero padding `dilation * (k - 1) / 2`), then norm, then activation."""

    name: str
    weight: NDArray[np.float32]  #: [out, in, k, k, k], kernel axes D, H, W
    bias: NDArray[np.float32]  #: [out]; zeros if the model has none
    dilation: int  #: voxels
    norm: InstanceNorm | None
    activation: str  #: of `meshnet.model.spec.Activation`; "none" for the classifier

    @property
    def kernel_size(self) -> int:
        return int(self.weight.shape[2])


@dataclass(frozen=True)
class Graph:
    """The whole network; the last layer is the 1x1x1 classifier."""

    layers: tuple[Layer, ...]

    @property
    def classes(self) -> int:
        return int(self.layers[-1].weight.shape[0])


def build_graph(spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> Graph:
    """The layers of the model. BatchNorm is folded into its convolution, in float64."""
    a = spec.architecture
    layers = []
    for i, dilation in enumerate(a.dilations):
        weight = weights[f"layers.{i}.conv.weight"]
        bias = weights.get(f"layers.{i}.conv.bias", np.zeros(a.channels, np.float32))
        norm: InstanceNorm | None = None
        if isinstance(a.norm, BatchNorm):
            weight, bias = fold_batch_norm(
                weight,
                bias,
                gamma=weights[f"layers.{i}.norm.weight"],
                beta=weights[f"layers.{i}.norm.bias"],
                mean=weights[f"layers.{i}.norm.running_mean"],
                var=weights[f"layers.{i}.norm.running_var"],
                eps=a.norm.eps,
            )
        elif isinstance(a.norm, GroupNorm):
            norm = InstanceNorm(
                eps=a.norm.eps,
                weight=weights.get(f"layers.{i}.norm.weight"),
                bias=weights.get(f"layers.{i}.norm.bias"),
            )
        layers.append(Layer(f"layers.{i}", weight, bias, dilation, norm, a.activation))
    classifier_bias = weights.get("classifier.bias", np.zeros(a.classes, np.float32))
    layers.append(Layer("classifier", weights["classifier.weight"], classifier_bias, 1, None, "none"))
    return Graph(tuple(layers))


def fold_batch_norm(
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    *,
    gamma: NDArray[np.float32],
    beta: NDArray[np.float32],
    mean: NDArray[np.float32],
    var: NDArray[np.float32],
    eps: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight [out, in, k, k, k] and bias [out] of the convolution that equals convolution and BatchNorm (eval mode)."""
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + eps)
    folded_weight = weight.astype(np.float64) * scale[:, None, None, None, None]
    folded_bias = (bias.astype(np.float64) - mean) * scale + beta
    return folded_weight.astype(np.float32), folded_bias.astype(np.float32)


def fold_spec(spec: ModelSpec) -> ModelSpec:
    """The spec of the model with BatchNorm folded: norm `none`, convolutions with a bias."""
    if not isinstance(spec.architecture.norm, BatchNorm):
        return spec
    architecture = spec.architecture.model_copy(update={"norm": NoNorm(), "conv_bias": True})
    return spec.model_copy(update={"architecture": architecture})


def folded_weights(spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Tensors of the folded model, under the names of `meshnet.model.checkpoint`."""
    if not isinstance(spec.architecture.norm, BatchNorm):
        return dict(weights)
    out: dict[str, NDArray[np.float32]] = {}
    for layer in build_graph(spec, weights).layers:
        prefix = layer.name if layer.name == "classifier" else f"{layer.name}.conv"
        out[f"{prefix}.weight"] = layer.weight
        if layer.name != "classifier" or spec.architecture.classifier_bias:
            out[f"{prefix}.bias"] = layer.bias
    return out


def stored_model(
    spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]], dtype: Literal["float32", "float16"]
) -> tuple[ModelSpec, Weights]:
    """The model in the form that every export stores: BatchNorm folded, weights rounded to `dtype`.

    Returns the folded spec, whose `weights` field describes the `weights.safetensors` of a web bundle of that dtype,
    and the rounded weights as float32 arrays. Raises SpecError if a weight overflows `dtype`.
    """
    check_weights(spec.architecture, weights, where=spec.id)
    file = spec.weights.model_copy(update={"file": "weights.safetensors", "dtype": dtype})
    values = folded_weights(spec, weights)
    stored, _ = pack_checkpoint(fold_spec(spec).model_copy(update={"weights": file}), values)
    return stored, {name: array.astype(dtype).astype(np.float32) for name, array in values.items()}


def check_same_graph(a: Graph, b: Graph, *, what: str) -> None:
    """Raise SpecError that names the first difference unless the two graphs are identical. what: for the message."""
    if len(a.layers) != len(b.layers):
        raise SpecError(f"{what}: {len(a.layers)} layers became {len(b.layers)}")
    for x, y in zip(a.layers, b.layers, strict=True):
        if (x.dilation, x.activation, x.norm is None) != (y.dilation, y.activation, y.norm is None):
            raise SpecError(f"{what}: {x.name} changed its dilation, norm or activation")
        if not (np.array_equal(x.weight, y.weight) and np.array_equal(x.bias, y.bias)):
            raise SpecError(f"{what}: {x.name} changed its weights")
        if x.norm is not None and y.norm is not None and not _same_norm(x.norm, y.norm):
            raise SpecError(f"{what}: {x.name} changed the parameters of its norm")


def _same_norm(a: InstanceNorm, b: InstanceNorm) -> bool:
    def same(x: NDArray[np.float32] | None, y: NDArray[np.float32] | None) -> bool:
        return y is None if x is None else y is not None and np.array_equal(x, y)

    return a.eps == b.eps and same(a.weight, b.weight) and same(a.bias, b.bias)
