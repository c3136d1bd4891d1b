"""What a cell that can't be run to its end would have taken: arithmetic only.

All estimates go by multiply-adds, because every layer but the first and the last does the same work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from meshnet.model.spec import Architecture

#: A cell expected to take more than so many caps isn't started: its smaller volume tells as much.
HOPELESS_CAPS = 5.0
#: Share of the cap that a network of the first layers is chosen to take.
PREFIX_SHARE = 0.75
#: The first layer reads one channel and tells little about the others.
SHORTEST_PREFIX = 2


@dataclass(frozen=True)
class Known:
    """A finished cell of the same runtime: what later cells are predicted from."""

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
    """Share of the work in the first `layers` blocks with the classifier behind them."""
    macs = layer_macs(architecture)
    return (sum(macs[:layers]) + macs[-1]) / sum(macs)


def whole_from_part(seconds: float, share: float) -> float:
    """Time of the whole network when `share` of its work took `seconds`."""
    if not 0 < share <= 1:
        raise ValueError(f"share of the work must be above 0 and at most 1, got {share}")
    return seconds / share


def predict(known: Sequence[Known], model: str, size: int, macs: float) -> tuple[float, Known] | None:
    """Expected seconds of a cell and the cell it is scaled from: the nearest size of the same model, else the
    nearest amount of work of another one. None where nothing is known."""
    same = [k for k in known if k.model == model and k.size < size]
    source = max(same, key=lambda k: k.size, default=None)
    if source is None:
        source = min(known, key=lambda k: abs(k.macs - macs), default=None)
    return None if source is None else (source.seconds * macs / source.macs, source)


def longest_prefix(architecture: Architecture, expected_s: float, cap_s: float) -> int | None:
    """Most blocks that should fit into the cap, for runtimes that can't be stopped; None for the whole network."""
    if expected_s <= cap_s:
        return None
    blocks = len(architecture.dilations)
    fitting = [
        k for k in range(SHORTEST_PREFIX, blocks) if expected_s * prefix_share(architecture, k) <= PREFIX_SHARE * cap_s
    ]
    return max(fitting, default=SHORTEST_PREFIX)
