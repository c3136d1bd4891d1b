"""Scores of made-up models on a made-up data set, with lesions of all sizes and scans without one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from meshnet.score.data_set import ReferenceScan
from meshnet.score.scan_scores import ScanScore


def simulated(
    models: dict[str, float], *, persons: int = 60, seed: int = 0
) -> tuple[list[ScanScore], dict[str, ReferenceScan]]:
    """Scores of each model (name to quality, 0 to 1) and the scans; every tenth person has no lesion, every seventh two
    scans."""
    rng = np.random.default_rng(seed)
    scans: dict[str, ReferenceScan] = {}
    volumes: dict[str, float] = {}
    for person in range(persons):
        for session in range(1 + (person % 7 == 0)):
            name = f"sub-{person:03d}_ses-{session}_T2w"
            centre, acquisition = ("north", "south", "west")[person % 3], ("spc3", "tse3")[person % 2]
            scans[name] = ReferenceScan(name, f"{person:03d}", "T2w", acquisition, centre, Path(name), Path(name))
            volumes[name] = 0.0 if person % 10 == 9 else float(np.exp(rng.uniform(np.log(0.2), np.log(250))))
    scores = []
    for model, quality in models.items():
        for name, scan in scans.items():
            scores.append(_score(model, quality, scan, volumes[name], rng))
    return scores, scans


def _score(model: str, quality: float, scan: ReferenceScan, volume: float, rng: np.random.Generator) -> ScanScore:
    false = float(rng.poisson(3 * (1 - quality)))
    outside = float(rng.exponential(1 - quality))
    outsides = {"false_lesions": false, "outside_ml": outside, "outside_far_ml": outside / 2}
    names = ("dice_lesion", "dice_macro", "hd95_mm", "msd_mm", "lesion_f1", "lesion_sensitivity")
    names += ("volume_error_ml", "volume_error_abs_ml", "volume_error_percent")
    if volume == 0:
        marked = float(rng.exponential(2 * (1 - quality)))
        return ScanScore(model, scan.name, scan.subject, 0.0, marked, dict.fromkeys(names, math.nan) | outsides)
    dice = float(np.clip(quality * (1 - np.exp(-volume / 4)) + rng.normal(0, 0.07), 0, 0.97))
    result = 0.0 if dice == 0 else float(volume * np.exp(rng.normal(-0.05, 0.4 * (1 - quality) + 0.05)))
    lesion_ml = (0.8 * volume, 0.15 * volume, 0.05 * volume)
    found = tuple(bool(dice > 0 and rng.uniform() < quality * (1 - np.exp(-2 * ml))) for ml in lesion_ml)
    error = result - volume
    values = (dice, (dice + 0.998) / 2, 40 * (1 - dice), 9 * (1 - dice), dice, sum(found) / 3, error, abs(error))
    of_lesion = dict(zip(names, (*values, 100 * error / volume), strict=True))
    return ScanScore(model, scan.name, scan.subject, volume, result, of_lesion | outsides, lesion_ml, found)
