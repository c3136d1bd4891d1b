"""MNI position of a head from its own labels: where the lesion masks, which are in MNI space, belong in it.

The affine is fitted to the centres of labelled structures and to the extent of the cerebrum. No image is registered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: MNI mm (RAS) of structures' centres, right hemisphere at x > 0: FreeSurfer's left/right label numbers and the centre
#: of the right one. Midline structures have one label. Rounded from the Harvard-Oxford subcortical atlas.
_PAIRED_CENTERS_MM = {
    (10, 49): (11, -18, 7),
    (11, 50): (13, 10, 10),
    (12, 51): (25, 2, 0),
    (13, 52): (20, -4, -1),
    (17, 53): (26, -21, -14),
    (18, 54): (23, -4, -18),
    (26, 58): (9, 12, -7),
    (8, 47): (25, -63, -36),
}
_MIDLINE_CENTERS_MM = {16: (0, -30, -32), 15: (0, -46, -32)}

#: Extent of the cerebrum (cortex and white matter) in MNI mm: x half-width, y from back to front, top.
_CEREBRUM_HALF_WIDTH_MM = 69.0
_CEREBRUM_BACK_MM, _CEREBRUM_FRONT_MM = -104.0, 71.0
_CEREBRUM_TOP_MM = 78.0
_CEREBRUM_LABELS = (2, 3, 41, 42)


def fit_mni_to_voxel(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Affine [3, 4] from MNI mm (RAS) to voxels of `labels` (FreeSurfer numbers, 1 mm, any axis order).

    Raises ValueError where fewer than four of the structures are labelled.
    """
    mni, voxel = _centers(labels)
    if len(mni) < 4:
        raise ValueError(f"expected at least 4 of the structures that place a head in MNI space, got {len(mni)}")
    # scaled rotation first (Umeyama's closed form), then a scale per MNI axis from the cerebrum's extent
    rotation, scale, mni_mean, voxel_mean = _similarity(mni, voxel)
    cerebrum = np.argwhere(np.isin(labels, _CEREBRUM_LABELS))[::7]
    if len(cerebrum) < 1000:  # too little cerebrum to measure
        linear = rotation * scale
        return np.column_stack([linear, voxel_mean - linear @ mni_mean])
    aligned = (cerebrum - voxel_mean) @ rotation  # mm along the MNI axes, from the landmarks' middle
    low, high = np.percentile(aligned, 0.05, axis=0), np.percentile(aligned, 99.95, axis=0)
    scales = np.array(
        [
            (high[0] - low[0]) / (2 * _CEREBRUM_HALF_WIDTH_MM),
            (high[1] - low[1]) / (_CEREBRUM_FRONT_MM - _CEREBRUM_BACK_MM),
            (high[2] - _along(aligned, mni, scale)) / _CEREBRUM_TOP_MM,
        ]
    )
    scales = np.clip(scales, 0.75 * scale, 1.3 * scale)
    linear = rotation * scales
    middle_mm = np.array([0.0, (_CEREBRUM_FRONT_MM + _CEREBRUM_BACK_MM) / 2, _CEREBRUM_TOP_MM])
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2]])
    offset = rotation @ (middle - scales * middle_mm) + voxel_mean
    return np.column_stack([linear, offset])


def _along(aligned: NDArray[np.float64], mni: NDArray[np.float64], scale: float) -> float:
    """Height (aligned mm) of the MNI origin plane z = 0, by the landmarks' similarity."""
    return float(-scale * mni[:, 2].mean())


def _centers(labels: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mni, voxel = [], []
    for numbers, center in _PAIRED_CENTERS_MM.items():
        for number, side in zip(numbers, (-1, 1), strict=True):
            where = np.argwhere(labels == number)
            if len(where) > 50:
                mni.append((side * center[0], center[1], center[2]))
                voxel.append(where.mean(axis=0))
    for number, center in _MIDLINE_CENTERS_MM.items():
        where = np.argwhere(labels == number)
        if len(where) > 50:
            mni.append(center)
            voxel.append(where.mean(axis=0))
    return np.array(mni, float), np.array(voxel, float)


def _similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64], NDArray[np.float64]]:
    """Rotation (or reflection: axis orders differ in handedness) and scale, least squares (Umeyama 1991)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a)
    return u @ vt, float(singular.sum() / (a**2).sum()), source_mean, target_mean
