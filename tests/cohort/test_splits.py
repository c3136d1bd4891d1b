"""Folds: balanced within strata, nested, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

from meshnet.cohort.splits import PAPER_QUARTILES, deal_folds, nested_folds, quartile


def test_folds_are_balanced_within_every_stratum() -> None:
    subjects = [f"s{i}" for i in range(97)]
    strata = [f"{i % 4} {'ab'[i % 3 == 0]}" for i in range(97)]
    folds = deal_folds(subjects, strata, 3, seed=4)
    assert max(Counter(folds).values()) - min(Counter(folds).values()) <= 1
    for stratum in set(strata):
        counts = Counter(f for f, s in zip(folds, strata, strict=True) if s == stratum)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_inner_folds_partition_the_training_set_of_each_outer_fold() -> None:
    subjects = [f"s{i}" for i in range(30)]
    outer, inner = nested_folds(subjects, ["x"] * 30, seed=0)
    for fold in range(3):
        tested = [i for i in range(30) if outer[i] == fold]
        assert [i for i in range(30) if inner[fold][i] == -1] == tested
        assert set(inner[fold]) == {-1, 0, 1, 2}


def test_the_same_seed_deals_the_same_folds_whatever_the_order_of_rows() -> None:
    subjects = [f"s{i}" for i in range(20)]
    forward = dict(zip(subjects, deal_folds(subjects, ["x"] * 20, 3, 1), strict=True))
    backward = dict(zip(subjects[::-1], deal_folds(subjects[::-1], ["x"] * 20, 3, 1), strict=True))
    assert forward == backward
    assert deal_folds(subjects, ["x"] * 20, 3, 2) != list(forward.values())


def test_quartiles_of_the_paper_include_their_upper_bound() -> None:
    assert [quartile(v, PAPER_QUARTILES) for v in (204, 33619, 33620, 67891, 128314, 363885)] == [0, 0, 1, 1, 2, 3]
