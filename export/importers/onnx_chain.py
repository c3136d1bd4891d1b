"""Read ONNX files of other software: a chain of dilated 3-D convolutions, as PyTorch's exporters write it.

The walk starts at the graph's input. A layer is a Conv, at most one norm directly after it, and an activation. An
activation may be one node (`Relu`) or several (`x * 0.5 * (1 + Erf(x / sqrt(2)))`): its nodes are computed on sample
values and compared with the activations that a MeshNet can have. After the classifier only operations that keep the
order of the classes are allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from export.importers.onnx_graph import Graph, Layer
from export.importers.source import Source, check_chain
from meshnet.model.spec import SpecError


def read_chain(path: Path, model: onnx.ModelProto) -> Source:
    """Read the chain of convolutions in `model`, the content of `path`.

    Raises SpecError, which names the node, for everything that a MeshNet can't express.
    """
    graph = Graph(path, model)
    layers = graph.layers()
    convolutions = tuple(layer.convolution for layer in layers)
    check_chain(str(path), convolutions)
    _check_alike(path, layers)
    classifier = layers[-1]
    if classifier.activation is not None:
        raise SpecError(
            f"{path}: {classifier.activation} after the classifier {classifier.convolution.name!r}; "
            f"expected plain logits, Softmax or ArgMax"
        )
    return Source(
        where=str(path),
        kind="ONNX file",
        convolutions=convolutions,
        dilations=tuple(layer.dilation for layer in layers[:-1]),
        activation=layers[0].activation,
        norm=layers[0].norm,
        notes=tuple(graph.notes),
    )


def _check_alike(path: Path, layers: Sequence[Layer]) -> None:
    first = layers[0]
    for layer in layers[:-1]:
        name = layer.convolution.name
        if layer.activation is None:
            raise SpecError(f"{path}: no activation after {name!r}; a MeshNet has one after each 3x3x3 convolution")
        if layer.activation != first.activation:
            raise SpecError(
                f"{path}: mixed activations: {layer.activation} after {name!r}, {first.activation} before; "
                f"all layers must be alike"
            )
        if layer.norm != first.norm:
            raise SpecError(
                f"{path}: mixed norms: {first.convolution.name!r} and {name!r} differ; all layers must be alike"
            )
