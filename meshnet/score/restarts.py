"""Counts the runs behind a row of Table 1, and those of them that collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshnet.score.scores import Score
from meshnet.train.collapse import ALL_BACKGROUND


@dataclass(frozen=True)
class Runs:
    """Runs of one model: all of them, and the collapsed ones. scans, empty: scored scans, and those of them in which
    no voxel was predicted, over all runs."""

    total: int
    collapsed: int
    scans: int
    empty: int


def count_runs(scores: Sequence[Score]) -> dict[str, Runs]:
    """The runs of each model, in the order of first appearance."""
    counts = {}
    for model in dict.fromkeys(s.model for s in scores):
        own = [s for s in scores if s.model == model]
        runs = {(s.fold, s.restart) for s in own}
        collapsed = {(s.fold, s.restart) for s in own if s.collapsed}
        counts[model] = Runs(len(runs), len(collapsed), len(own), sum(s.empty for s in own))
    return counts


def mark_collapsed(scores: Sequence[Score], reason: str) -> list[Score]:
    """The scores of one run with its reason to count as collapsed.

    reason: of the training (meshnet.train.collapse), empty where it ended well. A run without a predicted voxel on its
    whole test fold is collapsed too.
    """
    if not reason and scores and all(s.empty for s in scores):
        reason = ALL_BACKGROUND
    return [replace(s, collapsed=reason) for s in scores]
