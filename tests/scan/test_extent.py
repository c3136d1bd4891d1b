"""Longest diameter, central voxel and side of masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meshnet.scan.extent import longest_diameter_mm, nearest_to_mean, side_of
from tests.helpers.scan_files import GEOMETRIES, affine_of


def all_pairs_mm(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    """Largest distance between any two corners of the voxels."""
    offsets = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    corners = (np.argwhere(mask)[:, None] + offsets).reshape(-1, 3) @ affine[:3, :3].T
    return float(max(np.linalg.norm(corners - corner, axis=1).max() for corner in corners))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_longest_diameter_is_that_of_all_pairs_of_corners(geometry: str) -> None:
    affine, _ = GEOMETRIES[geometry]
    smooth = gaussian_filter(np.random.default_rng(3).standard_normal((9, 11, 7)), 1.2)
    for level in (0.05, 0.2, 0.32):
        mask = smooth > level
        assert mask.any()
        assert longest_diameter_mm(mask, affine) == pytest.approx(all_pairs_mm(mask, affine), rel=1e-12)


def test_the_longest_diameter_of_one_voxel_is_its_diagonal() -> None:
    mask = np.zeros((4, 5, 6), bool)
    assert longest_diameter_mm(mask, np.eye(4)) == 0
    mask[1, 2, 3] = True
    affine = affine_of(axes="LPS", voxel_size_mm=(1, 2, 5), rotation_deg=(10, 20, 30))
    assert longest_diameter_mm(mask, affine) == pytest.approx(np.sqrt(1 + 4 + 25))


def test_the_longest_diameter_of_a_ball_and_of_a_bent_rod() -> None:
    places = np.indices((61, 61, 61)) - 30
    ball = (places**2).sum(0) <= 25**2
    assert longest_diameter_mm(ball, np.eye(4)) == pytest.approx(50, abs=np.sqrt(3))
    bent = np.zeros((40, 40, 3), bool)
    bent[:, 0], bent[0, :] = True, True
    assert longest_diameter_mm(bent, np.eye(4)) == pytest.approx(np.sqrt(40**2 + 40**2 + 3**2))


def test_the_central_voxel_lies_in_the_mask() -> None:
    ring = np.array([(0, 0, 0), (4, 0, 0), (0, 4, 0), (4, 4, 0)])
    assert nearest_to_mean(ring).tolist() == [0, 0, 0], "equally near: the first with i running fastest"
    assert nearest_to_mean(np.array([(0, 0, 0), (3, 0, 0), (4, 0, 0)])).tolist() == [3, 0, 0]


def test_left_is_negative_x_and_near_the_midline_is_neither() -> None:
    assert [side_of(x) for x in (-40, -5.1, -5, 0, 5, 5.1, 40)] == (
        ["left", "left", "midline", "midline", "midline", "right", "right"]
    )
    assert side_of(-7, midline_x_mm=-10) == "midline"
    assert side_of(-3, midline_x_mm=-10) == "right"
