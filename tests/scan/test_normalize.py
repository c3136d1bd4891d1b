"""Intensities are normalised as the ModelSpec states, alike for uint8 and for other dtypes."""

from __future__ import annotations

import numpy as np
import pytest

from meshnet.model.spec import MinMax, Quantile
from meshnet.scan.normalize import normalize


def test_minmax_by_hand() -> None:
    volume = np.array([[[10, 20], [30, 60]]], np.uint8)
    out = normalize(volume, MinMax())
    assert out.dtype == np.float32
    assert out.tolist() == [[[0.0, float(np.float32(0.2))], [float(np.float32(0.4)), 1.0]]]


def test_quantile_by_hand() -> None:
    """Values 0..100: the 2 % and 98 % quantiles are 2 and 98."""
    volume = np.arange(101, dtype=np.uint8).reshape(101, 1, 1)
    out = normalize(volume, Quantile(low=0.02, high=0.98)).ravel()
    assert (out[:3] == 0).all()
    assert (out[98:] == 1).all()
    assert out[50] == np.float32(0.5)
    unclipped = normalize(volume, Quantile(low=0.02, high=0.98, clip=False)).ravel()
    assert unclipped[0] == np.float32(-2 / 96)
    assert unclipped[100] == np.float32(98 / 96)


def test_quantiles_fall_between_voxels() -> None:
    """Four voxels 0, 10, 20, 100: the 50 % quantile is 15, the 90 % one 20 + 0.7 * 80."""
    out = normalize(np.array([100, 0, 20, 10], np.uint8), Quantile(low=0.5, high=0.9, clip=False))
    assert out == pytest.approx((np.array([100, 0, 20, 10]) - 15) / (76 - 15), rel=1e-6)


@pytest.mark.parametrize("rule", [MinMax(), Quantile(low=0.02, high=0.98), Quantile(low=0.0, high=1.0, clip=False)])
@pytest.mark.parametrize("seed", range(4))
def test_grey_levels_and_floats_give_the_same(rule: MinMax | Quantile, seed: int) -> None:
    rng = np.random.default_rng(seed)
    volume = (rng.gamma(2.0, 30.0, (9, 10, 11)) * (rng.random((9, 10, 11)) > 0.4)).clip(0, 255).astype(np.uint8)
    table, floats = normalize(volume, rule), normalize(volume.astype(np.float32), rule)
    # The table's quantiles follow the formula of docs/conform.md; NumPy's differ in the last bit.
    assert np.allclose(table, floats, rtol=0, atol=2e-7)
    assert table.shape == volume.shape


@pytest.mark.parametrize("rule", [MinMax(), Quantile(low=0.02, high=0.98)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_constant_image_is_refused(rule: MinMax | Quantile, dtype: type) -> None:
    with pytest.raises(ValueError, match=r"both 7.0|both 7"):
        normalize(np.full((3, 3, 3), 7, dtype), rule)


def test_an_image_that_is_nearly_all_background_is_refused_by_quantiles() -> None:
    volume = np.zeros((10, 10, 10), np.uint8)
    volume[0, 0, :5] = 200
    with pytest.raises(ValueError, match=r"quantiles 0.02 and 0.98 of the volume are both 0"):
        normalize(volume, Quantile(low=0.02, high=0.98))


def test_non_finite_values_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        normalize(np.array([0.0, np.inf, 1.0], np.float32), MinMax())
