"""Figures 1 and 2 of the paper, as Matplotlib figures. panels.py draws Figure 3."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from meshnet.score.styles import styles
from meshnet.score.summary import Summary

#: Metric that figures can show -> its name on the axis.
AXIS_NAMES = {"dice_macro": "DICE (macro: mean of lesion and background)", "dice_lesion": "lesion Dice"}

_LABEL_POINTS = 8  # font size of a model's name in Figure 2
_MARKER_POINTS = 8
_STEP_PIXELS = 4  # between the places tried for a label


def box_plots(
    values: Mapping[str, Mapping[tuple[int, str], float]],
    table: Mapping[str, Summary],
    reference: str,
    *,
    metric: str = "dice_macro",
) -> Figure:
    """Figure 1: box plots (quartiles, whiskers to 1.5 IQR) of one value per subject, the highest median first.

    values: by model and (fold, subject). Red asterisks: p after Holm's correction against `reference`.
    """
    models = ranked(table)
    figure = Figure(figsize=(1.8 + 0.72 * len(models), 4.8), layout="constrained")
    axes = figure.subplots()
    boxes = axes.boxplot(
        [list(values[m].values()) for m in models],
        tick_labels=models,
        widths=0.6,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 1.6},
        flierprops={"marker": ".", "markersize": 3},
    )
    for box, style in zip(boxes["boxes"], styles(models).values(), strict=True):
        box.set(facecolor=style.colour, alpha=0.45)
    low = min(min(values[m].values()) for m in models)
    axes.set_ylim(low - 0.08 * (1 - low) - 0.01, 1 + 0.16 * (1 - low) + 0.02)
    for position, model in enumerate(models, start=1):
        text, colour = _mark(table[model].p_holm, is_reference=model == reference)
        top = 1 + 0.03 * (1 - low)
        axes.text(position, top, text, ha="center", va="bottom", color=colour, fontsize=9)
    axes.set_ylabel(AXIS_NAMES[metric])
    axes.set_yticks([tick for tick in axes.get_yticks() if low - 0.1 <= tick <= 1.0001])
    axes.set_xlabel("model, ordered by median (red asterisks: p against the reference, Wilcoxon and Holm)")
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="right", rotation_mode="anchor")
    return figure


def ranked(table: Mapping[str, Summary]) -> list[str]:
    """The models by decreasing median; equal ones by decreasing mean."""
    return sorted(table, key=lambda model: (-table[model].median, -table[model].mean))


def stars(p: float) -> str:
    """'***' for p < 0.001, '**' for p < 0.01, '*' for p < 0.05, else '' (also for NaN)."""
    return "" if math.isnan(p) else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))


def _mark(p: float, *, is_reference: bool) -> tuple[str, str]:
    """Text above a box and its colour."""
    if is_reference:
        return "ref.", "black"
    return (stars(p), "red") if stars(p) else ("" if math.isnan(p) else "n.s.", "grey")


def pareto(table: Mapping[str, Summary], parameters: Mapping[str, int], *, metric: str = "dice_macro") -> Figure:
    """Figure 2: inverse parameter count (log) against the median, with the interquartile range.

    A dashed line joins the Pareto front. Each model has a name beside its marker; names overlap neither each other nor
    a marker, and none leaves the axes.
    """
    figure = Figure(figsize=(8.5, 5.5), layout="constrained")
    axes = figure.subplots()
    models = ranked(table)
    points: dict[str, tuple[float, float]] = {}
    bars: list[tuple[float, float, float]] = []
    for model, style in styles(models).items():
        summary, x = table[model], 1.0 / parameters[model]
        low, high = summary.quartiles
        axes.errorbar(
            x,
            summary.median,
            yerr=[[summary.median - low], [high - summary.median]],
            fmt=style.marker,
            color=style.colour,
            markersize=_MARKER_POINTS,
            markeredgecolor="black",
            markeredgewidth=0.6,
            elinewidth=1,
            capsize=3,
            label=model,
        )
        points[model] = (x, summary.median)
        bars.append((x, low, high))
    front = pareto_front(list(points.values()))
    axes.plot([x for x, _ in front], [y for _, y in front], "--", color="grey", linewidth=1, zorder=0)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel("1 / parameters (log)")
    axes.set_ylabel(f"median {AXIS_NAMES[metric]}")
    _label_points(figure, axes, points, bars)
    return figure


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point beats in both coordinates (larger is better), by decreasing x."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, reverse=True):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def _label_points(
    figure: Figure,
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    bars: Sequence[tuple[float, float, float]],
) -> None:
    """Write each name at the free place nearest to its point.

    points: data coordinates by name. bars: (x, low, high) of the error bars, which names avoid where there is room.
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # lays the axes out, so that pixels are known
    figure.set_layout_engine("none")
    pixel = figure.dpi / 72
    radius = 0.75 * _MARKER_POINTS * pixel
    at = {name: axes.transData.transform(point) for name, point in points.items()}
    taken = [Bbox.from_extents(x - radius, y - radius, x + radius, y + radius) for x, y in at.values()]
    ends = [(*axes.transData.transform((x, low)), axes.transData.transform((x, high))[1]) for x, low, high in bars]
    avoided = [Bbox.from_extents(x - 4 * pixel, low, x + 4 * pixel, high) for x, low, high in ends]
    inside = axes.get_window_extent().padded(-4 * pixel)
    for name in sorted(at, key=lambda name: float(at[name][0])):
        x, y = at[name]
        label = axes.annotate(
            name,
            points[name],
            xytext=(0, 0),
            textcoords="offset points",  # pixels would move with the resolution of the file
            fontsize=_LABEL_POINTS,
            ha="left",
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
        )
        width, height = _text_size(label)
        place = _free_place((x, y), width, height, inside, [*taken, *avoided]) or _free_place(
            (x, y), width, height, inside, taken
        )
        if place is None:
            raise ValueError(f"Figure 2: no room for the name {name!r} among {len(at)} models; score fewer in a report")
        label.set_position(((place.x0 - x) / pixel, (place.y0 - y) / pixel))
        near = np.hypot(*(_nearest_of(place, (x, y)) - (x, y))) < 2 * radius
        if near and label.arrow_patch is not None:
            label.arrow_patch.set_visible(False)
        taken.append(place)


