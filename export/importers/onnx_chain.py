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
from export.importers.source import Source, check_activations, check_chain
from meshnet.model.spec import SpecError


def read_chain(path: Path, model: onnx.ModelProto) -> Source:
    """Read the chain of convolutions in `model`, the content of `path`.

    Raises SpecError, which names the node, for everything that a MeshNet can't express.
    """
    graph = Graph(path, model)
    layers = graph.layers()
    convolutions = tuple(layer.convolution for layer in layers)
    check_chain(str(path), convolutions)
    check_activations(str(path), [(layer.convolution.name, layer.activation) for layer in layers])
    _check_norms(path, layers)
    return Source(
        where=str(path),
        kind="ONNX file",
        convolutions=convolutions,
        dilations=tuple(layer.dilation for layer in layers[:-1]),
        activation=layers[0].activation,
        norm=layers[0].norm,
        notes=tuple(graph.notes),
    )


def _check_norms(path: Path, layers: Sequence[Layer]) -> None:
    first = layers[0]
    for layer in layers[:-1]:
        if layer.norm != first.norm:
            raise SpecError(
                f"{path}: mixed norms: {first.convolution.name!r} and {layer.convolution.name!r} differ; "
                f"all layers must be alike"
            )
