"""Small models with random weights, for tests of import and export."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshnet.model.checkpoint import Weights, expected_shapes
from meshnet.model.spec import Architecture, ModelSpec, Quantile, WeightsFile, make_labels


def small_model(model_id: str = "small", **architecture: Any) -> tuple[ModelSpec, Weights]:
    """A model with 4 channels, 3 classes and dilations 1, 3, 2 by default, never trained."""
    a = Architecture(**{"channels": 4, "classes": 3, "dilations": (1, 3, 2), "activation": "relu", **architecture})
    spec = ModelSpec(
        id=model_id,
        name="Small",
        architecture=a,
        labels=make_labels([f"class {i}" for i in range(a.classes)]),
        input={"normalization": Quantile(low=0.02, high=0.98)},
        weights=WeightsFile(sha256="0" * 64),
    )
    rng = np.random.default_rng(len(model_id) + a.channels)
    weights: Weights = {}
    for name, shape in expected_shapes(a).items():
        scale = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) == 5 else 0.5
        weights[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
        if name.endswith("running_var"):
            weights[name] = np.abs(weights[name]) + np.float32(0.1)
    return spec, weights


#: One model of every kind that the formats tell apart.
KINDS: dict[str, dict[str, Any]] = {
    "batch norm, relu": {"norm": {"kind": "batch"}},
    "batch norm without bias": {"norm": {"kind": "batch", "eps": 1e-3}, "conv_bias": False},
    "elu, two classes": {"activation": "elu", "classes": 2},
    "group norm, gelu": {"activation": "gelu", "norm": {"kind": "group"}, "conv_bias": False},
    "affine group norm": {"activation": "gelu", "norm": {"kind": "group", "affine": True, "eps": 1e-3}},
    "tanh gelu, two inputs": {"activation": "gelu_tanh", "in_channels": 2},
    "no classifier bias": {"classifier_bias": False},
    "104 classes": {"classes": 104},
    "18 classes": {"classes": 18, "classifier_bias": False},
}
