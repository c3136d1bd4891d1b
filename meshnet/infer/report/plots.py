"""Plots of reports as inline SVG. `static/src/page/report/plots.ts` draws the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from meshnet.infer.report.facts import Histogram
from meshnet.infer.report.numbers import fixed, safe

_BAR = "#0b5cad"
#: Ends of an axis, times a power of ten.
_STEPS = (1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 12)
#: Of the five labels of the axis from 0 to 1.
_ANCHORS = ("start", "middle", "middle", "middle", "end")


def histogram(facts: Histogram) -> str:
    """Bars of voxels against probability."""
    most, total = max(1, *facts.voxels), sum(facts.voxels)
    width, height, bins = 600, 140, len(facts.voxels)
    step = width / bins
    bars = "".join(
        f'<rect x="{fixed(n * step + 1, 1)}" y="{fixed(15 + height - height * count / most, 1)}" '
        f'width="{fixed(step - 2, 1)}" height="{fixed(height * count / most, 1)}" fill="{_BAR}">'
        f"<title>{fixed(n / bins, 2)} to {fixed((n + 1) / bins, 2)}: {count} voxels</title></rect>"
        for n, count in enumerate(facts.voxels)
    )
    ticks = "".join(
        f'<text x="{fixed(width * n / 4, 0)}" y="170" text-anchor="{_ANCHORS[n]}">{fixed(n / 4, 2)}</text>'
        for n in range(5)
    )
    return (
        f'<svg viewBox="0 0 600 186" width="600" height="186" role="img" aria-label="Histogram of probabilities">'
        f'<text class="soft" x="0" y="10">{most} voxels in the highest bar, {total} in all</text>{bars}'
        f'<line class="grid" x1="0" x2="600" y1="155.5" y2="155.5"/>{ticks}'
        f'<text class="soft" x="300" y="184" text-anchor="middle">probability of {safe(facts.name)}</text></svg>'
    )


def volume_bars(name: str, bars: Sequence[tuple[str, float]]) -> str:
    """A bar per scan, the largest first. bars: name of the scan and volume in mL."""
    ordered = sorted(bars, key=lambda bar: -bar[1])
    left, width, row = 230, 400, 20
    top = nice_end(max(ml for _, ml in ordered))
    height = 24 + row * len(ordered) + 20
    digits = 0 if top >= 12 else 1 if top >= 1.2 else 2 if top >= 0.12 else 3
    grid = "".join(
        f'<line class="grid" x1="{x}" x2="{x}" y1="18" y2="{height - 18}"/>'
        f'<text class="soft" x="{x}" y="{height - 4}" text-anchor="middle">{fixed(top * n / 4, digits)}</text>'
        for n, x in enumerate(range(left, left + width + 1, width // 4))
    )
    rows = "".join(
        f'<text x="{left - 8}" y="{24 + row * n + 13}" text-anchor="end">{safe(shortened(scan))}</text>'
        f'<rect x="{left}" y="{24 + row * n + 3}" width="{fixed(width * ml / top, 1)}" height="{row - 6}" '
        f'fill="{_BAR}"><title>{safe(scan)}: {fixed(ml, 2)} mL</title></rect>'
        f'<text x="{fixed(left + width * ml / top + 5, 1)}" y="{24 + row * n + 13}">{fixed(ml, 2)}</text>'
        for n, (scan, ml) in enumerate(ordered)
    )
    return (
        f'<svg viewBox="0 0 700 {height}" width="700" height="{height}" role="img" '
        f'aria-label="Volume of {safe(name)} in each scan">'
        f'<text class="soft" x="{left}" y="12">volume of {safe(name)}, mL</text>{grid}{rows}</svg>'
    )


def nice_end(largest: float) -> float:
    """The end of an axis from 0 that holds `largest` and has round quarters; 1.2 if there is nothing."""
    if largest <= 0:
        return 1.2
    power = 10.0 ** math.floor(math.log10(largest) + 1e-9)
    return next(step * power for step in _STEPS if largest <= step * power)


def shortened(name: str) -> str:
    """At most 36 characters: the end of a long name says more than its beginning."""
    return name if len(name) <= 36 else f"…{name[-35:]}"
