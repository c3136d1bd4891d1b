"""Figures of finished models: Dice per model, Dice and volume error against volume, sensitivity against lesion size.

`looks` gives each model its colour and marker, the same in every figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meshnet.score.agreement import wilson
from meshnet.score.figures import stars
from meshnet.score.model_summary import FREE_ML, SIZES_ML, ModelSummary
from meshnet.score.scan_scores import ScanScore
from meshnet.score.styles import Style

#: Panels beside each other in the figures that have one panel per model.
_ACROSS = 3
_PANEL_INCHES = (3.6, 3.0)
#: The smallest volume on a logarithmic axis, in mL: one voxel of 1 mm.
_SMALLEST_ML = 1e-3


def dice_by_model(
    models: Mapping[str, ModelSummary], scores: Sequence[ScanScore], looks: Mapping[str, Style], reference_model: str
) -> Figure:
    """Box plots (quartiles, whiskers to 1.5 IQR) of the Dice per person, with a dot for each person."""
    values = {model: _per_person([s for s in scores if s.model == model]) for model in models}
    figure = Figure(figsize=(2.4 + 1.05 * len(models), 4.6), layout="constrained")
    axes = figure.subplots()
    places = np.arange(1, len(models) + 1)
    axes.boxplot(
        list(values.values()),
        positions=places,
        widths=0.5,
        showfliers=False,
        medianprops={"color": "black", "linewidth": 1.8},
        boxprops={"color": "#555555"},
        whiskerprops={"color": "#555555"},
        capprops={"color": "#555555"},
    )
    rng = np.random.default_rng(0)  # spreads the dots sideways
    for place, model in zip(places, models, strict=True):
        style = looks[model]
        across = place + rng.uniform(-0.17, 0.17, len(values[model]))
        axes.scatter(across, values[model], s=14, color=style.colour, marker=style.marker, alpha=0.6, linewidths=0)
        row = models[model].measures["dice_lesion"]
        mark = "reference" if model == reference_model else stars(row.summary.p_holm)
        colour = "black" if model == reference_model else "red"
        axes.text(place, 1.03, mark, ha="center", va="bottom", color=colour, fontsize=9)
    axes.set_ylim(-0.03, 1.12)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xticks(places, list(models), rotation=30, ha="right", rotation_mode="anchor")
    axes.set_ylabel("lesion Dice per person")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def dice_by_volume(models: Sequence[str], scores: Sequence[ScanScore], looks: Mapping[str, Style]) -> Figure:
    """Dice of each scan against the reference's lesion volume (log), a panel per model."""
    volumes = [max(s.reference_ml, _SMALLEST_ML) for s in scores]
    figure, panels = _panels(len(models))
    for axes, model in zip(panels, models, strict=True):
        style = looks[model]
        own = [s for s in scores if s.model == model]
        x = [max(s.reference_ml, _SMALLEST_ML) for s in own]
        y = [s.values["dice_lesion"] for s in own]
        axes.scatter(x, y, s=16, color=style.colour, marker=style.marker, alpha=0.65, linewidths=0)
        _running_median(axes, x, y)
        axes.set_xscale("log")
        axes.set_xlim(min(volumes) / 1.4, max(volumes) * 1.4)
        axes.set_ylim(-0.03, 1.03)
        _finish(axes, model, "reference volume [mL] (log)", "lesion Dice")
    return figure


def bland_altman(models: Mapping[str, ModelSummary], scores: Sequence[ScanScore], looks: Mapping[str, Style]) -> Figure:
    """Bland and Altman's plot, a panel per model: error of the volume against the mean of the two volumes, with bias
    (solid) and 95 % limits (dashed)."""
    lesion = [s for s in scores if s.model in models]
    largest = max(abs(s.result_ml - s.reference_ml) for s in lesion)
    right = max((s.result_ml + s.reference_ml) / 2 for s in lesion)
    figure, panels = _panels(len(models))
    for axes, model in zip(panels, models, strict=True):
        style = looks[model]
        own = [s for s in lesion if s.model == model]
        x = [(s.result_ml + s.reference_ml) / 2 for s in own]
        y = [s.result_ml - s.reference_ml for s in own]
        axes.scatter(x, y, s=16, color=style.colour, marker=style.marker, alpha=0.65, linewidths=0)
        axes.axhline(0, color="#bbbbbb", linewidth=0.8)
        volumes = models[model].volumes
        if volumes is not None and math.isfinite(volumes.limits_ml[0]):
            axes.axhline(volumes.bias_ml, color="black", linewidth=1.2)
            for limit in volumes.limits_ml:
                axes.axhline(limit, color="black", linewidth=1, linestyle="--")
        axes.set_xlim(0, 1.05 * right + 0.1)
        axes.set_ylim(-1.15 * largest - 0.1, 1.15 * largest + 0.1)
        _finish(axes, model, "mean of result and reference [mL]", "result − reference [mL]")
    return figure


