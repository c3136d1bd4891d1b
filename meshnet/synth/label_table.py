"""Tables of the label maps' classes: source label, intensity row, and class in each training target.

A head's voxels hold a class index (uint8, position in `CLASSES`). Most classes are one label of the source file
(FreeSurfer's numbers inside the brain, SynthSeg's 500s outside). Derived classes split a source label by its
neighbourhood (`meshnet.synth.label_maps`): the rim of the cortex, the fluid between the gyri, the dura, and soft
tissue by its depth below the skin. Every effect that depends on the class alone is then a lookup table.

Source of the numbers: FreeSurferColorLUT.txt, and SynthSeg's training label maps (Billot et al., Medical Image
Analysis 2023).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Tissue of a class in the `tissue` and `lesion` targets; the lesion itself is painted, not a class of the anatomy.
OUTSIDE, FLUID, GREY, WHITE, LESION = range(5)


class LabelClass(NamedTuple):
    """One class. source: number in the label map (-1: derived from its neighbourhood). intensity: row of
    `meshnet.synth.contrast`. tissue: class of the `tissue` target. deep: FreeSurfer's number in the `deep` target,
    0 where that target has none."""

    name: str
    source: int
    intensity: str
    tissue: int
    deep: int


def _pairs(name: str, left: int, right: int, intensity: str, tissue: int, *, deep: tuple[int, int]) -> list[LabelClass]:
    return [
        LabelClass(f"left {name}", left, intensity, tissue, deep[0]),
        LabelClass(f"right {name}", right, intensity, tissue, deep[1]),
    ]


#: Position = class index. Ventral diencephalon, perivascular spaces and white-matter lesions count as white matter in
#: `deep`, choroid plexus and inferior horns as lateral ventricle, third and fourth ventricle as background.
CLASSES: tuple[LabelClass, ...] = (
    LabelClass("air", 0, "air", OUTSIDE, 0),
    *_pairs("white matter", 2, 41, "white", WHITE, deep=(2, 41)),
    *_pairs("cortex", 3, 42, "cortex", GREY, deep=(3, 42)),
    *_pairs("cortex rim", -1, -1, "cortex", GREY, deep=(3, 42)),
    *_pairs("lateral ventricle", 4, 43, "fluid", FLUID, deep=(4, 43)),
    *_pairs("inferior horn", 5, 44, "fluid", FLUID, deep=(4, 43)),
    *_pairs("choroid plexus", 136, 163, "choroid", FLUID, deep=(4, 43)),
    *_pairs("choroid plexus of the inferior horn", 137, 164, "choroid", FLUID, deep=(4, 43)),
    *_pairs("cerebellar white matter", 7, 46, "cerebellar white", WHITE, deep=(8, 47)),
    *_pairs("cerebellar cortex", 8, 47, "cerebellar cortex", GREY, deep=(8, 47)),
    *_pairs("cerebellar cortex rim", -1, -1, "cerebellar cortex", GREY, deep=(8, 47)),
    *_pairs("thalamus", 10, 49, "thalamus", GREY, deep=(10, 49)),
    *_pairs("caudate", 11, 50, "striatum", GREY, deep=(11, 50)),
    *_pairs("putamen", 12, 51, "striatum", GREY, deep=(12, 51)),
    *_pairs("pallidum", 13, 52, "pallidum", GREY, deep=(13, 52)),
    *_pairs("hippocampus", 17, 53, "hippocampus", GREY, deep=(17, 53)),
    *_pairs("amygdala", 18, 54, "hippocampus", GREY, deep=(18, 54)),
    *_pairs("accumbens", 26, 58, "striatum", GREY, deep=(26, 58)),
    *_pairs("ventral diencephalon", 28, 60, "ventral diencephalon", WHITE, deep=(2, 41)),
    *_pairs("perivascular space", 30, 62, "perivascular", WHITE, deep=(2, 41)),
    *_pairs("white-matter lesion", 25, 57, "white-matter lesion", WHITE, deep=(2, 41)),
    LabelClass("third ventricle", 14, "fluid", FLUID, 0),
    LabelClass("fourth ventricle", 15, "fluid", FLUID, 0),
    LabelClass("fifth ventricle", 72, "fluid", FLUID, 0),
    LabelClass("brain stem", 16, "brain stem", WHITE, 16),
    LabelClass("optic chiasm", 85, "brain stem", WHITE, 0),
    LabelClass("fluid between gyri", -1, "fluid", FLUID, 0),
    LabelClass("fluid around the brain", 24, "fluid", OUTSIDE, 0),
    LabelClass("dura", -1, "dura", OUTSIDE, 0),
    LabelClass("vessel", 502, "vessel", OUTSIDE, 0),
    LabelClass("eye", 506, "eye", OUTSIDE, 0),
    LabelClass("deep soft tissue", 507, "deep soft tissue", OUTSIDE, 0),
    LabelClass("superficial soft tissue", -1, "superficial soft tissue", OUTSIDE, 0),
    LabelClass("skin", -1, "skin", OUTSIDE, 0),
    LabelClass("around the eye", 508, "orbit", OUTSIDE, 0),
    LabelClass("mucosa", 509, "mucosa", OUTSIDE, 0),
    LabelClass("scalp", 511, "scalp", OUTSIDE, 0),
    LabelClass("spinal cord", 512, "spinal cord", OUTSIDE, 0),
    LabelClass("gland or large vessel", 514, "gland", OUTSIDE, 0),
    LabelClass("skull", 515, "skull", OUTSIDE, 0),
    LabelClass("marrow", 516, "marrow", OUTSIDE, 0),
    LabelClass("optic nerve", 530, "brain stem", OUTSIDE, 0),
    LabelClass("airway or sinus", -1, "cavity", OUTSIDE, 0),
)
CLASS_COUNT = len(CLASSES)
INDEX: dict[str, int] = {c.name: i for i, c in enumerate(CLASSES)}

Target = Literal["tissue-lesion", "lesion", "tissue", "brain", "deep"]

#: Labels of the `deep` target by position: background, then FreeSurfer's numbers.
DEEP_NUMBERS: tuple[int, ...] = (0, *sorted({c.deep for c in CLASSES if c.deep}))
_DEEP_NAMES = {
    **{2: "white matter", 3: "cortex", 4: "lateral ventricle", 8: "cerebellum", 10: "thalamus", 11: "caudate"},
    **{12: "putamen", 13: "pallidum", 17: "hippocampus", 18: "amygdala", 26: "accumbens"},
}
_DEEP_RIGHT = {2: 41, 3: 42, 4: 43, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 26: 58}

#: R, G, B of each of `DEEP_NUMBERS`, by position, from FreeSurferColorLUT.txt; both sides have the same.
_LEFT_COLORS = {
    **{0: (0, 0, 0), 2: (245, 245, 245), 3: (205, 62, 78), 4: (120, 18, 134), 8: (230, 148, 34), 10: (0, 118, 14)},
    **{11: (122, 186, 220), 12: (236, 13, 176), 13: (12, 48, 255), 16: (119, 159, 176), 17: (220, 216, 20)},
    **{18: (103, 255, 255), 26: (255, 165, 0)},
}
_DEEP_LEFT = {right: left for left, right in _DEEP_RIGHT.items()}
DEEP_COLORS: tuple[tuple[int, int, int], ...] = tuple(_LEFT_COLORS[_DEEP_LEFT.get(n, n)] for n in DEEP_NUMBERS)

#: Names of a target's labels, by position.
TARGET_LABELS: dict[Target, tuple[str, ...]] = {
    "tissue-lesion": ("background", "csf", "grey", "white", "lesion"),
    "lesion": ("background", "lesion"),
    "tissue": ("background", "csf", "grey", "white"),
    "brain": ("background", "brain"),
    "deep": (
        "background",
        *(
            "brain stem"
            if n == 16
            else f"left {_DEEP_NAMES[n]}"
            if n in _DEEP_NAMES
            else f"right {_DEEP_NAMES[_DEEP_LEFT[n]]}"
            for n in DEEP_NUMBERS[1:]
        ),
    ),
}


def class_of_target(target: Target, *, mirrored: bool = False) -> NDArray[np.uint8]:
    """Label of `target` for every class, uint8 [CLASS_COUNT]; `lesion` has no class of the anatomy (all 0).

    mirrored: the head was mirrored, so that `deep` swaps left and right.
    """
    if target == "lesion":
        return np.zeros(CLASS_COUNT, np.uint8)
    if target == "brain":
        return np.array([c.tissue != OUTSIDE for c in CLASSES], np.uint8)
    if target != "deep":
        return np.array([c.tissue for c in CLASSES], np.uint8)
    other_side = {**_DEEP_RIGHT, **_DEEP_LEFT} if mirrored else {}
    return np.array([DEEP_NUMBERS.index(other_side.get(c.deep, c.deep)) for c in CLASSES], np.uint8)


def classes_where(*intensities: str) -> NDArray[np.bool_]:
    """bool [CLASS_COUNT]: classes whose intensity row is one of `intensities`."""
    return np.array([c.intensity in intensities for c in CLASSES])


#: bool [CLASS_COUNT]: tissue of the brain; the brain with its inner fluid; ventricles.
BRAIN_TISSUE: NDArray[np.bool_] = np.array([c.tissue in (GREY, WHITE) for c in CLASSES])
BRAIN: NDArray[np.bool_] = np.array([c.tissue != OUTSIDE for c in CLASSES])
VENTRICLES: NDArray[np.bool_] = np.array([c.tissue == FLUID and c.name != "fluid between gyri" for c in CLASSES])
#: Classes that turn to fluid where the brain shrinks.
RIMS: NDArray[np.bool_] = np.array([c.name.endswith(" rim") for c in CLASSES])
