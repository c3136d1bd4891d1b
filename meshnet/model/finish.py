"""What is done to weights once training is over: states averaged, and a threshold.

    meshnet-finish runs/tissue/last=0.25 runs/tissue-sulci/last=0.75 --threshold 0.73 --id tissue -o MODEL_DIR

States of one line of training, averaged, often do better on scans unlike those trained on than the last of them
does (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.spec import ModelSpec, SpecError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 2 for what can't be averaged."""
    parser = argparse.ArgumentParser(prog="meshnet-finish", description=__doc__)
    parser.add_argument(
        "states", nargs="+", metavar="MODEL_DIR=SHARE", help="models of one architecture, shares add up to 1"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        help="a class is called where it is at least threshold / (1 - threshold) times as probable as background "
        "(default: 0.5, the plain argmax)",
    )
    parser.add_argument("--id", required=True, help="id of the model that is written")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write it to")
    args = parser.parse_args(arguments)
    try:
        finish_model(_shares(args.states), args.out, args.id, threshold=args.threshold)
    except (ValueError, SpecError, OSError) as error:
        print(f"meshnet-finish: {error}", file=sys.stderr)
        return 2
    return 0


def _shares(states: Sequence[str]) -> dict[Path, float]:
    shares = {}
    for state in states:
        folder, _, share = state.rpartition("=")
        if Path(folder) in shares:
            raise ValueError(f"{folder}: named twice; give it once, with the sum of its shares")
        try:
            shares[Path(folder)] = float(share)
        except ValueError as error:
            raise ValueError(f"{state}: expected MODEL_DIR=SHARE, for example runs/tissue/last=0.25") from error
    return shares


def finish_model(shares: Mapping[Path, float], out: Path, model_id: str, *, threshold: float = 0.5) -> None:
    """Write the model that the states, each with its share, become; the last one's description is kept, validation
    scores are left behind. Raises ValueError as `averaged` and `with_threshold` do."""
    loaded = {folder: load_checkpoint(folder) for folder in shares}
    kinds = {(s.architecture, s.input, tuple(label.name for label in s.labels)) for s, _ in loaded.values()}
    if len(kinds) > 1:
        raise ValueError(
            f"{', '.join(map(str, shares))}: expected models of one architecture, input and list of labels, "
            f"got {len(kinds)}"
        )
    spec = list(loaded.values())[-1][0]
    states = " ".join(f"{folder}={share}" for folder, share in shares.items())
    about = derived(spec, model_id, f"meshnet-finish {states} --threshold {threshold} --id {model_id}")
    weights = averaged([(weights, shares[folder]) for folder, (_, weights) in loaded.items()])
    save_checkpoint(out, about, with_threshold(weights, threshold))


def derived(spec: ModelSpec, model_id: str, command: str) -> ModelSpec:
    """The description of a model that `command` makes of the one described: a new id, the command added to those it
    came from, and no metrics, which were the other model's."""
    provenance = spec.provenance.model_copy(update={"command": f"{spec.provenance.command}; {command}"})
    return spec.model_copy(update={"id": model_id, "provenance": provenance, "metrics": {}})


def averaged(states: Sequence[tuple[Weights, float]]) -> dict[str, NDArray[np.float32]]:
    """The weighted mean of every array, float32. Raises ValueError where the shares don't add up to 1."""
    total = sum(share for _, share in states)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"expected shares that add up to 1, got {total:g}")
    return {
        name: np.sum([share * weights[name].astype(np.float64) for weights, share in states], axis=0).astype(np.float32)
        for name in states[0][0]
    }


def with_threshold(weights: Weights, threshold: float) -> dict[str, NDArray[np.float32]]:
    """The same network, whose argmax calls a class only where p / (p + p of background) was above `threshold`.

    That is a constant, log(t / (1 - t)), off the bias of every class but background: every engine runs it as it is.
    Raises ValueError for a threshold that is not between 0 and 1, and for a classifier without a bias.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"expected a threshold between 0 and 1, got {threshold}")
    if threshold == 0.5:
        return dict(weights)
    if "classifier.bias" not in weights:
        raise ValueError(f"a threshold of {threshold} needs a classifier with a bias, which this model has not")
    bias = weights["classifier.bias"].copy()
    bias[1:] -= np.float32(np.log(threshold / (1 - threshold)))
    return dict(weights) | {"classifier.bias": bias}
