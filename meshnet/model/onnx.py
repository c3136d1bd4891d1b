"""Write a layer graph as ONNX: input `image` float32 [1, in, D, H, W], output `labels` uint8 [1, D, H, W].

Uses `onnx.helper` alone, so that `meshnet-predict` needs no torch. Two parts differ from the direct translation, both
for the sake of whole 256^3 volumes:

- Classes are reduced in chunks with a running maximum, because 104 classes of 256^3 float32 take 7 GB. The chunks are
  iterations of a Loop, because ONNX Runtime computes the logits of unrolled chunks all at once.
- The per-channel norm is written as means over W, then H, then D. ONNX Runtime's InstanceNormalization sums 16.7
  million voxels in one float32 accumulator per lane, which is wrong by up to 1 % of the result's range on a volume that
  is mostly background.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from meshnet.model.graph import InstanceNorm, Layer, build_graph, stored_model
from meshnet.model.spec import ModelSpec, dump_spec

#: Key of the ModelSpec (JSON) in the ONNX model's `metadata_props`.
METADATA_KEY = "meshnet_model"

#: Opset 20 is the first with Gelu (exact and tanh); IR version 9 belongs to it.
OPSET = 20
IR_VERSION = 9

#: Number of classes whose logits exist at the same time; 8 at 256^3 take 0.5 GB.
CLASSES_PER_CHUNK = 8

_ACTIVATION_NODES: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
}


def to_onnx(
    spec: ModelSpec,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    logits: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
) -> onnx.ModelProto:
    """The model as ONNX, for any spatial size. BatchNorm is folded; the computation is float32.

    `logits=True` adds the output `logits` float32 [1, classes, D, H, W] at full size. `dtype="float16"` stores the
    weights as float16; they are widened before use. Of equal logits the lowest class wins, as in torch.argmax. Tensors
    keep the names of `meshnet.model.checkpoint`; the metadata has the folded ModelSpec under `METADATA_KEY`.

    Raises SpecError if a weight overflows `dtype`.
    """
    stored, values = stored_model(spec, weights, dtype)
    layers = build_graph(stored, values).layers
    writer = _Writer(dtype)
    x = "image"
    for layer in layers[:-1]:
        x = writer.layer(layer, x, bias=stored.architecture.conv_bias)
    writer.classifier(layers[-1], x, bias=stored.architecture.classifier_bias, logits=logits)

    a = stored.architecture
    volume = ["D", "H", "W"]
    outputs = [helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, *volume])]
    if logits:
        outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, a.classes, *volume]))
    graph = helper.make_graph(
        writer.nodes,
        spec.id,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, a.in_channels, *volume])],
        outputs,
        writer.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="meshnet-export"
    )
    helper.set_model_props(model, {METADATA_KEY: dump_spec(stored)})
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """Collects the nodes and initializers of the ONNX graph. Methods take and return tensor names."""

    def __init__(self, dtype: Literal["float32", "float16"]) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def layer(self, layer: Layer, x: str, *, bias: bool) -> str:
        inputs = [x, self._weight(f"{layer.name}.conv.weight", layer.weight)]
        if bias:
            inputs.append(self._weight(f"{layer.name}.conv.bias", layer.bias))
        kernel = layer.kernel_size
        x = self._node(
            "Conv",
            inputs,
            f"{layer.name}.conv",
            kernel_shape=[kernel] * 3,
            dilations=[layer.dilation] * 3,
            pads=[layer.dilation * (kernel - 1) // 2] * 6,
        )
        if layer.norm is not None:
            x = self._instance_norm(f"{layer.name}.norm", layer.norm, x)
        op, attributes = _ACTIVATION_NODES[layer.activation]
        return self._node(op, [x], f"{layer.name}.activation", **attributes)

    def classifier(self, layer: Layer, x: str, *, bias: bool, logits: bool) -> None:
        classes = layer.weight.shape[0]
        weight = self._weight("classifier.weight", layer.weight)
        b = self._weight("classifier.bias", layer.bias) if bias else None
        if logits or classes <= CLASSES_PER_CHUNK:
            z = self._node("Conv", [x, weight, b or ""], "logits", kernel_shape=[1, 1, 1])
            label = self._node("ArgMax", [z], "classifier.argmax", axis=1, keepdims=0)
            self._node("Cast", [label], "labels", to=TensorProto.UINT8)
            return
        # The first chunk has the remainder, so that every iteration of the loop has a full one.
        first = classes % CLASSES_PER_CHUNK or CLASSES_PER_CHUNK
        start = self._constant("chunk.zero", np.zeros(1, np.int64))
        size = self._constant("chunk.size", np.array([CLASSES_PER_CHUNK], np.int64))
        end = self._constant("chunk.first", np.array([first], np.int64))
        maximum, label = self._chunk(x, weight, b, start, end)
        body = _Writer(self.dtype)
        offset = body._node("Add", [body._node("Mul", ["turn", size], "turn.classes"), end], "turn.start")
        limit = body._node("Add", [offset, size], "turn.end")
        value, here = body._chunk(x, weight, b, offset, limit)
        # Strictly greater: of equal logits the lower class wins.
        better = body._node("Greater", [value, "maximum"], "turn.better")
        body._node("Where", [better, here, "label"], "label.next")
        body._node("Max", ["maximum", value], "maximum.next")
        body._node("Identity", ["go"], "go.next")
        turns = (classes - first) // CLASSES_PER_CHUNK
        volume: list[str | int | None] = [1, "D", "H", "W"]
        info = helper.make_tensor_value_info
        self._node(
            "Loop",
            [self._constant("chunk.turns", np.int64(turns)), "", maximum, label],
            "classifier.maximum",
            "labels",
            body=helper.make_graph(
                body.nodes,
                "remaining_classes",
                [
                    info("turn", TensorProto.INT64, []),
                    info("go", TensorProto.BOOL, []),
                    info("maximum", TensorProto.FLOAT, volume),
                    info("label", TensorProto.UINT8, volume),
                ],
                [
                    info("go.next", TensorProto.BOOL, []),
                    info("maximum.next", TensorProto.FLOAT, volume),
                    info("label.next", TensorProto.UINT8, volume),
                ],
                body.initializers,
            ),
        )

    def _chunk(self, x: str, weight: str, bias: str | None, start: str, end: str) -> tuple[str, str]:
        """Largest logit of classes `start` to `end` (tensors of shape [1]) and its class, each [1, D, H, W]."""
        prefix = f"{start}.to"
        inputs = [x, self._node("Slice", [weight, start, end], f"{prefix}.weight")]
        if bias is not None:
            inputs.append(self._node("Slice", [bias, start, end], f"{prefix}.bias"))
        z = self._node("Conv", inputs, f"{prefix}.logits", kernel_shape=[1, 1, 1])
        value = self._node("ReduceMax", [z, self._axes(1)], f"{prefix}.max", keepdims=0)
        index = self._node("ArgMax", [z], f"{prefix}.argmax", axis=1, keepdims=0)
        label = self._node("Add", [index, start], f"{prefix}.class")
        return value, self._node("Cast", [label], f"{prefix}.label", to=TensorProto.UINT8)

    def _instance_norm(self, name: str, norm: InstanceNorm, x: str) -> str:
        centred = self._node("Sub", [x, self._mean(x, f"{name}.mean")], f"{name}.centred")
        squared = self._node("Mul", [centred, centred], f"{name}.squared")
        variance = self._mean(squared, f"{name}.variance")
        eps = self._constant(f"{name}.eps", np.float32(norm.eps))
        std = self._node("Sqrt", [self._node("Add", [variance, eps], f"{name}.variance_eps")], f"{name}.std")
        y = self._node("Div", [centred, std], f"{name}.normalised")
        if norm.weight is None or norm.bias is None:
            return y
        per_channel = (1, -1, 1, 1, 1)
        shape = self._constant("norm.shape", np.array(per_channel, np.int64))
        weight = self._node("Reshape", [self._weight(f"{name}.weight", norm.weight), shape], f"{name}.scale")
        bias = self._node("Reshape", [self._weight(f"{name}.bias", norm.bias), shape], f"{name}.offset")
        return self._node("Add", [self._node("Mul", [y, weight], f"{name}.scaled"), bias], f"{name}.output")

    def _mean(self, x: str, name: str) -> str:
        for axis, letter in ((4, "w"), (3, "h"), (2, "d")):
            x = self._node("ReduceMean", [x, self._axes(axis)], f"{name}_{letter}", keepdims=1)
        return x

    def _axes(self, axis: int) -> str:
        return self._constant(f"axis.{axis}", np.array([axis], np.int64))

    def _weight(self, name: str, array: NDArray[np.float32]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=self.dtype), name))
        if self.dtype == "float32":
            return name
        return self._node("Cast", [name], f"{name}.float32", to=TensorProto.FLOAT)

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        if all(name != tensor.name for tensor in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]