def sensitivity_by_size(models: Mapping[str, ModelSummary], looks: Mapping[str, Style]) -> Figure:
    """Share of the reference's lesions that each model finds, by lesion size, with Wilson's 95 % intervals."""
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.7 / max(1, len(models))
    for index, model in enumerate(models):
        style = looks[model]
        counted = [(i, found, of) for i, (found, of) in enumerate(models[model].sensitivity) if of]
        x = [i + (index - (len(models) - 1) / 2) * width for i, _, _ in counted]
        share = [found / of for _, found, of in counted]
        bounds = [wilson(found, of) for _, found, of in counted]
        error = [[y - low for y, (low, _) in zip(share, bounds, strict=True)]]
        error.append([high - y for y, (_, high) in zip(share, bounds, strict=True)])
        kind: dict[str, Any] = {"fmt": style.marker, "color": style.colour, "markersize": 6, "capsize": 2}
        axes.errorbar(x, share, yerr=np.clip(error, 0, 1), elinewidth=1, label=model, **kind)
    lower = (0.0, *SIZES_ML[:-1])
    counts = [max((m.sensitivity[i][1] for m in models.values()), default=0) for i in range(len(SIZES_ML))]
    names = [_size_name(low, high) for low, high in zip(lower, SIZES_ML, strict=True)]
    axes.set_xticks(range(len(names)), [f"{n}\n{c} lesions" for n, c in zip(names, counts, strict=True)])
    axes.set_xlim(-0.5, len(names) - 0.5)
    for edge in range(len(names) - 1):
        axes.axvline(edge + 0.5, color="#dddddd", linewidth=0.6)
    axes.set_ylim(-0.03, 1.06)
    axes.set_ylabel("share of lesions found")
    axes.set_xlabel("size of the lesion (connected component of the reference)")
    axes.legend(fontsize=8, loc="best")
    return figure


def marked_without_lesion(models: Sequence[str], scores: Sequence[ScanScore], looks: Mapping[str, Style]) -> Figure:
    """Marked mL of each scan without a lesion (symmetric log), a column per model."""
    figure = Figure(figsize=(2.4 + 1.05 * len(models), 4.0), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)  # spreads the dots sideways
    for place, model in enumerate(models, start=1):
        style = looks[model]
        values = [s.result_ml for s in scores if s.model == model]
        across = place + rng.uniform(-0.2, 0.2, len(values))
        axes.scatter(across, values, s=18, color=style.colour, marker=style.marker, alpha=0.7, linewidths=0)
        axes.hlines(float(np.mean(values)), place - 0.3, place + 0.3, color="black", linewidth=1.6)
    axes.axhline(FREE_ML, color="grey", linewidth=0.8, linestyle="--")
    axes.set_yscale("symlog", linthresh=FREE_ML)
    largest = max([FREE_ML, *(s.result_ml for s in scores)])
    axes.set_ylim(-0.05, 1.5 * largest)
    ticks = [0, 0.25, 0.5, 0.75, *(n * 10.0**power for power in range(3) for n in (1, 2, 5))]
    shown = [tick for tick in ticks if tick <= 1.5 * largest]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xticks(range(1, len(models) + 1), list(models), rotation=30, ha="right", rotation_mode="anchor")
    axes.set_ylabel("marked in a scan without lesion [mL]")
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    across = min(_ACROSS, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(_PANEL_INCHES[0] * across, _PANEL_INCHES[1] * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def _finish(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e5e5e5", linewidth=0.5)
    axes.set_axisbelow(True)


def _running_median(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """A line through the medians of fifths of the scans, by volume; none for fewer than 15 scans."""
    if len(x) < 15:
        return
    order = np.argsort(x)
    parts = np.array_split(order, 5)
    middle = [float(np.median(np.asarray(x)[part])) for part in parts]
    axes.plot(middle, [float(np.median(np.asarray(y)[part])) for part in parts], color="black", linewidth=1.4)


def _per_person(scores: Sequence[ScanScore]) -> list[float]:
    persons: dict[str, list[float]] = {}
    for score in scores:
        persons.setdefault(score.subject, []).append(score.values["dice_lesion"])
    return [float(np.mean(values)) for values in persons.values()]


def _size_name(low: float, high: float) -> str:
    if low == 0:
        return f"≤ {high:g} mL"
    return f"> {low:g} mL" if math.isinf(high) else f"{low:g}–{high:g} mL"
