"""The page and meshnet-import read the same network from a TF.js graph model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.import_model import Answers, import_model
from meshnet.model.graph import build_graph
from meshnet.model.spec import MinMax, SpecError, make_labels
from tests.helpers.parity.prepared import Site
from tests.helpers.tfjs_graphs import Graph, small_graph

ANSWERS = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["background", "brain"]))


@pytest.mark.parametrize(("any_size", "norm"), [(False, False), (True, True)])
def test_both_read_the_same_layers(any_size: bool, norm: bool, site: Site, tmp_path: Path) -> None:
    small_graph(any_size=any_size, norm=norm)[0].write(tmp_path)
    imported = import_model(tmp_path, ANSWERS)
    results: list[Any] = list(site([{"tfjs": str(tmp_path)}]))
    (layers,) = results
    expected = build_graph(imported.spec, imported.weights).layers
    assert len(layers) == len(expected) == 3
    assert [(layer["dilation"], layer["activation"]) for layer in layers] == [(1, "gelu"), (2, "gelu"), (1, "none")]
    for layer, own in zip(layers, expected, strict=True):
        assert np.allclose(layer["weight"], own.weight.ravel(), rtol=1e-6)
        assert np.allclose(layer["bias"], own.bias, rtol=1e-6)


def test_both_name_the_operation_that_a_meshnet_lacks(site: Site, tmp_path: Path) -> None:
    def pool(graph: Graph) -> None:
        graph.add("MaxPool3D")

    small_graph(edit=pool)[0].write(tmp_path)
    with pytest.raises(SpecError, match=r"MaxPool3D '\S+' starts no activation of a MeshNet: relu, elu"):
        import_model(tmp_path, ANSWERS)
    (result,) = site([{"tfjs": str(tmp_path)}])
    assert '/MaxPool3D" starts no activation of a MeshNet: relu, elu (alpha 1), gelu' in result["error"]
