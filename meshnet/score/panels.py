"""Figure 3 of the paper: eight subjects, the reference and five models as contours in one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from meshnet.cohort.prepare import read_grid, read_index
from meshnet.score.scores import Score

#: Panels of Figure 3, and models in each beside the reference.
PANELS, MODELS = 8, 5

_DISAGREED = 3  # panels chosen by disagreement
#: Visible on dark tissue and on a bright lesion.
_REFERENCE_COLOUR = "#2f6bff"
#: Bright on a grey scan, and apart from each other and from the reference's blue.
_COLOURS = ("#ff3b30", "#ffd60a", "#32d74b", "#0af0ff", "#ff5cf4")
_SHORT = {"dice_macro": "DICE", "dice_lesion": "Dice"}
_SCALE_BAR_MM = 50
_MARGIN_MM = 6


@dataclass(frozen=True)
class Case:
    """A case of Figure 3 and why it was chosen. name: of the case in the prepared folder."""

    name: str
    reason: str


def choose_cases(
    lesion_voxels: Mapping[str, int], dice: Mapping[str, Sequence[float]], *, seed: int = 0, count: int = PANELS
) -> list[Case]:
    """The cases of Figure 3, each once: the one with most lesion, one drawn from each quartile of the lesion volume,
    then those on which the models disagree most (standard deviation of their Dice).

    lesion_voxels, dice (one value per model): by case. seed: of the draws. Fewer cases than `count` are all taken.
    """
    names = sorted(dice, key=lambda name: (lesion_voxels[name], name))
    if not names:
        return []
    chosen = [Case(names[-1], "most lesion")]
    rng = np.random.default_rng(seed)
    for quartile, members in enumerate(np.array_split(np.array(names[:-1]), 4), start=1):
        if len(members):
            chosen.append(Case(str(rng.choice(members)), f"quartile {quartile}"))
    chosen = chosen[: max(count - _DISAGREED, 1)]
    taken = {case.name for case in chosen}
    others = sorted((n for n in names if n not in taken), key=lambda name: (-float(np.std(dice[name])), name))
    return [*chosen, *(Case(name, "disagreement") for name in others)][:count]


def contours(
    scores: Sequence[Score], data: Path, models: Sequence[str], *, metric: str = "dice_macro", seed: int = 0
) -> Figure:
    """Eight axial panels (a) to (h), each with the contours of the reference and of up to five models.

    A panel shows the slice with most lesion, in radiological orientation (the subject's right on the left), and the
    Dice of each model in the whole volume. Of each model, the lowest restart is shown.
    """
    models = list(models)[:MODELS]
    first = {(s.model, s.name): s for s in sorted(scores, key=lambda s: -s.restart)}
    names = [name for name in dict.fromkeys(s.name for s in scores) if all((m, name) in first for m in models)]
    rows = {r.name: r for r in read_index(data)}
    dice = {name: [first[m, name].values[metric] for m in models] for name in names}
    cases = choose_cases({name: rows[name].lesion_voxels for name in names}, dice, seed=seed)
    _, voxel_size_mm = read_grid(data)
    figure = Figure(figsize=(12.5, 8.4), layout="constrained", facecolor="white")
    for axes, letter in zip(figure.subplots(2, PANELS // 2).flat, "abcdefgh", strict=True):
        axes.set_axis_off()
        index = ord(letter) - ord("a")
        if index < len(cases):
            row, case = rows[cases[index].name], cases[index]
            predicted = [_volume(first[m, case.name].prediction) > 0 for m in models]
            image, true = _volume(data / row.image), _volume(data / row.labels) > 0
            _panel(axes, image, true, predicted, voxel_size_mm=voxel_size_mm)
            _write_dice(axes, dice[case.name])
            axes.set_title(f"({letter}) {row.subject}, {case.reason}", fontsize=9)
    lines = [Line2D([], [], color=_REFERENCE_COLOUR, linewidth=3, label="reference (expert)")]
    lines += [Line2D([], [], color=c, linewidth=2, label=m) for m, c in zip(models, _COLOURS, strict=False)]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=len(lines),
        facecolor="black",
        labelcolor="white",
        title=f"{_SHORT[metric]} of each model in its colour; R, L: the subject's right and left",
    ).get_title().set_color("white")
    return figure


def _panel(
    axes: Axes,
    image: NDArray[np.uint8],
    true: NDArray[np.bool_],
    predicted: Sequence[NDArray[np.bool_]],
    *,
    voxel_size_mm: float,
) -> None:
    """Draw one case without its Dice. image, true, predicted: conformed (LIA) [i, j, k]."""
    plane = int(np.argmax(true.sum(axis=(0, 2))))  # j runs from superior to inferior
    axes.imshow(_axial(image, plane), cmap="gray", interpolation="nearest")
    axes.contour(_axial(true, plane), levels=[0.5], colors=_REFERENCE_COLOUR, linewidths=2.4)
    for mask, colour in zip(predicted, _COLOURS, strict=False):
        if mask[:, plane, :].any():
            axes.contour(_axial(mask, plane), levels=[0.5], colors=colour, linewidths=1.0)
    left, right, top, bottom = _head(_axial(image, plane), _MARGIN_MM / voxel_size_mm)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    text: dict[str, Any] = {"color": "white", "fontsize": 9, "transform": axes.transAxes}
    axes.text(0.02, 0.5, "R", va="center", ha="left", **text)
    axes.text(0.98, 0.5, "L", va="center", ha="right", **text)
    _scale_bar(axes, (left, right, top, bottom), voxel_size_mm)


def _write_dice(axes: Axes, dice: Sequence[float]) -> None:
    """Write the models' Dice at the upper left, each in its colour."""
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "ha": "left", "fontsize": 8}
    for index, (value, colour) in enumerate(zip(dice, _COLOURS, strict=False)):
        axes.text(0.02, 0.985 - 0.055 * index, f"{value:.3f}", color=colour, **place)


