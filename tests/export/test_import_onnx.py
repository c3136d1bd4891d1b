"""ONNX files of other software: chains of dilated convolutions are read, everything else is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.import_model import Answers, import_model
from meshnet.model.onnx import to_onnx
from meshnet.model.spec import BatchNorm, GroupNorm, MinMax, NoNorm, SpecError, make_labels

INPUT = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["background", "brain", "lesion"]))


class Network:
    """An ONNX graph, written node by node. Weights are random."""

    def __init__(self, shape: Sequence[str | int | None] = (1, 1, "D", "H", "W")) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
        self.outputs: list[str] = []
        self.opset = 20
        self.x = "image"

    def add(self, op: str, *more: str, into: str | None = None, **attributes: Any) -> str:
        """A node on the last tensor (`into`: on that one) and `more`."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [into or self.x, *more], [f"{name}.out"], name=name, **attributes))
        self.x = f"{name}.out"
        return self.x

    def constant(self, array: Any, dtype: str = "float32") -> str:
        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def conv(self, inside: int, out: int, kernel: int = 3, dilation: int = 1, **changes: Any) -> str:
        pads = [dilation * (kernel - 1) // 2] * 6
        stated = {"dilations": [dilation] * 3, "pads": pads, "kernel_shape": [kernel] * 3, **changes}
        weight = self.constant(self.random.normal(0, 0.3, (out, inside, kernel, kernel, kernel)))
        bias = self.constant(self.random.normal(0, 0.3, out))
        return self.add("Conv", weight, bias, **{k: v for k, v in stated.items() if v is not None})

    def per_channel(self, count: int, channels: int = 4) -> list[str]:
        return [self.constant(self.random.uniform(0.5, 1.5, channels)) for _ in range(count)]

    def erf_gelu(self) -> str:
        x = self.x
        self.add("Erf", into=self.add("Div", self.constant(np.sqrt(2))))
        self.add("Mul", x, into=self.add("Add", self.constant(1)))
        return self.add("Mul", self.constant(0.5))

    def save(self, folder: Path) -> Path:
        outputs = [helper.make_empty_tensor_value_info(name) for name in self.outputs or [self.x]]
        graph = helper.make_graph(self.nodes, "foreign", self.inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", self.opset)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "foreign.onnx")
        return folder / "foreign.onnx"


Step = Callable[[Network], object]


def relu(n: Network) -> object:
    return n.add("Relu")


def network(after: Step = relu, dilations: tuple[int, ...] = (1, 2, 5), tail: Step = lambda n: None) -> Network:
    """Layers of 4 channels, each followed by `after`, and a classifier of three classes followed by `tail`."""
    n = Network()
    for i, dilation in enumerate(dilations):
        n.conv(1 if i == 0 else 4, 4, dilation=dilation)
        after(n)
    n.conv(4, 3, kernel=1)
    tail(n)
    return n


def then(*steps: Step) -> Step:
    return lambda n: [step(n) for step in steps]


def tanh_gelu(n: Network) -> object:
    x = n.x
    cube = n.add("Mul", n.constant(0.044715), into=n.add("Pow", n.constant(3)))
    n.add("Mul", n.constant(np.sqrt(2 / np.pi)), into=n.add("Add", cube, into=x))
    n.add("Add", n.constant(1), into=n.add("Tanh"))
    half = n.add("Mul", n.constant(0.5), into=x)
    return n.add("Mul", half, into=n.nodes[-2].output[0])


def batch_norm(n: Network) -> object:
    return n.add("BatchNormalization", *n.per_channel(4), epsilon=1e-3)


def instance_norm(n: Network) -> object:
    return n.add("InstanceNormalization", *n.per_channel(2), epsilon=1e-4)


def reshaped_norm(n: Network, channels: int = 4) -> object:
    """GroupNorm as PyTorch's exporter writes it."""
    shape = n.add("Shape")
    n.x = n.nodes[-1].input[0]
    n.add("Reshape", n.constant([0, channels, -1], "int64"))
    n.add("InstanceNormalization", n.constant(np.ones(channels)), n.constant(np.zeros(channels)), epsilon=1e-4)
    return n.add("Reshape", shape)


def affine(n: Network) -> object:
    factor, offset = (n.constant(n.random.uniform(0.5, 1.5, (4, 1, 1, 1))) for _ in range(2))
    return n.add("Add", offset, into=n.add("Mul", factor))


READ: dict[str, tuple[Step, str, object]] = {
    "relu": (relu, "relu", NoNorm()),
    "elu": (lambda n: n.add("Elu"), "elu", NoNorm()),
    "gelu": (lambda n: n.add("Gelu"), "gelu", NoNorm()),
    "tanh gelu": (lambda n: n.add("Gelu", approximate="tanh"), "gelu_tanh", NoNorm()),
    "gelu written with Erf": (lambda n: n.erf_gelu(), "gelu", NoNorm()),
    "gelu written with Tanh": (tanh_gelu, "gelu_tanh", NoNorm()),
    "batch norm": (then(batch_norm, relu), "relu", BatchNorm(eps=float(np.float32(1e-3)))),
    "instance norm": (then(instance_norm, relu), "relu", GroupNorm(affine=True, eps=float(np.float32(1e-4)))),
    "group norm": (then(reshaped_norm, relu), "relu", GroupNorm(affine=True, eps=float(np.float32(1e-4)))),
    "affine group norm": (
        then(reshaped_norm, affine, lambda n: n.erf_gelu()),
        "gelu",
        GroupNorm(affine=True, eps=float(np.float32(1e-4))),
    ),
    "dropout": (then(relu, lambda n: n.add("Dropout")), "relu", NoNorm()),
}


@pytest.mark.parametrize("case", READ)
def test_a_chain_is_read_and_gives_the_same_labels(tmp_path: Path, case: str) -> None:
    after, activation, norm = READ[case]
    path = network(after, tail=lambda n: n.add("ArgMax", axis=1, keepdims=0)).save(tmp_path)

    imported = import_model(path, INPUT)

    a = imported.spec.architecture
    assert (a.dilations, a.activation, a.norm, a.channels, a.classes) == ((1, 2, 5), activation, norm, 4, 3)
    image = np.random.default_rng(1).random((1, 1, 7, 9, 8), np.float32)
    expected = _labels(path.read_bytes(), image)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(
        _labels(to_onnx(imported.spec, imported.weights).SerializeToString(), image), expected
    )


def _labels(model: bytes, image: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def test_padding_by_name_is_the_padding_by_number(tmp_path: Path) -> None:
    n = Network()
    n.conv(1, 4, dilation=3, pads=None, auto_pad="SAME_UPPER")
    n.add("Relu")
    n.conv(4, 3, kernel=1, pads=None, auto_pad="VALID")
    assert import_model(n.save(tmp_path), INPUT).spec.architecture.dilations == (3,)


def test_a_softmax_after_the_classifier_is_left_out_and_said(tmp_path: Path) -> None:
    imported = import_model(network(tail=lambda n: n.add("Softmax", axis=1)).save(tmp_path), INPUT)
    assert imported.notes == ("Softmax after the classifier does not change the labels and is left out",)


def test_a_fixed_input_size_is_said(tmp_path: Path) -> None:
    n = network()
    n.inputs = Network((1, 1, 64, 64, 64)).inputs
    assert "fixes its input to 64x64x64 voxels" in import_model(n.save(tmp_path), INPUT).notes[0]


def test_weights_stored_as_float16_and_cast_are_widened(tmp_path: Path) -> None:
    n = network()
    original = numpy_helper.to_array(n.tensors[0])
    n.tensors[0] = numpy_helper.from_array(original.astype(np.float16), "half")
    n.nodes.insert(0, helper.make_node("Cast", ["half"], ["constant_0"], to=TensorProto.FLOAT))
    weights = import_model(n.save(tmp_path), INPUT).weights
    np.testing.assert_array_equal(weights["layers.0.conv.weight"], original.astype(np.float16))


def test_labels_and_the_preparation_of_the_input_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not state the labels, normalization, orientation"):
        import_model(network().save(tmp_path), Answers())


def first_conv(**changes: Any) -> Network:
    n = Network()
    n.conv(1, 4, **changes)
    n.add("Relu")
    n.conv(4, 3, kernel=1)
    return n


def residual() -> Network:
    n = network(dilations=(1,))
    n.nodes, n.x = n.nodes[:2], n.nodes[1].output[0]
    skip = n.x
    n.conv(4, 4)
    n.add("Add", skip)
    n.conv(4, 3, kernel=1)
    return n


def mixed(first: Step, second: Step) -> Network:
    n = Network()
    for i, step in enumerate((first, second)):
        n.conv(1 if i == 0 else 4, 4)
        step(n)
    n.conv(4, 3, kernel=1)
    return n


def two_inputs() -> Network:
    n = network()
    n.inputs.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    return n


def flat_image() -> Network:
    n = network()
    n.inputs = Network((1, 1, "H", "W")).inputs
    return n


def hidden_output() -> Network:
    n = network()
    n.outputs = [n.nodes[1].output[0], n.x]
    return n


def integers() -> Network:
    n = network()
    n.tensors[0] = numpy_helper.from_array(np.ones((4, 1, 3, 3, 3), np.int8), n.tensors[0].name)
    return n


def computed_weights() -> Network:
    n = network()
    n.nodes.insert(0, helper.make_node("Abs", ["constant_0"], ["computed"]))
    n.nodes[1].input[1] = "computed"
    return n


def two_dimensions() -> Network:
    n = network()
    n.tensors[0] = numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), n.tensors[0].name)
    return n


def starting_with(op: str) -> Network:
    n = Network()
    n.add(op)
    n.conv(1, 4)
    return n


def without_classifier() -> Network:
    n = Network()
    n.conv(1, 4)
    n.add("Relu")
    return n


REFUSED: dict[str, tuple[Callable[[], Network], str]] = {
    "stride": (lambda: first_conv(strides=[2, 2, 2]), r"Conv 'conv_0' has strides \[2, 2, 2\]; only stride 1"),
    "groups": (lambda: first_conv(group=2), "Conv 'conv_0' has group 2; only group 1"),
    "mixed dilations": (lambda: first_conv(dilations=[1, 2, 1]), r"mixed dilations \[1, 2, 1\]"),
    "no padding": (lambda: first_conv(pads=[0] * 6), r"has pads \[0, .*expected dilation \* \(kernel - 1\) / 2"),
    "no padding by name": (lambda: first_conv(pads=None, auto_pad="VALID"), r"has pads \[0, "),
    "kernel of another size": (lambda: first_conv(kernel=5), r"conv_0 has kernel \(5, 5, 5\)"),
    "kernel that disagrees": (lambda: first_conv(kernel_shape=[5, 5, 5]), r"states kernel_shape \[5, 5, 5\]"),
    "2-D convolution": (two_dimensions, r"weights of shape \(4, 1, 3, 3\); expected a 3-D convolution"),
    "integer weights": (integers, "has weights of int8; .*without quantization"),
    "computed weights": (computed_weights, "computes its input 1; expected weights that the file holds"),
    "leaky relu": (lambda: network(lambda n: n.add("LeakyRelu")), "'leakyrelu_1' starts LeakyRelu.*relu, elu"),
    "elu with another alpha": (lambda: network(lambda n: n.add("Elu", alpha=0.5)), "'elu_1' starts Elu"),
    "swish": (lambda: network(lambda n: n.add("Mul", n.x, into=n.add("Sigmoid"))), "'sigmoid_1' starts Sigmoid"),
    "mixed activations": (lambda: mixed(relu, lambda n: n.add("Elu")), "mixed activations: elu after 'conv_2'"),
    "no activation": (lambda: network(lambda n: None), "follows 'conv_0' without an activation"),
    "activation after the classifier": (lambda: network(tail=relu), "relu after the classifier"),
    "two activations": (lambda: network(then(relu, relu)), "Relu 'relu_2' is not part of a MeshNet"),
    "pooling": (lambda: network(then(relu, lambda n: n.add("MaxPool", kernel_shape=[2] * 3))), "MaxPool 'maxpool_2'"),
    "transpose first": (lambda: starting_with("Transpose"), "'transpose_0' comes before any convolution"),
    "skip connection": (residual, "goes to Conv 'conv_2', Add 'add_3'; .*not a plain chain"),
    "two inputs": (two_inputs, r"inputs \['image', 'second'\]; expected one"),
    "a flat image": (flat_image, "input 'image' has 4 axes; expected 5"),
    "a hidden output": (hidden_output, "the hidden tensor 'relu_1.out' is an output"),
    "no classifier": (without_classifier, "the last convolution|found 1 convolution"),
    "mixed norms": (lambda: mixed(then(batch_norm, relu), then(instance_norm, relu)), "norm"),
    "norm after the activation": (lambda: network(then(relu, batch_norm)), "does not follow a convolution directly"),
    "grouped norm": (
        lambda: network(then(lambda n: n.add("GroupNormalization", *n.per_channel(2), num_groups=2), relu)),
        "has 2 groups for 4 channels",
    ),
    "grouped norm with reshapes": (
        lambda: network(then(lambda n: reshaped_norm(n, channels=2), relu)),
        "has 2 groups for 4 channels",
    ),
    "norm in training": (
        lambda: network(then(lambda n: n.add("BatchNormalization", *n.per_channel(4), training_mode=1), relu)),
        "training mode; export the model after model.eval",
    ),
    "norm of another width": (
        lambda: network(then(lambda n: n.add("BatchNormalization", *n.per_channel(4, channels=5)), relu)),
        r"has a weight of shape \(5,\) after 4 channels",
    ),
    "softmax along an axis of space": (lambda: network(tail=lambda n: n.add("Softmax")), "works along axis -1"),
    "argmax along the batch": (lambda: network(tail=lambda n: n.add("ArgMax")), "works along axis 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_is_no_meshnet_is_refused_by_name(tmp_path: Path, case: str) -> None:
    build, says = REFUSED[case]
    path = build().save(tmp_path)
    with pytest.raises(SpecError, match=says):
        import_model(path, INPUT)


def test_weights_in_a_second_file_that_is_missing_are_named(tmp_path: Path) -> None:
    path = network().save(tmp_path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="foreign.data", size_threshold=0)
    assert import_model(path, INPUT).spec.architecture.dilations == (1, 2, 5)
    (tmp_path / "foreign.data").unlink()
    with pytest.raises(SpecError, match=r"its weights are in a second file, which cannot be read.*foreign\.data"):
        import_model(path, INPUT)
