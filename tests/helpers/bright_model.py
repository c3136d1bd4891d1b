"""A model folder that marks bright voxels: its result is known without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meshnet.model.checkpoint import Weights, save_checkpoint
from meshnet.model.spec import Architecture, InputSpec, LabelRole, ModelSpec, make_labels
from tests.helpers.specs import a_spec

_ROLES: dict[str, LabelRole] = {"tissue": "context", "lesion": "lesion"}


def write_bright_model(
    folder: Path,
    *,
    threshold: float = 0.7,
    tissue: float | None = None,
    names: Sequence[str] = (),
    **changes: Any,
) -> Path:
    """A model of one channel that calls a voxel lesion where its normalised intensity exceeds `threshold`.

    It runs on a grid of 40³ voxels of 5 mm. tissue: intensity above which a voxel that is no lesion gets the label
    `tissue`, as in a model of joint labels; None: there is no such label. names: of the labels, if not background,
    (tissue,) lesion. changes: replace fields of the spec.
    """
    names = list(names) or ["background", *([] if tissue is None else ["tissue"]), "lesion"]
    architecture = Architecture(channels=1, classes=len(names), dilations=(1,), activation="relu")
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1.0
    # Logits are lines of growing slope in the intensity; neighbours cross at the limits between the labels.
    limits = [threshold] if tissue is None else [tissue, threshold]
    slopes = [float(index) for index in range(len(names))]
    offsets = [0.0]
    for limit in limits:
        offsets.append(offsets[-1] - limit)
    weights: Weights = {
        "layers.0.conv.weight": kernel,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "classifier.weight": np.array(slopes, np.float32).reshape(-1, 1, 1, 1, 1),
        "classifier.bias": np.array(offsets, np.float32),
    }
    fields: dict[str, Any] = {"task": "stroke lesion", "modality": ("T2w",)}
    spec: ModelSpec = a_spec(
        architecture=architecture,
        labels=make_labels(names, [_ROLES.get(name) if "tissue" in names else None for name in names]),
        input=InputSpec(size=(40, 40, 40), voxel_size_mm=5.0),
        **(fields | changes),
    )
    save_checkpoint(folder, spec, weights)
    return folder


def write_two_bright_models(folder: Path) -> Path:
    """`bright` labels a lesion, `joint` the tissue around it too. Returns the folder of both."""
    write_bright_model(folder / "bright", id="bright", name="bright")
    write_bright_model(folder / "joint", tissue=0.2, id="joint", name="joint")
    return folder
