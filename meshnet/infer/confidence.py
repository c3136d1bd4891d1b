"""Options of a run that use its probabilities: a threshold, the average with the mirror image, a probability map.

docs/engine.md, "Confidence", has the rules; the arithmetic is in `meshnet.infer.probabilities`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.backends import Network
from meshnet.infer.probabilities import MOST_CLASSES, average, probability_of, threshold_labels
from meshnet.model.label_roles import lesion_indices
from meshnet.model.spec import ModelSpec, SpecError

#: Words in a label's name that say a side: Left-Thalamus, ctx-lh-cuneus.
_SIDES = {"left", "right", "lh", "rh", "l", "r"}


@dataclass(frozen=True)
class Confidence:
    """Options of a run that need its probabilities; by default the network computes none."""

    threshold: float | None = None  #: 0 to 1, on the lesion's probability; None: the most probable label wins
    flip: bool = False  #: average with the run on the left-right mirror image
    probability: bool = False  #: keep the lesion's probability map

    @property
    def runs(self) -> int:
        """Runs of the network per scan."""
        return 2 if self.flip else 1

    @property
    def needs_probabilities(self) -> bool:
        return self.threshold is not None or self.flip or self.probability


#: The plain run.
NO_CONFIDENCE = Confidence()


@dataclass(frozen=True)
class Probability:
    """Probability of the chosen label on both grids, uint8 [i, j, k], 0 to 255 for 0 to 1, resampled like labels."""

    native: NDArray[np.uint8]
    conformed: NDArray[np.uint8]


def check_confidence(spec: ModelSpec, wanted: Confidence) -> None:
    """Raise SpecError if the model doesn't allow these options."""
    classes = spec.architecture.classes
    if not wanted.needs_probabilities:
        return
    if classes > MOST_CLASSES:
        raise SpecError(
            f"{spec.id}: has {classes} labels; --threshold, --flip and --probability take models with up to "
            f"{MOST_CLASSES}"
        )
    if (wanted.threshold is not None or wanted.probability) and chosen_label(spec) is None:
        raise SpecError(
            f"{spec.id}: has {classes} labels and not one of them is a lesion; --threshold and --probability need one"
        )
    if wanted.flip and (sided := sided_label(spec)) is not None:
        raise SpecError(
            f"{spec.id}: its labels have sides ({sided}), and the mirror image exchanges them; run it without --flip"
        )


def has_probabilities(spec: ModelSpec) -> bool:
    """Whether `Confidence.probability` can be asked for."""
    return spec.architecture.classes <= MOST_CLASSES and chosen_label(spec) is not None


def chosen_label(spec: ModelSpec) -> int | None:
    """Index of the label that a threshold and a probability map are about; None if there is none.

    The lesion of a model with one lesion label, else the second label of a model with two.
    """
    lesions = lesion_indices(spec)
    if len(lesions) == 1:
        return lesions[0]
    return 1 if spec.architecture.classes == 2 else None


def sided_label(spec: ModelSpec) -> str | None:
    """The name of the first label that has a side, such as Left-Thalamus; None if none has one."""
    return next((label.name for label in spec.labels if _SIDES & set(re.split(r"[^a-z]+", label.name.lower()))), None)


def run_network(
    network: Network,
    spec: ModelSpec,
    image: NDArray[np.float32],
    step: Callable[[], object],
    wanted: Confidence = NO_CONFIDENCE,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W] in the model's orientation.

    Also returns the probability of the chosen label, uint8 [D, H, W] for 0 to 1, if `wanted.probability`, else None.
    `step` is called as often as `wanted.runs` runs of the network do. `wanted` must have passed `check_confidence`.
    """
    if not wanted.needs_probabilities:
        return network(image, step), None
    labels, probabilities = _with_probabilities(network, spec, image, step)
    if wanted.flip:
        axis = mirror_axis(spec.input.orientation)
        _, mirrored = _with_probabilities(network, spec, np.ascontiguousarray(np.flip(image, axis)), step)
        labels, probabilities = average(probabilities, np.flip(mirrored, axis + 1))
    chosen = chosen_label(spec)
    if wanted.threshold is not None and chosen is not None:
        labels = threshold_labels(labels, probabilities, chosen, wanted.threshold)
    if not wanted.probability or chosen is None:
        return labels, None
    return labels, probability_of(probabilities, chosen)


def mirror_axis(orientation: str) -> int:
    """The axis of an orientation such as LIA that runs from side to side."""
    return next(axis for axis, letter in enumerate(orientation) if letter in "LR")


def _with_probabilities(
    network: Network, spec: ModelSpec, image: NDArray[np.float32], step: Callable[[], object]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    probabilities = np.empty((spec.architecture.classes - 1, *image.shape), np.uint8)
    return network(image, step, probabilities), probabilities
