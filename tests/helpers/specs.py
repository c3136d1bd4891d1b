"""A valid model description to start from."""

from __future__ import annotations

from typing import Any

from meshnet.model.spec import Architecture, ModelSpec, WeightsFile, make_labels


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
