"""Read ONNX files of other software: a chain of dilated 3-D convolutions, as PyTorch's exporters write it.

The walk starts at the graph's input. A layer is a Conv, at most one norm directly after it, and an activation. An
activation may be one node (`Relu`) or several (`x * 0.5 * (1 + Erf(x / sqrt(2)))`): its nodes are computed on sample
values and compared with the activations that a MeshNet can have. After the classifier only operations that keep the
order of the classes are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.importers.source import Array, Convolution, Norm, Source, check_chain
from meshnet.model.spec import Activation, BatchNorm, GroupNorm, NoNorm, SpecError

_Values = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])

#: Values at which activations are compared; erf and tanh form of gelu differ by up to 5e-4 between them.
_SAMPLE: _Values = np.linspace(-6, 6, 241)
_TOLERANCE = 2e-5


def _gelu_tanh(x: _Values) -> _Values:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gelu(x: _Values) -> _Values:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _elu(x: _Values, alpha: float = 1.0) -> _Values:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


_ACTIVATIONS: Mapping[Activation, Callable[[_Values], _Values]] = {
    "relu": lambda x: np.maximum(x, 0),
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}

#: Operations of which an activation may consist: inputs, attributes -> output.
_ELEMENTWISE: Mapping[str, Callable[..., _Values]] = {
    "Relu": lambda x, **_: np.maximum(x, 0),
    "Elu": lambda x, alpha=1.0, **_: _elu(x, alpha),
    "LeakyRelu": lambda x, alpha=0.01, **_: np.where(x > 0, x, alpha * x),
    "Selu": lambda x, alpha=1.67326324, gamma=1.05070102, **_: gamma * _elu(x, alpha),
    "Gelu": lambda x, approximate=b"none", **_: _gelu_tanh(x) if approximate == b"tanh" else _gelu(x),
    "Sigmoid": lambda x, **_: 1 / (1 + np.exp(-x)),
    "Tanh": lambda x, **_: np.tanh(x),
    "Erf": lambda x, **_: _erf(x),
    "Add": lambda a, b, **_: a + b,
    "Sub": lambda a, b, **_: a - b,
    "Mul": lambda a, b, **_: a * b,
    "Div": lambda a, b, **_: a / b,
    "Pow": lambda a, b, **_: a**b,
    "Max": lambda *x, **_: np.maximum.reduce(np.broadcast_arrays(*x)),
}

#: Operations that pass a tensor on as it is, at inference.
_PASS = ("Identity", "Dropout", "Cast")
#: Operations after the classifier that don't change which class is largest.
_TAIL = (*_PASS, "Softmax", "LogSoftmax", "ArgMax", "Squeeze")


def read_chain(path: Path, model: onnx.ModelProto) -> Source:
    """Read the chain of convolutions in `model`, the content of `path`.

    Raises SpecError, which names the node, for everything that a MeshNet can't express.
    """
    graph = _Graph(path, model)
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


@dataclass
class _Layer:
    convolution: Convolution
    dilation: int
    norm: Norm = field(default_factory=NoNorm)
    activation: Activation | None = None


def _check_alike(path: Path, layers: Sequence[_Layer]) -> None:
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


class _Graph:
    """The nodes of an ONNX graph, by the tensors that they take."""

    def __init__(self, path: Path, model: onnx.ModelProto) -> None:
        self.path = path
        self.notes: list[str] = []
        self.opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
        graph = model.graph
        self.outputs = {output.name for output in graph.output}
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            if not self._keep_constant(node):
                for name in dict.fromkeys(node.input):
                    self.users.setdefault(name, []).append(node)
        inputs = [entry for entry in graph.input if entry.name not in self.constants]
        if len(inputs) != 1:
            names = [entry.name for entry in inputs]
            raise SpecError(f"{path}: inputs {names}; expected one, the image [1, channels, D, H, W]")
        self.input = inputs[0].name
        self._check_input(inputs[0])

    def layers(self) -> list[_Layer]:
        """Layers from the input on, the classifier last."""
        layers: list[_Layer] = []
        x = self.input
        while not (layers and self._is_tail(x)):
            node = self._only_user(x)
            if node.op_type in _PASS:
                x = node.output[0]
            elif node.op_type == "Conv":
                if layers and layers[-1].activation is None:
                    name = layers[-1].convolution.name
                    raise SpecError(f"{self._at(node)} follows {name!r} without an activation between them")
                layers.append(self._convolution(node))
                x = node.output[0]
            elif not layers:
                self._refuse(node, "comes before any convolution; a MeshNet starts with one")
            elif node.op_type in ("BatchNormalization", "InstanceNormalization", "GroupNormalization"):
                self._add_norm(layers[-1], node)
                x = node.output[0]
            elif layers[-1].activation is None:
                layers[-1].activation, x = self._activation(x)
            else:
                self._refuse(node, "is not part of a MeshNet: convolution, norm, activation, convolution, …")
        return layers

    def _keep_constant(self, node: onnx.NodeProto) -> bool:
        """Whether the node's result doesn't depend on the image; it is then in `constants`."""
        if node.op_type == "Constant":
            for name, value in _attributes(node).items():
                kept = numpy_helper.to_array(value) if name == "value" else np.asarray(value)
                self.constants[node.output[0]] = kept
            return True
        if node.op_type in ("Identity", "Cast") and node.input[0] in self.constants:
            self.constants[node.output[0]] = self.constants[node.input[0]]
            return True
        return False

    def _check_input(self, entry: onnx.ValueInfoProto) -> None:
        if not entry.type.tensor_type.HasField("shape"):
            return
        shape = [dim.dim_value or None for dim in entry.type.tensor_type.shape.dim]
        if len(shape) != 5:
            raise SpecError(
                f"{self.path}: input {entry.name!r} has {len(shape)} axes; expected 5: [1, channels, D, H, W]"
            )
        if any(size not in (None, 256) for size in shape[2:]):
            self.notes.append(
                f"the file fixes its input to {'x'.join(map(str, shape[2:]))} voxels; "
                f"the imported model runs on the whole volume at once"
            )

    def _only_user(self, x: str) -> onnx.NodeProto:
        users = self.users.get(x, [])
        # The nodes of one activation may share their input.
        if x not in self.outputs and (len(users) == 1 or (users and all(n.op_type in _ELEMENTWISE for n in users))):
            return users[0]
        if x in self.outputs or not users:
            raise SpecError(
                f"{self.path}: the graph ends at {x!r}, before a 1x1x1 convolution; no MeshNet was found in it"
                if not users
                else f"{self.path}: the hidden tensor {x!r} is an output; expected the classes alone"
            )
        names = ", ".join(f"{node.op_type} {_name(node)!r}" for node in users)
        raise SpecError(
            f"{self.path}: {x!r} goes to {names}; graphs that are not a plain chain, such as U-Nets, are not supported"
        )

    def _is_tail(self, x: str) -> bool:
        """Whether everything from `x` on only shows the classes. Notes what is left out."""
        todo, found = [x], []
        while todo:
            tensor = todo.pop()
            users = self.users.get(tensor, [])
            if not users and tensor not in self.outputs:
                return False
            for node in users:
                if node.op_type not in _TAIL:
                    return False
                found.append(node)
                todo += node.output[:1]
        for node in found:
            attributes = _attributes(node)
            if node.op_type in ("Softmax", "LogSoftmax", "ArgMax"):
                default = 0 if node.op_type == "ArgMax" else -1 if self.opset >= 13 else 1
                axis = attributes.get("axis", default)
                if axis not in (1, -4):
                    self._refuse(node, f"works along axis {axis}; expected 1, the classes")
            if node.op_type in ("Softmax", "LogSoftmax"):
                self.notes.append(f"{node.op_type} after the classifier does not change the labels and is left out")
        return True

    def _convolution(self, node: onnx.NodeProto) -> _Layer:
        attributes = _attributes(node)
        weight = self._constant(node, 1)
        if weight.ndim != 5:
            self._refuse(node, f"has weights of shape {weight.shape}; expected a 3-D convolution, [out, in, k, k, k]")
        kernel = weight.shape[2:]
        dilations = list(attributes.get("dilations", [1, 1, 1]))
        if list(attributes.get("kernel_shape", kernel)) != list(kernel):
            self._refuse(node, f"states kernel_shape {attributes['kernel_shape']}, its weights have {list(kernel)}")
        if len(set(dilations)) != 1:
            self._refuse(node, f"has mixed dilations {dilations}; expected the same number along each axis")
        if any(stride != 1 for stride in attributes.get("strides", [1])):
            self._refuse(node, f"has strides {attributes['strides']}; only stride 1 is supported")
        if attributes.get("group", 1) != 1:
            self._refuse(node, f"has group {attributes['group']}; only group 1 is supported")
        pads, auto_pad = list(attributes.get("pads", [0] * 6)), attributes.get("auto_pad", b"NOTSET").decode()
        wanted = [dilations[0] * (k - 1) // 2 for k in kernel] * 2
        if auto_pad == "VALID":
            pads = [0] * 6
        if not auto_pad.startswith("SAME") and pads != wanted:
            self._refuse(node, f"has pads {pads}; expected dilation * (kernel - 1) / 2 = {wanted}")
        bias = self._constant(node, 2) if len(node.input) > 2 and node.input[2] else None
        return _Layer(Convolution(_name(node), weight, bias), dilations[0])

    def _add_norm(self, layer: _Layer, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        convolution = layer.convolution
        if convolution.norm is not None or layer.activation is not None:
            self._refuse(node, "does not follow a convolution directly; it cannot be folded")
        channels = convolution.weight.shape[0]
        names = ["weight", "bias"]
        eps = float(attributes.get("epsilon", 1e-5))
        if node.op_type == "BatchNormalization":
            names += ["running_mean", "running_var"]
            if attributes.get("training_mode", 0):
                self._refuse(node, "is in training mode; export the model after model.eval()")
            layer.norm = BatchNorm(eps=eps)
        else:
            groups = attributes.get("num_groups", channels)
            if groups != channels:
                self._refuse(node, f"has {groups} groups for {channels} channels; expected one group per channel")
            layer.norm = GroupNorm(affine=True, eps=eps)
        norm = {name: self._constant(node, i + 1) for i, name in enumerate(names)}
        for name, array in norm.items():
            if array.shape != (channels,):
                self._refuse(node, f"has a {name} of shape {array.shape} after {channels} channels")
        layer.convolution = Convolution(convolution.name, convolution.weight, convolution.bias, norm)

    def _activation(self, x: str) -> tuple[Activation, str]:
        """The activation that starts at tensor `x`, and the tensor that it gives."""
        values: dict[str, _Values] = {x: _SAMPLE}
        done: list[onnx.NodeProto] = []
        while True:
            open_ends = [name for name in values if any(node not in done for node in self.users.get(name, []))]
            waiting = [node for name in open_ends for node in self.users[name] if node not in done]
            node = next((n for n in waiting if all(i in values or i in self.constants for i in n.input)), None)
            if node is None or node.op_type not in _ELEMENTWISE or not self._scalars(node):
                first = done[0] if done else waiting[0] if waiting else None
                if first is None:
                    raise SpecError(f"{self.path}: the graph ends at {x!r}, which is no output")
                what = "+".join(dict.fromkeys(n.op_type for n in done)) or first.op_type
                self._refuse(first, f"starts {what}, which is no activation of a MeshNet: relu, elu (alpha 1), gelu")
            operands = [values[i] if i in values else np.float64(self.constants[i].item()) for i in node.input]
            with np.errstate(all="ignore"):
                values[node.output[0]] = _ELEMENTWISE[node.op_type](*operands, **_attributes(node))
            done.append(node)
            # The activation is complete where only one tensor goes on.
            y = node.output[0]
            if all(user in done for name in values if name != y for user in self.users.get(name, [])):
                for name, function in _ACTIVATIONS.items():
                    if np.allclose(values[y], function(_SAMPLE), rtol=0, atol=_TOLERANCE):
                        return name, y

    def _scalars(self, node: onnx.NodeProto) -> bool:
        return all(self.constants[name].size == 1 for name in node.input if name in self.constants)

    def _constant(self, node: onnx.NodeProto, index: int) -> Array:
        if index >= len(node.input) or node.input[index] not in self.constants:
            self._refuse(node, f"computes its input {index}; expected weights that the file holds as float numbers")
        array = self.constants[node.input[index]]
        if array.dtype.kind != "f":
            self._refuse(node, f"has weights of {array.dtype}; expected float numbers, export without quantization")
        return np.asarray(array, np.float32)

    def _refuse(self, node: onnx.NodeProto, why: str) -> NoReturn:
        raise SpecError(f"{self._at(node)} {why}")

    def _at(self, node: onnx.NodeProto) -> str:
        return f"{self.path}: {node.op_type} {_name(node)!r}"


def _name(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
