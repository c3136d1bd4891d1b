"""Agreement of volumes and bootstrap intervals against published and hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meshnet.score.agreement import agreement, bootstrap, icc, wilson


def test_the_icc_is_that_of_the_anova_table() -> None:
    # Five scans, two measurements. Sums of squares of the two-way table, by hand: rows 77.6, columns 0.4, error 1.6.
    x, y = [1.0, 3.0, 5.0, 7.0, 9.0], [2.0, 3.0, 6.0, 6.0, 10.0]
    rows, columns, error = 77.6 / 4, 0.4, 1.6 / 4
    assert icc(x, y) == pytest.approx((rows - error) / (rows + error + 2 * (columns - error) / 5))


def test_a_constant_shift_lowers_the_icc_though_the_correlation_is_one() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    # mean squares: rows 2 * 5 / 3, columns 8, error 0
    assert icc(x, x + 2) == pytest.approx((10 / 3) / (10 / 3 + 2 * 8 / 4))
    assert icc(x, x) == pytest.approx(1.0)


def test_too_few_scans_have_no_icc() -> None:
    assert math.isnan(icc([1.0], [1.0]))
    assert math.isnan(icc([2.0, 2.0], [2.0, 2.0]))


def test_limits_of_agreement_are_two_standard_deviations_around_the_bias() -> None:
    of = agreement([11.0, 22.0, 33.0, 40.0], [10.0, 20.0, 30.0, 40.0], ["a", "b", "c", "d"])
    assert of.bias_ml == pytest.approx(1.5)
    sd = math.sqrt(((1 - 1.5) ** 2 + (2 - 1.5) ** 2 + (3 - 1.5) ** 2 + 1.5**2) / 3)
    assert of.limits_ml == pytest.approx((1.5 - 1.96 * sd, 1.5 + 1.96 * sd), abs=1e-3)
    assert of.bias_interval[0] < 1.5 < of.bias_interval[1]
    assert of.icc_interval[0] <= of.icc <= 1


def test_intervals_resample_persons_not_scans() -> None:
    """Twenty scans of two persons tell as much about other persons as one scan of each."""
    rng = np.random.default_rng(0)
    reference = rng.uniform(1, 50, 20)
    result = reference + np.repeat([0.0, 8.0], 10)
    clustered = agreement(list(result), list(reference), ["a"] * 10 + ["b"] * 10)
    apart = agreement(list(result), list(reference), [str(i) for i in range(20)])
    assert clustered.bias_interval == pytest.approx((0.0, 8.0))
    assert apart.bias_interval[1] - apart.bias_interval[0] < 5


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 400)
    low, high = bootstrap(list(values))
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert bootstrap(list(values)) == (low, high)
    assert bootstrap(list(values), np.median)[0] < np.median(values)
    assert all(math.isnan(limit) for limit in bootstrap([0.5]))


def test_wilsons_interval_of_a_share() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert wilson(0, 10)[0] == pytest.approx(0.0)
    assert all(math.isnan(limit) for limit in wilson(0, 0))
