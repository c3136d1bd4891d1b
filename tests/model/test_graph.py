"""The layer graph: folding keeps the function, and a changed graph is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshnet.model.graph import build_graph, check_same_graph, fold_spec, folded_weights
from meshnet.model.network import model_from
from meshnet.model.spec import BatchNorm, SpecError
from tests.helpers.export_models import small_model
from tests.helpers.specs import NORMS, a_model


def test_a_changed_norm_is_a_changed_graph() -> None:
    spec, weights = small_model(norm={"kind": "group", "affine": True})
    changed = {**weights, "layers.1.norm.bias": weights["layers.1.norm.bias"] + np.float32(1e-3)}
    with pytest.raises(SpecError, match=r"layers.1 changed the parameters of its norm"):
        check_same_graph(build_graph(spec, weights), build_graph(spec, changed), what="small")


@pytest.mark.parametrize("conv_bias", [True, False])
def test_the_folded_graph_computes_what_batch_norm_computes(conv_bias: bool) -> None:
    spec, weights = a_model(BatchNorm(), conv_bias=conv_bias)
    folded = fold_spec(spec)
    image = torch.rand(1, 1, 9, 11, 7) * 10
    with torch.inference_mode():
        expected = model_from(spec.architecture, weights)(image)
        actual = model_from(folded.architecture, folded_weights(spec, weights))(image)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_folding_twice_changes_nothing(norm: BatchNorm) -> None:
    spec, weights = a_model(norm)
    graph = build_graph(spec, weights)
    again = build_graph(fold_spec(spec), folded_weights(spec, weights))
    check_same_graph(graph, again, what="folding")


def test_a_changed_graph_is_refused() -> None:
    spec, weights = a_model()
    graph = build_graph(spec, weights)
    weights["layers.2.conv.bias"] = weights["layers.2.conv.bias"] + 1
    with pytest.raises(SpecError, match=r"layers\.2 changed its weights"):
        check_same_graph(graph, build_graph(spec, weights), what="round trip")
