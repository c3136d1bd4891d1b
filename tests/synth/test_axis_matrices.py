"""Separable operations against SciPy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from meshnet.synth.axis_matrices import (
    apply_along_axes,
    gaussian_matrix,
    linear_weights,
    slice_matrix,
    smooth_noise,
    spline_weights,
)

VOLUME = np.random.default_rng(0).standard_normal((2, 9, 14, 23)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sigma", [0.4, 1.1])
def test_gaussian_blur_is_scipys_away_from_the_border(axis: int, sigma: float) -> None:
    matrices = [gaussian_matrix(VOLUME.shape[1 + a], sigma) if a == axis else None for a in range(3)]
    got = apply_along_axes(torch.from_numpy(VOLUME), matrices).numpy()
    expected = ndimage.gaussian_filter1d(VOLUME, sigma, axis=1 + axis, truncate=4.0)
    margin = int(4 * sigma + 0.5)
    inner = [slice(None)] * 4
    inner[1 + axis] = slice(margin, VOLUME.shape[1 + axis] - margin)
    if VOLUME.shape[1 + axis] > 2 * margin:
        np.testing.assert_allclose(got[tuple(inner)], expected[tuple(inner)], atol=3e-4)
    flat = apply_along_axes(torch.ones(1, *VOLUME.shape[1:]), matrices)
    torch.testing.assert_close(flat, torch.ones_like(flat))


def test_three_axes_at_once_are_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    matrices = [rng.standard_normal((m, n)) for m, n in zip((4, 15, 6), VOLUME.shape[1:], strict=True)]
    got = apply_along_axes(torch.from_numpy(VOLUME), matrices).numpy()
    expected = np.einsum("cxyz,ax,by,dz->cabd", VOLUME, *matrices, optimize=True)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_spline_weights_are_scipys_cubic_b_spline() -> None:
    control = np.random.default_rng(2).standard_normal(12)
    positions = np.linspace(2.0, 9.0, 37)
    expected = ndimage.map_coordinates(control, positions[None], order=3, prefilter=False)
    np.testing.assert_allclose(spline_weights(positions, 12) @ control, expected, atol=1e-12)


@pytest.mark.parametrize(("spacing", "profile", "offset"), [(3.0, 1.0, 0.5), (2.5, 0.7, 0.13), (6.0, 0.6, 0.9)])
def test_thick_slices_are_means_joined_by_straight_lines(spacing: float, profile: float, offset: float) -> None:
    signal = np.random.default_rng(3).standard_normal(31)
    fine = np.repeat(signal, 1000)  # each voxel as 1,000 samples
    at = (np.arange(fine.size) + 0.5) / 1000 - 0.5
    centers = [c for c in (np.arange(40) + offset - 0.5) * spacing if 1 <= c <= 29]
    means = [fine[np.abs(at - c) < profile * spacing / 2].mean() for c in centers]
    inside = np.arange(int(np.ceil(centers[0])), int(centers[-1]) + 1)
    got = slice_matrix(31, spacing, profile, offset) @ signal
    np.testing.assert_allclose(got[inside], np.interp(inside, centers, means), atol=2e-3)
    np.testing.assert_allclose(slice_matrix(31, spacing, profile, offset) @ np.ones(31), 1.0)


def test_linear_weights_hold_the_ends() -> None:
    knots, values = np.array([1.0, 2.5, 7.0]), np.array([3.0, -1.0, 4.0])
    positions = np.array([-2.0, 1.0, 1.75, 6.9, 7.0, 9.0])
    np.testing.assert_allclose(linear_weights(positions, knots) @ values, np.interp(positions, knots, values))


def test_noise_has_unit_variance_and_is_the_same_wherever_it_is_asked_for() -> None:
    def field(positions: list[np.ndarray]) -> torch.Tensor:
        rng = torch.Generator().manual_seed(5)
        return smooth_noise((60, 70, 80), positions, 3.0, rng, torch.device("cpu"))

    whole = [np.arange(n, dtype=float) for n in (60, 70, 80)]
    noise = field(whole)
    assert abs(float(noise.mean())) < 0.1
    assert 0.95 < float(noise.std()) < 1.05
    part = field([whole[0][10:20], whole[1][::2], whole[2][5:6]])
    torch.testing.assert_close(part, noise[10:20, ::2, 5:6], atol=1e-5, rtol=1e-5)
    assert float((noise[1:] - noise[:-1]).std()) < 0.6
