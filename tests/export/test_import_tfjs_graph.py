"""TF.js graph models: the chain of convolutions in the compiled operations is read; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.import_model import Answers, import_model
from meshnet.model.spec import MinMax, NoNorm, SpecError, make_labels
from tests.helpers.tfjs_graphs import Graph, small_graph

ANSWERS = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["background", "brain"]))


@pytest.mark.parametrize("any_size", [False, True])
def test_dilation_activation_and_weights_are_those_of_the_compiled_operations(any_size: bool, tmp_path: Path) -> None:
    graph, kernels = small_graph(any_size=any_size)
    graph.write(tmp_path)
    imported = import_model(tmp_path, ANSWERS)
    a = imported.spec.architecture
    assert (a.dilations, a.activation, a.norm, a.channels, a.classes) == ((1, 2), "gelu", NoNorm(), 4, 2)
    assert np.array_equal(imported.weights["layers.1.conv.weight"], kernels[1].transpose(4, 3, 0, 1, 2))
    assert imported.weights["layers.0.conv.bias"].tolist() == [0, 1, 2, 3]
    assert imported.weights["classifier.bias"].tolist() == [0, 1]


def test_a_factor_and_an_offset_per_channel_are_folded_into_the_convolution(tmp_path: Path) -> None:
    graph, kernels = small_graph(norm=True)
    graph.write(tmp_path)
    weights = import_model(tmp_path, ANSWERS).weights
    factors = np.array([1, 2, 3, 4], np.float32)
    assert np.array_equal(weights["layers.1.conv.weight"], (kernels[1] * factors).transpose(4, 3, 0, 1, 2))
    assert weights["layers.1.conv.bias"].tolist() == [5, 7, 11, 17]


def test_a_batch_norm_that_was_not_folded_is_folded(tmp_path: Path) -> None:
    mean, variance = np.array([1, 2, 3, 4], np.float32), np.array([3, 8, 15, 24], np.float32)

    def add(graph: Graph) -> None:
        graph.add("FusedBatchNormV3", np.ones(4, np.float32), np.zeros(4, np.float32), mean, variance, epsilon={"f": 1})

    graph, kernels = small_graph(edit=add)
    graph.write(tmp_path)
    weights = import_model(tmp_path, ANSWERS).weights
    factors = np.array([1 / 2, 1 / 3, 1 / 4, 1 / 5], np.float32)
    assert np.allclose(weights["layers.0.conv.weight"], (kernels[0] * factors).transpose(4, 3, 0, 1, 2), rtol=1e-6)
    assert np.allclose(weights["layers.0.conv.bias"], (np.arange(4) - mean) * factors, rtol=1e-6)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda g: g.add("MaxPool3D"), r"MaxPool3D '.*' starts no activation of a MeshNet"),
        (lambda g: g.add("LeakyRelu", alpha={"f": 0.2}), "starts no activation of a MeshNet: relu, elu"),
        (lambda g: g.conv(np.ones((3, 3, 3, 4, 4), np.float32), 1), "no activation after"),
        (lambda g: g.add("SpaceToBatchND", np.full(3, 2, np.int32), np.ones((3, 2), np.int32)), "expected 2 along"),
        (lambda g: g.nodes.append({"name": "other", "op": "Placeholder"}), "has 2 inputs, expected one"),
    ],
)  # fmt: skip
def test_operations_that_a_meshnet_lacks_are_named(
    edit: Callable[[Graph], object], message: str, tmp_path: Path
) -> None:
    graph, _ = small_graph(edit=edit)
    graph.write(tmp_path)
    with pytest.raises(SpecError, match=message):
        import_model(tmp_path, ANSWERS)
