"""Notes: what was repaired, assumed, cut off or looks implausible while a scan was read, conformed and segmented.

`static/src/volume/notes.ts` has the same codes, texts and number formats; docs/inputs.md lists them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from numpy import format_float_positional


@dataclass(frozen=True)
class Note:
    """One finding about a scan that does not stop it."""

    code: str  #: a key of `TEXTS`
    text: str  #: a sentence with its numbers and units, without a file name


def make_note(code: str, *values: object) -> Note:
    """The note of this code; `values` are the parameters of its entry in `TEXTS`."""
    return Note(code, TEXTS[code](*values))


def significant(value: float, digits: int) -> str:
    """`value` rounded to significant digits, halves away from zero, as JavaScript's `String(Number(x.toPrecision(n)))`.

    Plain notation from 1e-6 to below 1e21, else like 1.5e+30.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    exact = Decimal(value)
    rounded = float(exact.quantize(Decimal(1).scaleb(exact.adjusted() + 1 - digits), ROUND_HALF_UP))
    if 1e-6 <= abs(rounded) < 1e21:
        return str(format_float_positional(rounded, trim="-"))
    mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent):+d}"


def percent(share: float) -> str:
    """A share (0 to 1) in percent with two significant digits: "0.0012 %"."""
    return f"{significant(100 * share, 2)} %"


def fixed(value: float, decimals: int) -> str:
    """`value` with this number of decimals, halves away from zero, as JavaScript's `toFixed`."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{rounded if rounded else abs(rounded):f}"


def _outliers(n: int, share: float, low: float, high: float, rest_low: float, rest_high: float) -> str:
    outliers, rest = (f"{significant(a, 4)} to {significant(b, 4)}" for a, b in ((low, high), (rest_low, rest_high)))
    return (
        f"{n} voxels ({percent(share)}) have values far outside the rest ({outliers}, the rest {rest}); "
        f"the grey scale leaves them out"
    )


def _cube_moved(left_mm: float, inferior_mm: float, anterior_mm: float) -> str:
    moved = " / ".join(fixed(mm, 1) for mm in (left_mm, inferior_mm, anterior_mm))
    return (
        f"the field of view is larger than the cube; the cube is moved by {moved} mm (left, inferior, anterior) "
        f"so that it holds the head"
    )


#: Code -> text. Shares are 0 to 1, volumes mL, lengths mm.
TEXTS: dict[str, Callable[..., str]] = {
    # while reading
    "nan-read-as-zero": lambda share: f"{percent(share)} of the voxels are NaN; they are read as 0",
    "units-micron": lambda: "the header gives micrometres; sizes are converted to mm",
    "units-metre": lambda: "the header gives metres; sizes are converted to mm",
    "no-forms": lambda: "the header has neither sform nor qform; left and right are a guess",
    "forms-disagree": lambda: "sform and qform disagree about left and right; the sform is used",
    "sform-unusable": lambda: "the sform is empty; the qform is used",
    "magic-of-a-pair": lambda: "the file has the magic of a .hdr/.img pair, but holds the voxels too",
    "dim-zero": lambda axis: f"dim[{axis}] is 0; it is read as 1",
    # while conforming
    "outliers-clipped": _outliers,
    "cube-moved": _cube_moved,
    "cut-off": lambda ml, size_mm: (
        f"{fixed(ml, 0)} mL of the head lie outside the {fixed(size_mm, 0)} mm cube and are not segmented"
    ),
    "not-head-sized": lambda ml: f"{fixed(ml, 0)} mL of tissue are in view; a head has 1000 to 6000",
    # of the run
    "contrast-unlike": lambda guess, modality: (
        f"the scan's name says {guess}, the model is made for {' or '.join(modality)}"
    ),
    "nothing-found": lambda: "no voxel was labelled; a scan of another contrast or orientation gives this too",
    "third-of-head": lambda ml, share: (
        f"{fixed(ml, 0)} mL were labelled, {percent(share)} of the head; check the contrast and the picture"
    ),
}
