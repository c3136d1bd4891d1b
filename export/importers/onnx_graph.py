"""Walk the nodes of an ONNX graph from its input to its classifier, layer by layer.

The graphs are those of PyTorch's exporters; a GroupNorm is several nodes there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.importers.onnx_activation import ELEMENTWISE, SAMPLE, Values, activation_of
from export.importers.source import Array, Convolution, Norm
from meshnet.model.spec import Activation, BatchNorm, GroupNorm, NoNorm, SpecError

#: Operations that pass a tensor on as it is, at inference.
_PASS = ("Identity", "Dropout", "Cast")
#: Operations after the classifier that don't change which class is largest.
_TAIL = (*_PASS, "Softmax", "LogSoftmax", "ArgMax", "Squeeze")


@dataclass
class Layer:
    convolution: Convolution
    dilation: int
    norm: Norm = field(default_factory=NoNorm)
    activation: Activation | None = None


class Graph:
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

    def layers(self) -> list[Layer]:
        """Layers from the input on, the classifier last."""
        layers: list[Layer] = []
        x = self.input
        while not (layers and self._is_tail(x)):
            if layers and self._is_reshaped_norm(x):
                x = self._add_reshaped_norm(layers[-1], x)
                continue
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
        if x not in self.outputs and (len(users) == 1 or (users and all(n.op_type in ELEMENTWISE for n in users))):
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

    def _convolution(self, node: onnx.NodeProto) -> Layer:
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
        return Layer(Convolution(_name(node), weight, bias), dilations[0])

    def _add_norm(self, layer: Layer, node: onnx.NodeProto) -> None:
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

    def _is_reshaped_norm(self, x: str) -> bool:
        """Whether `x` starts GroupNorm as PyTorch exports it: Reshape, InstanceNormalization, Reshape to the Shape."""
        users = self.users.get(x, [])
        inner = [user for node in users if node.op_type == "Reshape" for user in self.users.get(node.output[0], [])]
        return {node.op_type for node in users} <= {"Reshape", "Shape"} and [node.op_type for node in inner] == [
            "InstanceNormalization"
        ]

    def _add_reshaped_norm(self, layer: Layer, x: str) -> str:
        """Adds the norm to the layer and returns the tensor after it, and after a factor and offset per channel."""
        reshape = next(node for node in self.users[x] if node.op_type == "Reshape")
        norm = self._only_user(reshape.output[0])
        channels = layer.convolution.weight.shape[0]
        groups = self._constant(norm, 1).size
        if groups != channels:
            self._refuse(norm, f"has {groups} groups for {channels} channels; expected one group per channel")
        self._add_norm(layer, norm)
        back = self._only_user(norm.output[0])
        if back.op_type != "Reshape":
            self._refuse(back, "follows a reshaped norm; expected the Reshape to the volume")
        x = back.output[0]
        for op in ("Mul", "Add"):
            values = self._per_channel(x, op, channels)
            if values is None:
                break
            tensors = dict(layer.convolution.norm or {})
            if op == "Mul":
                tensors = {name: array * values for name, array in tensors.items()}
            else:
                tensors["bias"] = tensors["bias"] + values
            layer.convolution = replace(layer.convolution, norm=tensors)
            x = self._only_user(x).output[0]
        return x

    def _per_channel(self, x: str, op: str, channels: int) -> Array | None:
        """The factors or offsets [channels] with which the only user of `x` is `op`; None if it is something else."""
        users = self.users.get(x, [])
        if len(users) != 1 or users[0].op_type != op:
            return None
        constants = [self.constants[name] for name in users[0].input if name in self.constants]
        if len(constants) != 1 or constants[0].shape[-4:] != (channels, 1, 1, 1):
            return None
        return np.asarray(constants[0], np.float32).reshape(channels)

    def _activation(self, x: str) -> tuple[Activation, str]:
        """The activation that starts at tensor `x`, and the tensor that it gives."""
        values: dict[str, Values] = {x: SAMPLE}
        done: list[onnx.NodeProto] = []
        while True:
            open_ends = [name for name in values if any(node not in done for node in self.users.get(name, []))]
            waiting = [node for name in open_ends for node in self.users[name] if node not in done]
            node = next((n for n in waiting if all(i in values or i in self.constants for i in n.input)), None)
            if node is None or node.op_type not in ELEMENTWISE or not self._scalars(node):
                first = done[0] if done else waiting[0] if waiting else None
                if first is None:
                    raise SpecError(f"{self.path}: the graph ends at {x!r}, which is no output")
                what = "+".join(dict.fromkeys(n.op_type for n in done)) or first.op_type
                self._refuse(first, f"starts {what}, which is no activation of a MeshNet: relu, elu (alpha 1), gelu")
            operands = [values[i] if i in values else np.float64(self.constants[i].item()) for i in node.input]
            with np.errstate(all="ignore"):
                values[node.output[0]] = ELEMENTWISE[node.op_type](*operands, **_attributes(node))
            done.append(node)
            # The activation is complete where only one tensor goes on.
            y = node.output[0]
            if all(user in done for name in values if name != y for user in self.users.get(name, [])):
                found = activation_of(values[y])
                if found is not None:
                    return found, y

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
