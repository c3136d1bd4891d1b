"""Notes: what was repaired, assumed, cut off or looks implausible while a scan was read, conformed and segmented.

`static/src/volume/notes.ts` has the same codes, texts and number formats; docs/inputs.md lists them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One finding about a scan that does not stop it."""

    code: str  #: a key of `TEXTS`
    text: str  #: a sentence with its numbers and units, without a file name


def make_note(code: str, *values: object) -> Note:
    """The note of this code; `values` are the parameters of its entry in `TEXTS`."""
    return Note(code, TEXTS[code](*values))


def percent(share: float) -> str:
    """A share (0 to 1) in percent with two significant digits and without an exponent: "0.0012 %", "100 %"."""
    value = 100 * share
    if value == 0:
        return "0 %"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 20)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def fixed(value: float, decimals: int) -> str:
    """`value` with this number of decimals; never "-0"."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def general(value: float) -> str:
    """`value` with four significant digits: "12.5", "-3.277e+04"; never "-0"."""
    return f"{value:.4g}" if value else "0"


def _outliers(n: int, share: float, outliers: tuple[float, float], rest: tuple[float, float]) -> str:
    of_outliers, of_rest = (f"{general(low)} to {general(high)}" for low, high in (outliers, rest))
    return (
        f"{percent(share)} of the voxels ({n}) have values far outside the rest ({of_outliers}, the rest {of_rest}); "
        f"the grey scale leaves them out"
    )


def _head_cut(cuts: Sequence[tuple[str, float]]) -> str:
    sides = ", ".join(f"{side} {percent(share)}" for side, share in cuts)
    return f"the field of view cuts the head ({sides} of its largest section); what lies beyond is not segmented"


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
    "fill-values": lambda share, low, high, least: (
        f"{percent(share)} of the voxels have fill values ({general(low)} to {general(high)}), far below the rest; "
        f"they are read as {general(least)}"
    ),
    "units-micron": lambda: "the header gives micrometres; sizes are converted to mm",
    "units-metre": lambda: "the header gives metres; sizes are converted to mm",
    "no-forms": lambda: "the header has neither sform nor qform; left and right are a guess",
    "forms-disagree": lambda sides: (
        f"sform and qform disagree about {'left and right' if sides else 'the directions of the axes'}; "
        f"the sform is used"
    ),
    "sizes-disagree": lambda of_sform, of_pixdim: (
        f"a voxel has {general(of_sform)} mm³ by the sform and {general(of_pixdim)} mm³ by pixdim; "
        f"volumes are those of the sform"
    ),
    "sform-unusable": lambda: "the sform can't be used; the qform is used",
    "magic-of-a-pair": lambda: "the file has the magic of a .hdr/.img pair, but holds the voxels too",
    "magic-of-a-single-file": lambda: "the header has the magic of a single file, but the voxels are in the .img",
    "offset-repaired": lambda said, taken: (
        f"vox_offset is {general(said)}; by the file's length the voxels start at byte {taken}"
    ),
    "form-code-unknown": lambda form, code: f"{form}_code is {code}, which NIfTI doesn't know; it is read as 0",
    "dim-zero": lambda axis: f"dim[{axis}] is 0; it is read as 1",
    "label-like": lambda: "the values look like labels (few small integers), not like a scan",
    "few-values": lambda count: f"the voxels have only {count} different values; a scan has hundreds",
    "probability-like": lambda: (
        "the values look like probabilities (0 to 1, most of them 0 or near 1), not like a scan"
    ),
    # of converters
    "dicom-warning": lambda text: f"dcm2niix: {text}",
    "dicom-resampled": lambda repair: f"{repair}; that image is used",
    "no-space": lambda: "the file doesn't name the space of its axes; left and right are a guess",
    # while conforming
    "outliers-clipped": _outliers,
    "cube-moved": _cube_moved,
    "cut-off": lambda ml, size_mm: (
        f"{fixed(ml, 0)} mL of the head lie outside the {general(size_mm)} mm cube and are not segmented"
    ),
    "grey-scale-narrow": lambda levels: (
        f"nearly all voxels lie within {levels} of the 256 grey levels; extreme values take the others"
    ),
    "looks-inverted": lambda: "all corners of the field of view are brighter than the mean; air should be dark",
    "head-cut": _head_cut,
    "looks-like-ct": lambda share, air: (
        f"the values look like Hounsfield units of a CT ({percent(share)} of the voxels are near {air}, as air is); "
        f"models are made for MRI"
    ),
    "not-head-sized": lambda ml: f"{fixed(ml, 0)} mL of tissue are in view; a head has 1000 to 6000",
    # of the run
    "contrast-unlike": lambda guess, modality: (
        f"the scan's name says {guess}, the model is made for {' or '.join(modality)}"
    ),
    "contrast-looks-unlike": lambda ratio, modality: (
        f"the brightest parts of the brain are {fixed(ratio, 2)} times as bright as its median (2 or more with the "
        f"bright fluid of T2w, below 1.4 without); the model is made for {' or '.join(modality)}"
    ),
    "nothing-found": lambda: "no lesion was labelled; a scan of another contrast or orientation gives this too",
    "third-of-head": lambda ml, share, is_lesion: (
        f"{fixed(ml, 0)} mL {'of lesion ' if is_lesion else ''}were labelled, {percent(share)} of the head; "
        f"check the contrast and the picture"
    ),
    "lesion-outside-brain": lambda ml: (
        f"{general(ml)} mL of lesion lay mostly outside the brain that the model labelled and were dropped"
    ),
    "pieces-dropped": lambda ml: (
        f"{general(ml)} mL in pieces apart from the largest one were dropped; check the picture"
    ),
}
