"""Folds of the nested cross-validation: stratified, grouped by subject, determined by the seed.

Does not use scikit-learn, because its shuffling may change between versions and a fold must never change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OUTER_FOLDS = 3
INNER_FOLDS = 3

#: Upper bounds of the first three lesion-volume quartiles of the paper's cohort, in voxels of 1 mm^3.
PAPER_QUARTILES = (33619, 67891, 128314)


def own_quartiles(lesion_voxels: Sequence[int]) -> tuple[int, int, int]:
    """Upper bounds (voxels) of the first three quartiles of these lesions: linear interpolation, rounded up."""
    bounds = np.ceil(np.quantile(np.asarray(lesion_voxels), (0.25, 0.5, 0.75))).astype(int)
    return int(bounds[0]), int(bounds[1]), int(bounds[2])


def quartile(lesion_voxels: int, bounds: Sequence[int]) -> int:
    """0 to 3: the interval (.., b0], (b0, b1], (b1, b2] or (b2, ..) that contains the volume."""
    return sum(lesion_voxels > bound for bound in bounds)


def deal_folds(subjects: Sequence[str], strata: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold, 0 to folds - 1, of each row; all rows of a subject get the same fold.

    A subject's stratum is that of its first row. The subjects, shuffled within each stratum and stratum after stratum,
    are dealt to the folds in turn. So the folds' shares of a stratum, and of all subjects, differ by at most one
    subject. Raises ValueError for fewer subjects than folds.
    """
    stratum_of: dict[str, str] = {}
    for subject, stratum in zip(subjects, strata, strict=True):
        stratum_of.setdefault(subject, stratum)
    if len(stratum_of) < folds:
        raise ValueError(f"expected at least {folds} subjects for {folds} folds, got {len(stratum_of)}")
    rng = np.random.default_rng(seed)
    order: list[str] = []
    for stratum in sorted(set(stratum_of.values())):
        members = sorted(s for s, own in stratum_of.items() if own == stratum)
        order.extend(members[i] for i in rng.permutation(len(members)))
    names = rng.permutation(folds)
    fold_of = {subject: int(names[position % folds]) for position, subject in enumerate(order)}
    return [fold_of[subject] for subject in subjects]


def nested_folds(subjects: Sequence[str], strata: Sequence[str], seed: int) -> tuple[list[int], list[list[int]]]:
    """`(outer, inner)`: outer[row] is the outer fold that tests the row; inner[f][row] is its inner fold within the
    training set of outer fold f, or -1 if f tests it."""
    outer = deal_folds(subjects, strata, OUTER_FOLDS, seed)
    inner = []
    for fold in range(OUTER_FOLDS):
        rows = [row for row, own in enumerate(outer) if own != fold]
        dealt = deal_folds([subjects[r] for r in rows], [strata[r] for r in rows], INNER_FOLDS, seed + 1 + fold)
        column = [-1] * len(outer)
        for row, value in zip(rows, dealt, strict=True):
            column[row] = value
        inner.append(column)
    return outer, inner
