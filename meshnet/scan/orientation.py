"""Reorder a conformed (LIA) volume into the axis order that a model was trained on, and labels back.

An orientation such as "RAS" names the direction in which each of the axes i, j, k increases. Axes are permuted and
flipped; nothing is interpolated.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

CONFORMED = "LIA"

_AXIS_OF_LETTER = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


def reorient(volume: NDArray[_Scalar], *, start: str = CONFORMED, end: str) -> NDArray[_Scalar]:
    """A C-contiguous copy of `volume` [i, j, k], reordered from orientation `start` to orientation `end`.

    The inverse is the same call with `start` and `end` exchanged. Raises ValueError for an orientation that is not one
    letter each of L/R, A/P and S/I.
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
