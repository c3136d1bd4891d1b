"""Volumes of 8- and 16-bit integers: count their values and map them through a table.

A function of such a voxel has at most 65,536 results, so it is computed once per value and looked up per voxel. The
results are those of the function itself.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: Voxels per step. NumPy makes a 64-bit copy of the indices, which stays in the cache then.
_CHUNK = 1 << 16


def is_short_integer(data: NDArray[Any]) -> bool:
    """Whether the dtype is an integer of one or two bytes."""
    return data.dtype.kind in "iu" and data.dtype.itemsize <= 2


def every_value(dtype: np.dtype[Any]) -> NDArray[Any]:
    """All values of a short integer dtype, in the order of their bits read as an unsigned integer."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return np.arange(1 << (8 * dtype.itemsize), dtype=unsigned).view(dtype)


def look_up(table: NDArray[_Scalar], data: NDArray[Any]) -> NDArray[_Scalar]:
    """`table` at every voxel of `data`, in its shape and memory order; table: one entry per value of `every_value`."""
    data = _without_gaps(data)
    out: NDArray[_Scalar] = np.empty_like(data, dtype=table.dtype)
    bits, flat = _bits(data), out.ravel(order="K")
    for start in range(0, bits.size, _CHUNK):
        np.take(table, bits[start : start + _CHUNK], out=flat[start : start + _CHUNK], mode="clip")
    return out


def counted_values(data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values that occur, and the number of voxels of each."""
    counts = np.zeros(1 << (8 * data.dtype.itemsize), np.int64)
    bits = _bits(_without_gaps(data))
    for start in range(0, bits.size, _CHUNK << 4):
        counts += np.bincount(bits[start : start + (_CHUNK << 4)], minlength=counts.size)
    found = np.flatnonzero(counts)
    return every_value(data.dtype)[found], counts[found]


def _without_gaps(data: NDArray[Any]) -> NDArray[Any]:
    return data if data.flags.forc else np.ascontiguousarray(data)


def _bits(data: NDArray[Any]) -> NDArray[Any]:
    """The voxels as unsigned integers in memory order, a view."""
    return data.ravel(order="K").view(f"u{data.dtype.itemsize}")
