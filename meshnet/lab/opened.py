"""A model ready to run, and its labels of a conformed image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.backends import Network
from meshnet.model.spec import ModelSpec
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import CONFORMED, reorient


@dataclass(frozen=True)
class Opened:
    """A model with its network, ready to run."""

    spec: ModelSpec
    network: Network


def labels_of(model: Opened, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels uint8 [i, j, k] of a conformed image uint8 [i, j, k], as the network gives them."""
    orientation = model.spec.input.orientation
    labels = model.network(normalize(reorient(image, end=orientation), model.spec.input.normalization), lambda: None)
    return reorient(labels, start=orientation, end=CONFORMED)
