"""Triangles of a binary STL file, and what can be measured on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: A record of binary STL: normal, three corners, two bytes.
STL = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> NDArray[np.float64]:
    """Corners of the triangles, (triangles, 3, 3), in mm."""
    content = path.read_bytes()
    triangles = np.frombuffer(content, STL, offset=84)
    assert len(triangles) == int.from_bytes(content[80:84], "little")
    corners: NDArray[np.float64] = triangles["corners"].astype(np.float64)
    return corners


def assert_watertight(corners: NDArray[np.float64]) -> None:
    """Each edge is passed once in each direction; corners at one place are one vertex."""
    _, vertices = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    faces = vertices.reshape(-1, 3)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 1
    back = np.unique(edges[:, ::-1], axis=0)
    assert np.array_equal(there, back)


def volume_and_centre(corners: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """In mm3 and mm, as sums over the tetrahedra from the mean of all corners."""
    middle = corners.reshape(-1, 3).mean(0)
    a, b, c = np.moveaxis(corners - middle, 1, 0)
    parts = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return float(parts.sum()), middle + (parts[:, None] * (a + b + c) / 4).sum(0) / parts.sum()
