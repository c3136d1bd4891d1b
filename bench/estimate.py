"""Estimates of the time of a cell that can't run to its end.

All estimates scale by multiply-adds, because every layer but the first and the last does the same work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshnet.model.spec import Architecture

#: A cell expected to take more caps than this isn't started; the smaller volume's result is scaled instead.
HOPELESS_CAPS = 5.0
#: Share of the cap that a network cut after its first layers should take.
PREFIX_SHARE = 0.75
#: At least two layers: the first reads one channel and says little about the others.
SHORTEST_PREFIX = 2


@dataclass(frozen=True)
class Known:
    """A finished cell of a runtime, from which later cells are predicted."""

    model: str
    size: int
    macs: float
    seconds: float


def layer_macs(architecture: Architecture) -> list[int]:
    """Multiply-adds per voxel of each layer, the classifier last."""
    a = architecture
    widths = [a.in_channels] + [a.channels] * len(a.dilations)
    convolutions = [i * o * a.kernel_size**3 for i, o in pairwise(widths)]
    return [*convolutions, a.channels * a.classes]


def total_macs(architecture: Architecture, size: int) -> float:
    """Multiply-adds of the whole network on a cube of `size` voxels a side."""
    return float(sum(layer_macs(architecture))) * size**3


def gflops(architecture: Architecture, size: int, seconds: float) -> float:
    """Rate in GFLOP/s, two operations per multiply-add of the direct convolution."""
    return 2 * total_macs(architecture, size) / seconds / 1e9


def prefix_share(architecture: Architecture, layers: int) -> float:
    """Share of the multiply-adds in the first `layers` layers and the classifier, 0 to 1."""
    macs = layer_macs(architecture)
    return (sum(macs[:layers]) + macs[-1]) / sum(macs)


def whole_from_part(seconds: float, share: float) -> float:
    """Time of the whole network if `share` of its work took `seconds`. Raises ValueError for a share outside (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"share of the work must be above 0 and at most 1, got {share}")
    return seconds / share


def predict(known: Sequence[Known], model: str, size: int, macs: float) -> tuple[float, Known] | None:
    """Expected seconds of a cell, and the cell that they are scaled from: the next smaller size of the same model, else
    the cell with the most similar work. None without finished cells."""
    same = [k for k in known if k.model == model and k.size < size]
    source = max(same, key=lambda k: k.size, default=None)
    if source is None:
        source = min(known, key=lambda k: abs(k.macs - macs), default=None)
    return None if source is None else (source.seconds * macs / source.macs, source)


def longest_prefix(architecture: Architecture, expected_s: float, cap_s: float) -> int | None:
    """Number of layers that fit into the cap, for runtimes that can't be stopped; None: the whole network fits."""
    if expected_s <= cap_s:
        return None
    layers = len(architecture.dilations)
    fitting = [
        k for k in range(SHORTEST_PREFIX, layers) if expected_s * prefix_share(architecture, k) <= PREFIX_SHARE * cap_s
    ]
    return max(fitting, default=SHORTEST_PREFIX)
