"""A valid model description to start from."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshnet.model.checkpoint import Weights, expected_shapes
from meshnet.model.spec import (
    Architecture,
    BatchNorm,
    GroupNorm,
    ModelSpec,
    NoNorm,
    WeightsFile,
    make_labels,
)


def a_spec(**changes: Any) -> ModelSpec:
    """A model of 3 channels and 2 classes, `background` and `lesion`; `changes` replace fields."""
    fields: dict[str, Any] = {
        "id": "tiny",
        "name": "Tiny",
        "architecture": Architecture(channels=3, classes=2, dilations=(1, 2), activation="relu"),
        "labels": make_labels(["background", "lesion"]),
        "weights": WeightsFile(sha256="0" * 64),
    }
    return ModelSpec(**(fields | changes))


#: Every kind of normalisation.
NORMS = (NoNorm(), BatchNorm(), GroupNorm(), GroupNorm(affine=True))


def a_model(norm: NoNorm | BatchNorm | GroupNorm = NoNorm(), **changes: object) -> tuple[ModelSpec, Weights]:  # noqa: B008
    architecture = Architecture(channels=3, classes=2, dilations=(1, 4, 2), activation="elu", norm=norm)
    architecture = architecture.model_copy(update=changes)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(0.2, 1.0, shape).astype(np.float32) for name, shape in expected_shapes(architecture).items()
    }
    return a_spec(architecture=architecture), weights
