"""Reorder a conformed (LIA) volume into the axis order a model was trained on, and labels back.

An orientation such as "RAS" names the direction in which each axis i, j, k increases. Only
permutations and flips: no voxel is interpolated.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

CONFORMED = "LIA"

_AXIS_OF_LETTER = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


def reorient(volume: NDArray[_Scalar], *, start: str = CONFORMED, end: str) -> NDArray[_Scalar]:
    """`volume` [i, j, k] in orientation `start`, brought to orientation `end` (C-contiguous copy).

    Its inverse is the same call with `start` and `end` exchanged. Raises ValueError for a string
    that isn't three letters of L/R, A/P, S/I, one of each pair.
    """
    axes_start, axes_end = _world_axes(start), _world_axes(end)
    order = [axes_start.index(axis) for axis in axes_end]
    flips = [axis for axis in range(3) if start[order[axis]] != end[axis]]
    return np.ascontiguousarray(np.flip(volume.transpose(order), flips))


def _world_axes(orientation: str) -> list[int]:
    axes = [_AXIS_OF_LETTER.get(letter, -1) for letter in orientation]
    if sorted(axes) != [0, 1, 2]:
        raise ValueError(
            f"orientation {orientation!r}: expected one letter each of L/R, A/P and S/I, e.g. 'LIA', 'RAS'"
        )
    return axes