def _axial(volume: NDArray[np.generic], plane: int) -> NDArray[np.generic]:
    """An axial slice of a conformed volume [i, j, k] as a picture: anterior at the top, the right side on the left."""
    return volume[:, plane, ::-1].T


def _head(picture: NDArray[np.generic], margin: float) -> tuple[float, float, float, float]:
    """left, right, top, bottom of what is brighter than a tenth of the maximum; the whole picture without any."""
    rows, columns = np.nonzero(picture > 0.1 * picture.max())
    height, width = picture.shape
    if not len(rows):
        return -0.5, width - 0.5, -0.5, height - 0.5
    return (
        max(float(columns.min()) - margin, -0.5),
        min(float(columns.max()) + margin, width - 0.5),
        max(float(rows.min()) - margin, -0.5),
        min(float(rows.max()) + margin, height - 0.5),
    )


def _scale_bar(axes: Axes, view: tuple[float, float, float, float], voxel_size_mm: float) -> None:
    """A bar of 50 mm, or the longest of 20, 10, 5 mm that fits into half of the view, at the lower right."""
    left, right, top, bottom = view
    fitting = (mm for mm in (_SCALE_BAR_MM, 20, 10, 5) if mm / voxel_size_mm <= 0.5 * (right - left))
    length_mm = next(fitting, 1)
    x1, y = right - 0.04 * (right - left), bottom - 0.04 * (bottom - top)
    x0 = x1 - length_mm / voxel_size_mm
    axes.plot([x0, x1], [y, y], color="white", linewidth=2.5, solid_capstyle="butt")
    above = y - 0.015 * (bottom - top)
    axes.text((x0 + x1) / 2, above, f"{length_mm} mm", color="white", ha="center", va="bottom", fontsize=8)


def _volume(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cast(nib.Nifti1Image, nib.load(path)).dataobj).astype(np.uint8)