def _text_size(label: Annotation) -> tuple[float, float]:
    """Width and height of the text without its arrow, in pixels, with a margin: letters are a little wider or narrower
    at another resolution."""
    box = Text.get_window_extent(label)
    return 1.05 * box.width + 2, 1.1 * box.height + 2


def _free_place(
    point: tuple[float, float], width: float, height: float, inside: Bbox, taken: Sequence[Bbox]
) -> Bbox | None:
    """The box of this size nearest to `point` that lies in `inside` and overlaps none of `taken`; None without one."""
    lefts = np.arange(inside.x0, inside.x1 - width, _STEP_PIXELS)
    bottoms = np.arange(inside.y0, inside.y1 - height, _STEP_PIXELS)
    x, y = np.meshgrid(lefts, bottoms, indexing="ij")
    free = np.ones(x.shape, bool)
    for box in taken:
        free &= (x + width <= box.x0) | (x >= box.x1) | (y + height <= box.y0) | (y >= box.y1)
    if not free.any():
        return None
    across = np.maximum(np.maximum(x - point[0], point[0] - x - width), 0)
    up = np.maximum(np.maximum(y - point[1], point[1] - y - height), 0)
    distance = np.where(free, np.hypot(across, up) + 0.01 * np.abs(y + height / 2 - point[1]), np.inf)
    i, j = np.unravel_index(int(distance.argmin()), distance.shape)
    return Bbox.from_bounds(float(x[i, j]), float(y[i, j]), width, height)


def _nearest_of(box: Bbox, point: tuple[float, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The point of `box` nearest to `point`."""
    return np.clip(np.asarray(point, float), (box.x0, box.y0), (box.x1, box.y1))
