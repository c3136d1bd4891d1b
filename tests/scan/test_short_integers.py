"""Volumes of 8- and 16-bit integers by their values: the results are those of a voxel-by-voxel computation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from meshnet.scan.conform import intensity_offset_factor, resample_linear, to_grey_levels
from meshnet.scan.short_integers import counted_values, every_value, look_up

DTYPES = (np.uint8, np.int8, np.uint16, np.int16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_value_is_looked_up_whatever_the_order_in_memory(dtype: type) -> None:
    data = np.random.default_rng(0).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (7, 5, 3), dtype, endpoint=True)
    table = every_value(data.dtype).astype(np.float64) * 2 + 1
    for volume in (data, np.asfortranarray(data), data[::-1, :, ::-1], data.transpose(1, 2, 0), data[:, 1:4]):
        assert np.array_equal(look_up(table, volume), volume.astype(np.float64) * 2 + 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_counted_as_numpy_counts_them(dtype: type) -> None:
    data = np.random.default_rng(1).integers(0, 100, (9, 8, 7)).astype(dtype) - dtype(20)
    values, counts = counted_values(data.transpose(2, 0, 1)[::-1])
    order = np.argsort(values)
    expected = np.unique(data, return_counts=True)
    assert np.array_equal(values[order], expected[0])
    assert np.array_equal(counts[order], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_grey_scale_is_that_of_the_same_values_as_floats(dtype: type) -> None:
    data = np.random.default_rng(2).gamma(2.0, 15.0, (20, 20, 20)).clip(0, 120).astype(dtype) - dtype(5)
    scale = intensity_offset_factor(data)
    assert scale == intensity_offset_factor(data.astype(np.float64))
    assert np.array_equal(to_grey_levels(data, *scale), to_grey_levels(data.astype(np.float64), *scale))


def test_grids_that_differ_by_flips_permutations_and_shifts_copy_the_voxels_that_interpolation_gives() -> None:
    rng = np.random.default_rng(3)
    data = np.asfortranarray(rng.integers(-500, 500, (5, 6, 7), np.int16))
    orders = [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)]
    for order, signs in product(orders, product((1, -1), repeat=3)):
        # 1e-8: rounding noise of an affine. The second shift leaves nothing of the scan in the target.
        for shift in (rng.integers(-3, 8, 3), np.array([0, 40, 0])):
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[list(order)] * signs
            affine[:3, 3] = shift + 1e-8
            copied = resample_linear(data, np.eye(4), affine, (6, 6, 6))
            assert copied.dtype == np.int16
            for voxel in np.ndindex(6, 6, 6):
                at = np.rint(affine[:3] @ [*voxel, 1]).astype(int)
                is_inside = ((at >= 0) & (at < data.shape)).all()
                assert copied[voxel] == (data[tuple(at)] if is_inside else 0)
