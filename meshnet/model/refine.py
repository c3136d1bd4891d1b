"""Carries a network over from coarse voxels to voxels half the size.

    meshnet-refine COARSE_MODEL_DIR --id t2-lesion -o MODEL_DIR     to 256³ voxels of 1 mm

With every dilation doubled, a MeshNet computes on each of the eight residue classes of every second voxel the function
that it computed on the coarse grid (à trous algorithm). A new first layer smooths the fine image to the resolution of
the coarse one. The refined network is the same function, with a result for every voxel instead of every second one.
Training on coarse voxels is cheaper: a patch holds eight times the anatomy for the same work (docs/lab/own-models.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.finish import check_target, derived, with_threshold
from meshnet.model.label_roles import lesion_indices
from meshnet.model.spec import Architecture, BatchNorm, InputSpec, SpecError

#: Smoothing filter [3, 3, 3]: weights 1-2-1 along each axis, sum 1.
_BINOMIAL = np.einsum("i,j,k->ijk", *[np.array([0.25, 0.5, 0.25])] * 3).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the model is written, 2 for a model that can't be refined."""
    parser = argparse.ArgumentParser(
        prog="meshnet-refine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("coarse", type=Path, help="folder of the model trained on voxels of about 2 mm")
    parser.add_argument("--id", required=True, help="id of the finer model")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write the finer model to")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="as of meshnet-finish (default: 0.5, the plain argmax)"
    )
    args = parser.parse_args(arguments)
    try:
        check_target(args.out, args.id)
        refine_model(args.coarse, args.out, args.id, threshold=args.threshold)
    except (ValueError, SpecError, OSError) as error:
        print(f"meshnet-refine: {error}", file=sys.stderr)
        return 2
    return 0


def refine_model(coarse: Path, out: Path, model_id: str, *, threshold: float = 0.5) -> None:
    """Refine the model folder `coarse`, for voxels of about 2 mm, to the model folder `out` for 256³ voxels of 1 mm.

    The metrics are left out: they were measured on the coarse grid. Raises ValueError as `refined_weights` and
    `with_threshold` do, SpecError for a folder that is no model folder.
    """
    spec, weights = load_checkpoint(coarse)
    a = spec.architecture
    fine = a.model_copy(update={"dilations": (1, *(2 * d for d in a.dilations))})
    options = f"--id {model_id}" + (f" --threshold {threshold}" if threshold != 0.5 else "")
    grid = InputSpec(orientation=spec.input.orientation, normalization=spec.input.normalization)
    about = derived(spec, model_id, f"meshnet-refine {coarse} {options}")
    about = about.model_copy(update={"architecture": fine, "input": grid})
    save_checkpoint(out, about, with_threshold(refined_weights(a, weights, fine), threshold, lesion_indices(spec)))


def is_finer(coarse: Architecture, fine: Architecture) -> bool:
    """Whether `refined_weights` leads from the dilations of `coarse` to those of `fine`."""
    return fine.dilations == (1, *(2 * d for d in coarse.dilations))


def refined_weights(
    coarse: Architecture, weights: dict[str, NDArray[np.float32]], fine: Architecture, *, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Weights of `fine`, float32, under the names of `meshnet.model.checkpoint`.

    The first channel of the new first layer is the smoothed image; the other channels are small random filters, drawn
    with `seed`, that the next layer does not read yet. The image must not be negative, so that ELU and ReLU leave the
    smoothed image unchanged. Raises ValueError where the architectures differ in more than the dilations.
    """
    same = coarse.model_copy(update={"dilations": fine.dilations})
    if not is_finer(coarse, fine) or same != fine or not isinstance(fine.norm, BatchNorm):
        raise ValueError(
            f"expected a BatchNorm network with dilations {(1, *(2 * d for d in coarse.dilations))} and otherwise "
            f"the coarse one's architecture, got {fine.dilations}, {fine.norm.kind}"
        )
    if fine.activation not in ("elu", "relu"):
        raise ValueError(f"expected elu or relu, which keep positive values as they are, got {fine.activation}")
    channels = fine.channels
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 0.02, (channels, 1, 3, 3, 3)).astype(np.float32)
    smooth[0, 0] = _BINOMIAL
    out = _renumbered(weights, 1)
    for name, array in weights.items():
        if name.startswith("layers.0."):
            out[name] = _identity(name.removeprefix("layers.0."), array, fine.norm.eps)
    out["layers.0.conv.weight"] = smooth
    first = np.zeros((channels, channels, 3, 3, 3), np.float32)
    first[:, 0] = weights["layers.0.conv.weight"][:, 0]
    out["layers.1.conv.weight"] = first
    return out


def coarsened_weights(fine: Architecture, weights: Weights, coarse: Architecture) -> dict[str, NDArray[np.float32]]:
    """The weights of the coarse network that `refined_weights` made `fine` from, to continue training on coarse voxels.

    They are exact; a classifier that was changed since is kept. Raises ValueError where the first two layers of the
    refined network are not those that `refined_weights` makes.
    """
    out = _renumbered(weights, -1)
    out["layers.0.conv.weight"] = np.ascontiguousarray(weights["layers.1.conv.weight"][:, :1])
    again = refined_weights(coarse, out, fine)
    for name, array in again.items():
        read = slice(1) if name == "layers.0.conv.weight" else slice(None)  # no layer reads its other channels
        if not np.array_equal(array[read], weights[name][read]):
            raise ValueError(
                f"expected a network as meshnet-refine writes it, whose first layer smooths, but {name} was "
                f"trained since; continue at its dilations {fine.dilations}"
            )
    return out


def _renumbered(weights: Weights, by: int) -> dict[str, NDArray[np.float32]]:
    """Weights with layer n renamed to layer n + by; layers with a negative number are left out."""
    out: dict[str, NDArray[np.float32]] = {}
    for name, array in weights.items():
        if not name.startswith("layers."):
            out[name] = array
            continue
        _, index, rest = name.split(".", 2)
        if int(index) + by >= 0:
            out[f"layers.{int(index) + by}.{rest}"] = array
    return out


def _identity(name: str, like: NDArray[np.float32], eps: float) -> NDArray[np.float32]:
    """The value of a bias or BatchNorm vector that makes its layer the identity; shape of `like`."""
    if name == "norm.running_var":
        return np.full_like(like, 1 - eps)
    return np.ones_like(like) if name == "norm.weight" else np.zeros_like(like)
