"""Averages the weights of several states of training and applies a threshold.

    meshnet-finish runs/tissue/frozen/last=0.25 runs/tissue/sulci/last=0.75 --threshold 0.73 --id tissue -o MODEL_DIR

On scans unlike the training data, the average of several states is often better than the last state (Wortsman et al.
2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.folders import file_in_the_way
from meshnet.model.label_roles import lesion_indices
from meshnet.model.spec import ID_PATTERN, ID_RULE, Architecture, InputSpec, ModelSpec, SpecError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the model is written, 2 for states or options that can't be used."""
    parser = argparse.ArgumentParser(
        prog="meshnet-finish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "states",
        nargs="+",
        metavar="MODEL_DIR=SHARE",
        help="model folders of one architecture with shares that add up to 1",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        help="a voxel gets a class where the class is at least threshold / (1 - threshold) times as probable as "
        "background; the lesion of a model with tissue labels: as probable as every other class (default: 0.5, the "
        "plain argmax)",
    )
    parser.add_argument(
        "--layers-only",
        action="store_true",
        help="average the layers only; classifier and labels are those of the last state, whose labels may differ",
    )
    parser.add_argument("--id", required=True, help="id of the model that is written")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write it to")
    args = parser.parse_args(arguments)
    try:
        check_target(args.out, args.id)
        finish_model(_shares(args.states), args.out, args.id, threshold=args.threshold, layers_only=args.layers_only)
    except (ValueError, SpecError, OSError) as error:
        print(f"meshnet-finish: {error}", file=sys.stderr)
        return 2
    return 0


def check_target(out: Path, model_id: str) -> None:
    """Raise ValueError for an id that no model can have, and for a folder that holds something else than a model."""
    if not re.fullmatch(ID_PATTERN, model_id):
        raise ValueError(f"--id {model_id or chr(39) * 2}: expected {ID_RULE}")
    file = file_in_the_way(out)
    if file is not None:
        raise ValueError(f"-o {out}: {file} is a file; expected a folder, or one that doesn't exist yet")
    if out.is_dir() and any(out.iterdir()) and not (out / "model.json").is_file():
        raise ValueError(f"-o {out}: holds {min(p.name for p in out.iterdir())}, no model; choose another folder")


def _shares(states: Sequence[str]) -> dict[Path, float]:
    """`MODEL_DIR=SHARE` to shares by folder. Raises ValueError."""
    shares = {}
    for state in states:
        folder, _, share = state.rpartition("=")
        if Path(folder) in shares:
            raise ValueError(f"{folder}: named twice; give it once, with the sum of its shares")
        try:
            shares[Path(folder)] = float(share)
            if not math.isfinite(shares[Path(folder)]):
                raise ValueError(share)
        except ValueError as error:
            raise ValueError(f"{state}: expected MODEL_DIR=SHARE, for example runs/tissue/last=0.25") from error
    return shares


def finish_model(
    shares: Mapping[Path, float], out: Path, model_id: str, *, threshold: float = 0.5, layers_only: bool = False
) -> None:
    """Write the average of the model folders in `shares`, with a threshold, to the model folder `out`.

    The description is that of the last state, without its metrics. layers_only: the classifier is that of the last
    state; the labels of the others may differ, as after `model.new_classifier`. Raises ValueError where the models
    differ in architecture, input or labels, and as `averaged` and `with_threshold` do; SpecError for a folder that is
    no model folder.
    """
    loaded = {folder: load_checkpoint(folder) for folder in shares}
    kinds = {_comparable(s, layers_only=layers_only) for s, _ in loaded.values()}
    if len(kinds) > 1:
        raise ValueError(
            f"{', '.join(map(str, shares))}: expected models of one architecture, input and list of labels, "
            f"got {len(kinds)}"
        )
    spec = list(loaded.values())[-1][0]
    states = " ".join(f"{folder}={share}" for folder, share in shares.items())
    options = f"--threshold {threshold}" + (" --layers-only" if layers_only else "")
    about = derived(spec, model_id, f"meshnet-finish {states} {options} --id {model_id}")
    last = list(loaded.values())[-1][1]
    kept = {name: array for name, array in last.items() if layers_only and name.startswith("classifier.")}
    weights = averaged([({**weights, **kept}, shares[folder]) for folder, (_, weights) in loaded.items()])
    save_checkpoint(out, about, with_threshold(weights, threshold, lesion_indices(spec)))


def _comparable(spec: ModelSpec, *, layers_only: bool) -> tuple[Architecture, InputSpec, tuple[str, ...]]:
    """The parts of a description in which averaged states must agree."""
    if layers_only:
        return spec.architecture.model_copy(update={"classes": 2}), spec.input, ()
    return spec.architecture, spec.input, tuple(label.name for label in spec.labels)


def derived(spec: ModelSpec, model_id: str, command: str) -> ModelSpec:
    """The description of a model that `command` makes from the one that `spec` describes.

    It has a new id, `command` appended to the commands in the provenance, and no metrics, which belong to the other
    model.
    """
    provenance = spec.provenance.model_copy(update={"command": f"{spec.provenance.command}; {command}"})
    return spec.model_copy(update={"id": model_id, "provenance": provenance, "metrics": {}})


def averaged(states: Sequence[tuple[Weights, float]]) -> dict[str, NDArray[np.float32]]:
    """The mean of every array weighted by the shares, float32, computed in float64.

    Raises ValueError where the shares don't add up to 1.
    """
    total = sum(share for _, share in states)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"expected shares that add up to 1, got {total:g}")
    return {
        name: np.sum([share * weights[name].astype(np.float64) for weights, share in states], axis=0).astype(np.float32)
        for name in states[0][0]
    }


def with_threshold(weights: Weights, threshold: float, lesions: Sequence[int] = ()) -> dict[str, NDArray[np.float32]]:
    """The same network with a threshold in place of the plain argmax.

    log(threshold / (1 - threshold)) is subtracted from the classifier's bias of the classes in `lesions` (empty: of
    every class but background), so that every engine runs the result without a change. Such a class is then argmax only
    where p(class) / (p(class) + p(other)) exceeds `threshold` for every other class. Raises ValueError for a threshold
    outside (0, 1), and for a classifier without a bias.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"expected a threshold between 0 and 1, got {threshold}")
    if threshold == 0.5:
        return dict(weights)
    if "classifier.bias" not in weights:
        raise ValueError(f"a threshold of {threshold} needs a classifier with a bias, but this model has none")
    bias = weights["classifier.bias"].copy()
    bias[list(lesions) or slice(1, None)] -= np.float32(np.log(threshold / (1 - threshold)))
    return dict(weights) | {"classifier.bias": bias}
