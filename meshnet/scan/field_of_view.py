"""Sides on which a scan's field of view cuts the head; the page has the same rule (static/src/volume/field-of-view.ts).

A whole head ends gradually: its outermost plane is small. If the field of view cuts it, that plane is large.
docs/inputs.md has the rule, and what it says of real scans.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.head import LEAST_HEAD_ML, MOST_HEAD_ML, PLANE_SHARE
from meshnet.scan.notes import Note, make_note

#: The head is cut on a side if its outermost plane there has this share of the tissue of the fullest parallel plane.
#: For an ellipsoid of a head's size this is about 15 mm of it: more than scalp and skull.
CUT_SHARE = 0.3

#: A cut through the neck is normal. One at the inferior side counts if less than this height (mm) is in view.
WHOLE_BRAIN_MM = 110.0

#: Sides in the order of the note, and those at the start and end of each RAS axis.
SIDES = ("superior", "inferior", "anterior", "posterior", "left", "right")
_ENDS_OF_AXIS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def cut_notes(data: NDArray[Any], threshold: float, affine_vox2ras: NDArray[np.float64], head_ml: float) -> list[Note]:
    """A note of the sides on which the head [i, j, k] is cut.

    threshold: intensity above which a voxel is tissue; affine [4, 4]: voxel to RAS, mm; head_ml: volume of the tissue.
    A volume that can't be a head's has another note, and none of this kind.
    """
    if not LEAST_HEAD_ML <= head_ml <= MOST_HEAD_ML:
        return []
    tissue = data > np.float64(threshold)
    cuts: dict[str, float] = {}
    for axis, (start, end, height_mm) in enumerate(_end_shares(tissue, affine_vox2ras)):
        direction = affine_vox2ras[:3, axis]
        ras_axis = int(np.argmax(np.abs(direction)))
        sides = _ENDS_OF_AXIS[ras_axis] if direction[ras_axis] > 0 else _ENDS_OF_AXIS[ras_axis][::-1]
        for side, share in zip(sides, (start, end), strict=True):
            if share >= CUT_SHARE and (side != "inferior" or height_mm < WHOLE_BRAIN_MM):
                cuts[side] = max(share, cuts.get(side, 0.0))
    return [make_note("head-cut", [(side, cuts[side]) for side in SIDES if side in cuts])] if cuts else []


def _end_shares(tissue: NDArray[np.bool_], affine_vox2ras: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """For each axis: the shares of the head's first and last plane, and the height in mm between them."""
    across_k = np.count_nonzero(tissue, axis=2)
    counts = (across_k.sum(axis=1), across_k.sum(axis=0), np.count_nonzero(tissue, axis=(0, 1)))
    ends = []
    for axis, voxels in enumerate(counts):
        most = int(voxels.max())
        planes = np.flatnonzero(voxels >= PLANE_SHARE * most)
        first, last = int(planes[0]), int(planes[-1])
        height_mm = (last - first + 1) * float(np.linalg.norm(affine_vox2ras[:3, axis]))
        ends.append((int(voxels[first]) / most, int(voxels[last]) / most, height_mm))
    return ends
