"""Whether a volume's values are those of a CT; the page has the same rule (static/src/volume/hounsfield.ts)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note

#: Hounsfield units of air, and the share of all voxels that a CT of a head has of it at least.
AIR_HU, LEAST_AIR = (-1100, -900), 0.1

#: Scanners store HU + 1024 as unsigned numbers. Air near 0 is usual in MRI too, hence the next three.
UNSIGNED_OFFSET = 1024
#: In HU: what is above air, soft tissue, and bone.
TISSUE_HU, SOFT_HU, BONE_HU = -500, (-50, 120), 300
#: Least shares of the voxels above air that are soft tissue and bone. At any scale, real MRI had 0.45 at most.
LEAST_SOFT, LEAST_BONE = 0.5, 0.05


def ct_notes(data: NDArray[Any]) -> list[Note]:
    """A note if the values [i, j, k] look like Hounsfield units, signed or with 1024 added."""
    air = _share(data, AIR_HU, data.size)
    if air >= LEAST_AIR and float(data.max()) > 0:
        return [make_note("looks-like-ct", air, -1000)]
    unsigned_air = _share(data, tuple(edge + UNSIGNED_OFFSET for edge in AIR_HU), data.size)
    above_air = int(np.count_nonzero(data > UNSIGNED_OFFSET + TISSUE_HU))
    if unsigned_air < LEAST_AIR or above_air == 0:
        return []
    soft = _share(data, tuple(edge + UNSIGNED_OFFSET for edge in SOFT_HU), above_air)
    bone = int(np.count_nonzero(data > UNSIGNED_OFFSET + BONE_HU)) / above_air
    if soft >= LEAST_SOFT and bone >= LEAST_BONE:
        return [make_note("looks-like-ct", unsigned_air, UNSIGNED_OFFSET - 1000)]
    return []


def _share(data: NDArray[Any], edges: tuple[int, ...], of: int) -> float:
    """The voxels from the first to the second edge, as a share of this number."""
    return int(np.count_nonzero((data >= edges[0]) & (data <= edges[1]))) / of
