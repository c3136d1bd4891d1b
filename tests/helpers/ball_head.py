"""A head of simple geometry for synthetic scans."""

from __future__ import annotations

import numpy as np

from meshnet.synth.anatomy import CSF, FAT, GREY, GRID_ORIGIN_MM, GRID_SHAPE, WHITE, Anatomy


def ball_head(name: str) -> Anatomy:
    """Nested ellipsoids where a head would be: scalp, fluid, grey, white, and a ventricle in the middle."""
    axes = [np.arange(n, dtype=np.float32) + o for n, o in zip(GRID_SHAPE, GRID_ORIGIN_MM, strict=True)]
    x, y, z = np.meshgrid(axes[0] / 70, (axes[1] + 18) / 85, (axes[2] - 8) / 70, indexing="ij", sparse=True)
    radius = np.sqrt(x * x + y * y + z * z)
    fractions = np.zeros((8, *GRID_SHAPE), np.uint8)
    shells = ((FAT, 0.92, 1.0), (CSF, 0.85, 0.92), (GREY, 0.7, 0.85), (WHITE, 0.25, 0.7), (CSF, 0.0, 0.25))
    for channel, inner, outer in shells:
        fractions[channel, (radius >= inner) & (radius < outer)] = 255
    ventricles = np.exp(-((radius / 0.3) ** 2)).astype(np.float32)
    return Anatomy(name, fractions, (radius < 0.85).astype(np.uint8), ventricles)
