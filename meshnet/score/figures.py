"""The report's figures, as Matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from meshnet.cohort.prepare import read_index
from meshnet.score.scores import Score
from meshnet.score.summary import Summary

_CASES, _MODELS = 3, 4


def box_plots(
    dice: Mapping[str, Mapping[tuple[int, str], float]], table: Mapping[str, Summary], reference: str
) -> Figure:
    """Box plots (quartiles, whiskers to 1.5 IQR) of the lesion Dice per subject; stars for p after Holm."""
    figure = Figure(figsize=(1.6 + 0.9 * len(table), 4.5))
    axes = figure.subplots()
    models = list(table)
    axes.boxplot([list(dice[m].values()) for m in models], tick_labels=models, widths=0.6)
    for position, model in enumerate(models, start=1):
        p = table[model].p_holm
        text = "ref." if model == reference else "" if np.isnan(p) else _stars(p)
        axes.text(position, 1.02, text, ha="center", va="bottom")
    axes.set_ylim(-0.02, 1.1)
    axes.set_ylabel("lesion Dice")
    axes.tick_params(axis="x", rotation=45)
    return figure


def _stars(p: float) -> str:
    return "n.s." if p >= 0.05 else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))


def pareto(table: Mapping[str, Summary], parameters: Mapping[str, int]) -> Figure:
    """Inverse parameter count (log) against median Dice with interquartile range; a line joins the Pareto front."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    points = []
    for model, summary in table.items():
        x = 1.0 / parameters[model]
        low, high = summary.quartiles
        axes.errorbar(x, summary.median, yerr=[[summary.median - low], [high - summary.median]], fmt="o", capsize=3)
        axes.annotate(model, (x, summary.median), xytext=(4, 4), textcoords="offset points", fontsize=8)
        points.append((x, summary.median))
    front = pareto_front(points)
    axes.plot([x for x, _ in front], [y for _, y in front], "--", color="grey", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("1 / parameters")
    axes.set_ylabel("median lesion Dice")
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats in both coordinates (larger is better), by decreasing x."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def contours(scores: Sequence[Score], data: Path) -> Figure:
    """The coronal slice with most lesion of three test cases: worst, median and best by the models' mean Dice.

    The expert's contour is green, each model's (that of its lowest restart) red.
    """
    mean_dice: dict[str, list[float]] = {}
    for s in scores:
        mean_dice.setdefault(s.name, []).append(s.values["dice_lesion"])
    ordered = sorted(mean_dice, key=lambda name: float(np.mean(mean_dice[name])))
    chosen = [ordered[i] for i in np.unique(np.linspace(0, len(ordered) - 1, _CASES).astype(int))]
    models = list(dict.fromkeys(s.model for s in scores))[:_MODELS]
    masks = {(s.model, s.name): s.prediction for s in sorted(scores, key=lambda s: -s.restart)}
    rows = {r.name: r for r in read_index(data)}
    figure = Figure(figsize=(2.6 * len(models), 2.8 * len(chosen)))
    grid = figure.subplots(len(chosen), len(models), squeeze=False)
    for line, name in zip(grid, chosen, strict=True):
        image, truth = _volume(data / rows[name].image), _volume(data / rows[name].labels)
        plane = int(np.argmax(truth.sum(axis=(0, 1))))  # k runs from posterior to anterior
        for axes, model in zip(line, models, strict=True):
            axes.imshow(image[:, :, plane].T, cmap="gray")
            axes.contour(truth[:, :, plane].T > 0, levels=[0.5], colors="#30c050", linewidths=1)
            predicted = _volume(masks[model, name])[:, :, plane].T > 0 if (model, name) in masks else None
            if predicted is not None and predicted.any():
                axes.contour(predicted, levels=[0.5], colors="#e04040", linewidths=1)
            axes.set_title(f"{model}\n{name.split('_')[0]}", fontsize=7)
            axes.set_axis_off()
    return figure


def _volume(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cast(nib.Nifti1Image, nib.load(path)).dataobj).astype(np.uint8)
