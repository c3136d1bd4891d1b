"""Aggregation over restarts, folds and subjects, and the tests against a reference model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from meshnet.score.figures import pareto_front, stars
from meshnet.score.summary import Observation, per_subject, summarize


def observed(model: str, values: list[float], *, restart: int = 0) -> list[Observation]:
    return [Observation(model, i % 3, restart, f"s{i}", v) for i, v in enumerate(values)]


def test_restarts_are_averaged_per_subject_before_anything_else() -> None:
    scores = observed("a", [0.2, 0.4, 0.6], restart=0) + observed("a", [0.4, 0.8, 1.0], restart=1)
    assert list(per_subject(scores)["a"].values()) == pytest.approx([0.3, 0.6, 0.8])


def test_the_two_standard_deviations_are_over_folds_and_over_subjects() -> None:
    (summary,) = summarize(observed("a", [0.1, 0.5, 0.9, 0.3, 0.5, 0.7]), "none")
    assert summary.mean == pytest.approx(0.5)
    assert summary.sd_folds == pytest.approx(np.std([0.2, 0.5, 0.8], ddof=1))
    assert summary.sd_subjects == pytest.approx(np.std([0.1, 0.5, 0.9, 0.3, 0.5, 0.7], ddof=1))
    assert math.isnan(summary.p)


def test_p_is_wilcoxons_on_pairs_and_holm_multiplies_the_smallest() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(0.5, 0.9, 24)
    worse, alike = reference - rng.uniform(0.01, 0.2, 24), reference + rng.normal(0, 0.02, 24)
    scores = observed("ref", list(reference)) + observed("worse", list(worse)) + observed("alike", list(alike))
    summary = {s.model: s for s in summarize(scores, "ref")}
    assert summary["worse"].p == pytest.approx(wilcoxon(worse - reference).pvalue)
    assert summary["worse"].p_holm == pytest.approx(2 * summary["worse"].p)
    assert summary["alike"].p_holm == pytest.approx(max(summary["alike"].p, summary["worse"].p_holm))
    assert math.isnan(summary["ref"].p)


def test_equal_models_have_p_one() -> None:
    values = [0.1, 0.2, 0.3, 0.4]
    summary = {s.model: s for s in summarize(observed("ref", values) + observed("same", values), "ref")}
    assert summary["same"].p == 1.0


def test_an_infinite_distance_counts_as_the_worst_and_not_as_missing() -> None:
    (summary,) = summarize(observed("a", [3.0, math.inf, 5.0]), "none")
    assert summary.mean == math.inf
    assert summary.median == 5.0
    assert summary.subjects == 3


def test_undefined_values_are_left_out_of_a_subjects_average() -> None:
    scores = observed("a", [math.nan, 0.4]) + observed("a", [0.2, 0.8], restart=1)
    assert per_subject(scores)["a"] == pytest.approx({(0, "s0"): 0.2, (1, "s1"): 0.6})


@pytest.mark.parametrize(("p", "text"), [(0.2, ""), (0.04, "*"), (0.004, "**"), (1e-6, "***"), (math.nan, "")])
def test_stars_follow_the_usual_limits(p: float, text: str) -> None:
    assert stars(p) == text


def test_the_pareto_front_keeps_only_what_nothing_beats() -> None:
    assert pareto_front([(1, 1), (2, 0.5), (3, 0.7), (0.5, 0.9)]) == [(3, 0.7), (1, 1)]
