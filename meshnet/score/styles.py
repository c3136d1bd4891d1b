"""A colour and a marker for each model, the same in every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Fourteen colours, one for each network of the paper's Table 1; neighbours differ in hue and in lightness.
COLOURS = (
    *("#1f4fd8", "#e6194b", "#0a7d2c", "#f58231", "#7b1fa2", "#00a6c7", "#8a5a00"),
    *("#ff5fd2", "#d4c400", "#111111", "#8fa8ff", "#a0002f", "#5fc43a", "#8c8c8c"),
)

#: As many marker shapes, so that the models differ in greyscale too.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d", "8")


@dataclass(frozen=True)
class Style:
    """colour: `#rrggbb`; marker: of Matplotlib."""

    colour: str
    marker: str


def styles(models: Sequence[str]) -> dict[str, Style]:
    """A style for each model, in this order; no two of up to 196 models share both colour and marker."""
    count = len(COLOURS)
    return {
        model: Style(COLOURS[index % count], MARKERS[(index + index // count) % len(MARKERS)])
        for index, model in enumerate(models)
    }
