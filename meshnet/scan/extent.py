"""Size and place of a mask in world millimetres: longest diameter, central voxel, side of the head.

`static/src/volume/extent.ts` has the same rules; a test in tests/parity compares the numbers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Side = Literal["left", "right", "midline"]

#: A centre at most this far from the midline is neither left nor right.
MIDLINE_MM = 5.0

#: Pairs of points whose distances are computed in one step.
_PAIRS = 1 << 20


def longest_diameter_mm(mask: NDArray[np.bool_], affine_vox2ras: NDArray[np.float64]) -> float:
    """The largest distance in mm between two points of a mask [i, j, k], whose voxels are solid boxes.

    Exact for every grid: the distance between the two corners of voxels that are farthest apart. Affine [4, 4]: voxel
    to RAS, mm. 0 for an empty mask.
    """
    points = _outer_corners(mask) @ affine_vox2ras[:3, :3].T
    if len(points) == 0:
        return 0.0
    from_centre = np.linalg.norm(points - points.mean(0), axis=1)
    one = points[np.argmax(from_centre)]
    other = points[np.argmax(((points - one) ** 2).sum(1))]
    best = float(((one - other) ** 2).sum())
    # A pair that is farther apart than `best` has no point nearer to the centre than this.
    points = points[from_centre >= np.sqrt(best) - from_centre.max() - 1e-6]
    step = max(1, _PAIRS // len(points))
    for start in range(0, len(points), step):
        apart = points[start : start + step, None] - points[None, start:]
        best = max(best, float((apart**2).sum(2).max()))
    return float(np.sqrt(best))


def nearest_to_mean(places: NDArray[np.int_]) -> NDArray[np.int_]:
    """Of voxel indices [n, 3], the one nearest to their mean; of equally near ones the first with i running fastest."""
    places = places[np.lexsort(tuple(places.T))]
    i, j, k = (places - places.sum(0) / len(places)).T
    nearest: NDArray[np.int_] = places[np.argmin(i**2 + j**2 + k**2)]
    return nearest


def side_of(x_mm: float, midline_x_mm: float = 0.0) -> Side:
    """The patient's side of a place with this world x (RAS), by its distance from the midline."""
    from_midline = np.floor((x_mm - midline_x_mm) * 1e6 + 0.5) / 1e6
    if abs(from_midline) <= MIDLINE_MM:
        return "midline"
    return "left" if from_midline < 0 else "right"


def _outer_corners(mask: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Corners [n, 3] of voxels that come first or last in their row along every axis; the farthest pair is among them.

    Distance is convex along a row, so that of a row only its ends can be farthest from anything.
    """
    (box,) = find_objects(mask.astype(np.uint8)) or (None,)
    if box is None:
        return np.empty((0, 3), int)
    corners = np.zeros([side.stop - side.start + 1 for side in box], bool)
    for i, j, k in np.ndindex(2, 2, 2):
        di, dj, dk = corners.shape
        corners[i : di - 1 + i, j : dj - 1 + j, k : dk - 1 + k] |= mask[box]
    outer = corners.copy()
    for axis, length in enumerate(corners.shape):
        place = np.arange(length).reshape([-1 if n == axis else 1 for n in range(3)])
        first = corners.argmax(axis, keepdims=True)
        last = length - 1 - np.flip(corners, axis).argmax(axis, keepdims=True)
        outer &= (place == first) | (place == last)
    return np.argwhere(outer)
