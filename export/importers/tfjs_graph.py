"""Read TF.js graph models: a chain of dilated 3-D convolutions, as `tensorflowjs_converter` compiles it.

The page reads them in the same way (static/src/model/tfjs-import/graph-model.ts). TensorFlow computes a dilated
convolution as SpaceToBatchND, Conv3D without padding and BatchToSpaceND; the block is the dilation. A norm is one
factor and one offset per channel, which are folded into the convolution. An activation may be several operations: they
are computed on sample values (onnx_activation.py).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from export.importers.labels import read_labels
from export.importers.onnx_activation import ELEMENTWISE, SAMPLE, Values, activation_of
from export.importers.source import Array, Convolution, Source, check_activations, check_chain
from export.importers.tfjs_weights import read_weights
from meshnet.model.spec import Activation, NoNorm, SpecError

_PASS = ("Identity", "StopGradient", "PreventGradient")
#: Operations after the classifier that don't change which class is largest.
_TAIL = ("Softmax", "LogSoftmax", "ArgMax", "Squeeze", "Cast")

_erfc = np.vectorize(math.erfc, otypes=[np.float64])
#: TensorFlow's names of operations of which an activation may consist.
_ELEMENTWISE: Mapping[str, Callable[..., Values]] = {
    **{op: ELEMENTWISE[op] for op in ("Relu", "Elu", "Selu", "Sigmoid", "Tanh", "Erf", "Mul", "Sub", "Pow")},
    "Add": ELEMENTWISE["Add"],
    "AddV2": ELEMENTWISE["Add"],
    "RealDiv": ELEMENTWISE["Div"],
    "Maximum": ELEMENTWISE["Max"],
    "Neg": lambda x, **_: -x,
    "Square": lambda x, **_: x**2,
    "Erfc": lambda x, **_: _erfc(x),
}  # fmt: skip

Node = dict[str, Any]


def read_graph_model(path: Path, content: Mapping[str, Any]) -> Source:
    """Read the graph model `content` of `path` (`model.json`) and its shards.

    Raises SpecError, which names the operation, for everything that a MeshNet can't express.
    """
    graph = _Graph(path, content, read_weights(path, content))
    layers = graph.layers()
    convolutions = tuple(Convolution(layer.name, layer.weight, layer.bias) for layer in layers)
    check_chain(str(path), convolutions)
    check_activations(str(path), [(layer.name, layer.activation) for layer in layers])
    colormap = path.parent / "colormap.json"
    return Source(
        where=str(path),
        kind="TF.js graph model",
        convolutions=convolutions,
        dilations=tuple(layer.dilation for layer in layers[:-1]),
        activation=layers[0].activation,
        norm=NoNorm(),
        labels=read_labels(colormap) if colormap.exists() else None,
        labels_file=colormap.name if colormap.exists() else None,
    )


class _Layer:
    def __init__(self, name: str, kernel: Array, dilation: int) -> None:
        self.name = name
        self.weight = np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2))  # [out, in, k, k, k]
        self.bias = np.zeros(kernel.shape[4], np.float32)
        self.dilation = dilation
        self.activation: Activation | None = None

    def scale(self, factors: Array) -> None:
        self.weight = (self.weight * factors.reshape(-1, 1, 1, 1, 1)).astype(np.float32)
        self.bias = (self.bias * factors).astype(np.float32)

    def shift(self, offsets: Array) -> None:
        self.bias = (self.bias + offsets).astype(np.float32)


class _Graph:
    """The nodes of a graph model, by name and by the tensors that they take."""

    def __init__(self, path: Path, content: Mapping[str, Any], constants: Mapping[str, Array]) -> None:
        self.path, self.constants = path, constants
        try:
            self.nodes: dict[str, Node] = {node["name"]: node for node in content["modelTopology"]["node"]}
        except (KeyError, TypeError) as error:
            raise SpecError(f"{path}: malformed graph ({error}); convert the model again") from error
        self.users: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            for name in dict.fromkeys(_inputs(node)):
                if node["op"] != "Shape":  # computes the padding of a volume of any size
                    self.users.setdefault(name, []).append(node)

    def layers(self) -> list[_Layer]:
        """The convolutions in order, with what follows each of them folded in."""
        places = [node for node in self.nodes.values() if node["op"] == "Placeholder"]
        if len(places) != 1:
            raise SpecError(f"{self.path}: has {len(places)} inputs, expected one, a whole volume")
        self._check_input(places[0])
        layers: list[_Layer] = []
        x = places[0]["name"]
        block: int | None = None
        while users := self.users.get(x, []):
            node = users[0]
            op = node["op"]
            if len(users) == 1 and op in _PASS:
                x = node["name"]
            elif op == "SpaceToBatchND":
                block = self._block(node)
                self._check_beginnings(node, 2, block)
                x = node["name"]
            elif op == "Conv3D":
                layers.append(self._convolution(node, block))
                x = node["name"]
            elif op == "BatchToSpaceND":
                if self._block(node) != block:
                    self._refuse(node, f"has another block than the SpaceToBatchND before it, {block}")
                self._check_beginnings(node, 2, 0)
                block, x = None, node["name"]
            elif layers and layers[-1].activation is None and len(users) == 1 and self._fold(layers[-1], node, x):
                x = node["name"]
            elif op in _TAIL and len(users) == 1 and layers and layers[-1].weight.shape[2:] == (1, 1, 1):
                break
            elif not layers or layers[-1].activation is not None:
                self._refuse(node, "is not part of a MeshNet; expected Conv3D, a norm or an activation after it")
            else:
                layers[-1].activation, x = self._activation(x)
        return layers

    def _check_input(self, node: Node) -> None:
        sizes = [int(d.get("size", -1)) for d in node.get("attr", {}).get("shape", {}).get("shape", {}).get("dim", [])]
        if len(sizes) != 5 or any(n not in (-1, 256) for n in sizes[1:4]):
            raise SpecError(f"{self.path}: input shape {sizes}; expected [-1, 256, 256, 256, 1], a whole volume")

    def _convolution(self, node: Node, block: int | None) -> _Layer:
        kernel = self.constants.get(_inputs(node)[1])
        if kernel is None or kernel.ndim != 5:
            self._refuse(node, "computes its kernel; expected weights that the model holds")
        numbers = {name: [int(n) for n in _attr(node, name, "list").get("i", [1])] for name in ("strides", "dilations")}
        padding, layout = _text(node, "padding"), _text(node, "data_format")
        if set(numbers["strides"]) != {1} or layout not in ("", "NDHWC"):
            self._refuse(node, f"has strides {numbers['strides']} and layout {layout}; expected 1 and NDHWC")
        spatial = set(numbers["dilations"][1:4]) or {1}
        if len(spatial) != 1 or (block is not None and spatial != {1}):
            self._refuse(node, f"has dilations {numbers['dilations']}; expected the same along each axis")
        if kernel.shape[0] != 1 and padding != ("SAME" if block is None else "VALID"):
            self._refuse(node, f"has padding {padding}; expected an output as large as the input")
        return _Layer(node["name"], kernel, block or spatial.pop())

    def _block(self, node: Node) -> int:
        block = self.constants.get(_inputs(node)[1])
        if block is None or block.size != 3 or len(set(block.ravel())) != 1:
            self._refuse(node, "has no fixed block that is the same along each axis")
        return int(block.flat[0])

    def _check_beginnings(self, node: Node, index: int, expected: int) -> None:
        """Raise SpecError unless each axis is padded or cropped at its beginning by `expected` voxels."""
        pairs = self.constants.get(_inputs(node)[index])
        if pairs is not None:
            found = [float(x) for x in pairs.reshape(-1, 2)[:, 0]]
        else:
            # For a volume of any size the ends are computed, the beginnings are constants.
            firsts = [self._first_of_pack(name) for name in _inputs(self.nodes[_inputs(node)[index]])]
            found = [math.nan if first is None else float(first.flat[0]) for first in firsts]
        if found != [expected] * 3:
            self._refuse(node, f"begins with {found} voxels along the axes; expected {expected} along each")

    def _first_of_pack(self, name: str) -> Array | None:
        """The first of the values that a Pack puts together, or those of a constant."""
        node = self.nodes.get(name, {})
        return self.constants.get(_inputs(node)[0] if node.get("op") == "Pack" else name)

    def _fold(self, layer: _Layer, node: Node, x: str) -> bool:
        """Fold a factor, an offset or a norm per channel into the layer. False if the node is something else."""
        channels = layer.weight.shape[0]
        others = [name for name in _inputs(node) if name != x]
        arrays = [
            self.constants[name].ravel() for name in others if name in self.constants and self.constants[name].ndim
        ]
        if len(arrays) != len(others) or not others or any(array.size != channels for array in arrays):
            return False
        if node["op"] in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3") and len(arrays) == 4:
            gamma, beta, mean, variance = arrays
            factors = gamma / np.sqrt(variance + float(node.get("attr", {}).get("epsilon", {}).get("f", 1e-4)))
            layer.scale(factors)
            layer.shift(beta - mean * factors)
        elif node["op"] in ("BiasAdd", "Add", "AddV2"):
            layer.shift(arrays[0])
        elif node["op"] == "Mul":
            layer.scale(arrays[0])
        elif node["op"] == "Sub" and _inputs(node)[0] == x:
            layer.shift(-arrays[0])
        else:
            return False
        return True

    def _activation(self, x: str) -> tuple[Activation, str]:
        """The activation that starts at tensor `x`, and the tensor that it gives."""
        values: dict[str, Values] = {x: SAMPLE}
        done: list[str] = []
        while True:
            waiting = [node for name in values for node in self.users.get(name, []) if node["name"] not in done]
            node = next((n for n in waiting if all(i in values or self._is_scalar(i) for i in _inputs(n))), None)
            if node is None or node["op"] not in _ELEMENTWISE:
                start = self.users[x][0]
                self._refuse(start, "starts no activation of a MeshNet: relu, elu (alpha 1), gelu")
            operands = [values[i] if i in values else np.float64(self.constants[i].item()) for i in _inputs(node)]
            alpha = node.get("attr", {}).get("alpha", {}).get("f")
            with np.errstate(all="ignore"):
                made = _ELEMENTWISE[node["op"]](*operands, **({} if alpha is None else {"alpha": float(alpha)}))
            values[node["name"]] = made
            done.append(node["name"])
            rest = [
                n for name in values if name != node["name"] for n in self.users.get(name, []) if n["name"] not in done
            ]
            if not rest and (found := activation_of(made)) is not None:
                return found, node["name"]

    def _is_scalar(self, name: str) -> bool:
        return name in self.constants and self.constants[name].size == 1

    def _refuse(self, node: Node, why: str) -> NoReturn:
        raise SpecError(f"{self.path}: {node['op']} {node['name']!r} {why}")


def _inputs(node: Node) -> list[str]:
    """Names of the tensors that a node takes, without control inputs and output numbers."""
    names: Sequence[str] = node.get("input") or []
    return [name.split(":")[0] for name in names if not name.startswith("^")]


def _attr(node: Node, name: str, kind: str) -> dict[str, Any]:
    found = node.get("attr", {}).get(name, {}).get(kind, {})
    return found if isinstance(found, dict) else {}


def _text(node: Node, name: str) -> str:
    """A string attribute, which the file has in base64."""
    return base64.b64decode(node.get("attr", {}).get(name, {}).get("s", "")).decode("ascii", "replace")
