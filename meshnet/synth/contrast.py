"""Intensities: which brightness each class of a head gets in which contrast, as tables of ranges.

A row of `RANGES` says how one intensity is drawn: a list of alternatives `(chance, reference, low, high)`. An
alternative is `uniform(low, high)` times the intensity drawn before for `reference`, or on the scanner's own scale
where the reference is "" (air 0; the brightest brain tissue or fluid about 1). Rows are drawn in the table's order.

Soft tissue, scalp and the like are one label and many tissues. `PARTS` breaks them into smooth random sub-regions, each
with the intensity of one of the listed rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.synth.label_table import CLASSES

HeadContrast = Literal["T1w", "T2w", "T2w-edge", "FLAIR", "any"]
Alternative = tuple[float, str, float, float]

_T2W: dict[str, list[Alternative]] = {
    "air": [(1, "", 0.0, 0.0)],
    "fluid": [(1, "", 0.7, 1.1)],
    "cortex": [(1, "fluid", 0.28, 0.72)],
    "white": [(1, "cortex", 0.52, 0.88)],
    "cerebellar cortex": [(1, "cortex", 0.85, 1.1)],
    "cerebellar white": [(1, "white", 0.9, 1.2)],
    "brain stem": [(1, "white", 0.9, 1.25)],
    "ventral diencephalon": [(1, "white", 0.85, 1.15)],
    "thalamus": [(1, "white", 1.0, 1.25)],
    "striatum": [(1, "cortex", 0.8, 1.02)],
    "pallidum": [(1, "white", 0.6, 1.05)],
    "hippocampus": [(1, "cortex", 0.9, 1.15)],
    "choroid": [(1, "fluid", 0.4, 1.0)],
    "perivascular": [(1, "fluid", 0.6, 1.0)],
    "white-matter lesion": [(1, "fluid", 0.5, 0.95)],
    "spinal cord": [(1, "white", 0.9, 1.3)],
    "dura": [(0.55, "", 0.05, 0.35), (0.45, "fluid", 0.4, 0.95)],
    "vessel": [(0.75, "", 0.0, 0.2), (0.25, "fluid", 0.4, 1.1)],
    "eye": [(1, "fluid", 0.3, 1.3)],
    "fat": [(0.6, "", 0.4, 1.5), (0.4, "", 0.03, 0.3)],
    "muscle": [(1, "", 0.06, 0.4)],
    "gland": [(1, "", 0.25, 0.9)],
    "fibrous": [(1, "", 0.0, 0.15)],
    "mucosa": [(0.7, "fluid", 0.6, 1.3), (0.3, "", 0.15, 0.6)],
    "secretion": [(0.7, "fluid", 0.5, 1.3), (0.3, "", 0.05, 0.6)],
    "skin": [(1, "", 0.08, 0.7)],
    "skull": [(1, "", 0.0, 0.12)],
    "marrow": [(0.7, "fat", 0.5, 1.0), (0.3, "", 0.1, 0.5)],
}

#: Rows that differ from `_T2W`: cortex nearly as bright as T2w has it, white matter at either end of T2w's range.
_T2W_EDGE: dict[str, list[Alternative]] = {
    "cortex": [(1, "fluid", 0.6, 0.72)],
    "white": [(0.6, "cortex", 0.78, 0.88), (0.4, "cortex", 0.52, 0.62)],
}

_T1W: dict[str, list[Alternative]] = {
    "air": [(1, "", 0.0, 0.0)],
    "white": [(1, "", 0.62, 0.9)],
    "cortex": [(1, "white", 0.58, 0.88)],
    "fluid": [(1, "cortex", 0.1, 0.62)],
    "cerebellar cortex": [(1, "cortex", 0.9, 1.1)],
    "cerebellar white": [(1, "white", 0.88, 1.02)],
    "brain stem": [(1, "white", 0.82, 1.0)],
    "ventral diencephalon": [(1, "white", 0.84, 0.98)],
    "thalamus": [(1, "white", 0.78, 0.95)],
    "striatum": [(1, "cortex", 0.97, 1.15)],
    "pallidum": [(1, "white", 0.85, 1.0)],
    "hippocampus": [(1, "cortex", 0.92, 1.05)],
    "choroid": [(1, "cortex", 0.4, 1.0)],
    "perivascular": [(1, "fluid", 1.0, 1.5)],
    "white-matter lesion": [(1, "white", 0.6, 0.95)],
    "spinal cord": [(1, "white", 0.7, 1.0)],
    "dura": [(0.6, "", 0.05, 0.35), (0.4, "cortex", 0.5, 1.1)],
    "vessel": [(0.45, "", 0.0, 0.2), (0.25, "", 0.8, 1.6), (0.3, "cortex", 0.4, 1.0)],
    "eye": [(1, "fluid", 0.8, 1.6)],
    "fat": [(0.75, "", 0.7, 1.9), (0.25, "", 0.05, 0.4)],
    "muscle": [(1, "white", 0.35, 0.8)],
    "gland": [(1, "white", 0.4, 0.95)],
    "fibrous": [(1, "", 0.0, 0.2)],
    "mucosa": [(1, "cortex", 0.5, 1.2)],
    "secretion": [(0.7, "fluid", 0.8, 1.5), (0.3, "white", 0.6, 1.2)],
    "skin": [(1, "white", 0.3, 0.9)],
    "skull": [(1, "", 0.0, 0.15)],
    "marrow": [(0.8, "fat", 0.5, 1.0), (0.2, "white", 0.3, 0.7)],
}

_FLAIR: dict[str, list[Alternative]] = {
    "air": [(1, "", 0.0, 0.0)],
    "cortex": [(1, "", 0.55, 0.9)],
    "white": [(1, "cortex", 0.62, 0.93)],
    "fluid": [(1, "cortex", 0.03, 0.4)],
    "cerebellar cortex": [(1, "cortex", 0.88, 1.1)],
    "cerebellar white": [(1, "white", 0.9, 1.15)],
    "brain stem": [(1, "white", 0.9, 1.25)],
    "ventral diencephalon": [(1, "white", 0.85, 1.15)],
    "thalamus": [(1, "white", 0.98, 1.2)],
    "striatum": [(1, "cortex", 0.82, 1.02)],
    "pallidum": [(1, "white", 0.65, 1.05)],
    "hippocampus": [(1, "cortex", 0.95, 1.2)],
    "choroid": [(1, "cortex", 0.5, 1.3)],
    "perivascular": [(1, "fluid", 1.0, 1.6)],
    "white-matter lesion": [(1, "cortex", 1.05, 1.7)],
    "spinal cord": [(1, "white", 0.7, 1.2)],
    "dura": [(0.7, "", 0.03, 0.35), (0.3, "cortex", 0.5, 1.0)],
    "vessel": [(0.7, "", 0.0, 0.2), (0.3, "cortex", 0.5, 1.2)],
    "eye": [(0.8, "fluid", 0.6, 1.8), (0.2, "cortex", 0.3, 0.9)],
    "fat": [(0.6, "", 0.4, 1.3), (0.4, "", 0.03, 0.3)],
    "muscle": [(1, "", 0.12, 0.5)],
    "gland": [(1, "", 0.3, 0.9)],
    "fibrous": [(1, "", 0.0, 0.15)],
    "mucosa": [(0.7, "cortex", 0.7, 1.4), (0.3, "", 0.15, 0.5)],
    "secretion": [(0.6, "fluid", 0.8, 2.0), (0.4, "cortex", 0.5, 1.3)],
    "skin": [(1, "", 0.1, 0.7)],
    "skull": [(1, "", 0.0, 0.12)],
    "marrow": [(0.7, "fat", 0.5, 1.0), (0.3, "", 0.1, 0.5)],
}

#: No order of tissues: only what is dark in every sequence (air, cortical bone, most of the fibrous tissue) stays dark,
#: and deep structures stay within reach of grey or white matter.
_ANY: dict[str, list[Alternative]] = {
    **{name: [(1, "", 0.05, 1.0)] for name in ("fluid", "cortex", "white")},
    "air": [(1, "", 0.0, 0.0)],
    "cerebellar cortex": [(1, "cortex", 0.85, 1.15)],
    "cerebellar white": [(1, "white", 0.85, 1.15)],
    "brain stem": [(1, "white", 0.8, 1.2)],
    "ventral diencephalon": [(0.5, "white", 0.8, 1.2), (0.5, "cortex", 0.8, 1.2)],
    "thalamus": [(0.5, "white", 0.8, 1.2), (0.5, "cortex", 0.8, 1.2)],
    "striatum": [(1, "cortex", 0.8, 1.2)],
    "pallidum": [(0.5, "white", 0.6, 1.3), (0.5, "cortex", 0.6, 1.3)],
    "hippocampus": [(1, "cortex", 0.85, 1.15)],
    "choroid": [(0.5, "fluid", 0.6, 1.4), (0.5, "cortex", 0.6, 1.4)],
    "perivascular": [(1, "fluid", 0.7, 1.3)],
    "white-matter lesion": [(0.5, "fluid", 0.7, 1.0), (0.5, "white", 0.6, 1.5)],
    "spinal cord": [(1, "white", 0.8, 1.2)],
    **{n: [(1.0, "", 0.03, 1.0)] for n in ("dura", "vessel", "fat", "muscle", "gland", "mucosa", "secretion", "skin")},
    "eye": [(0.7, "fluid", 0.3, 1.3), (0.3, "", 0.05, 1.0)],
    "fibrous": [(1, "", 0.0, 0.4)],
    "skull": [(1, "", 0.0, 0.3)],
    "marrow": [(0.6, "fat", 0.5, 1.1), (0.4, "", 0.03, 1.0)],
}

RANGES: Mapping[HeadContrast, Mapping[str, Sequence[Alternative]]] = {
    "T1w": _T1W,
    "T2w": _T2W,
    "T2w-edge": _T2W | _T2W_EDGE,
    "FLAIR": _FLAIR,
    "any": _ANY,
}

#: Classes that are several tissues: intensity row of the class -> its parts, each with its mean share.
PARTS: Mapping[str, Mapping[str, float]] = {
    "deep soft tissue": {"muscle": 0.52, "fat": 0.28, "gland": 0.1, "fibrous": 0.1},
    "superficial soft tissue": {"fat": 0.55, "muscle": 0.3, "gland": 0.1, "fibrous": 0.05},
    "scalp": {"fat": 0.75, "skin": 0.15, "muscle": 0.1},
    "orbit": {"muscle": 0.4, "fat": 0.4, "fibrous": 0.2},
    "mucosa": {"mucosa": 0.65, "secretion": 0.15, "air": 0.2},
    "gland": {"gland": 0.45, "vessel": 0.35, "muscle": 0.2},
    "marrow": {"marrow": 0.7, "skull": 0.3},
    "cavity": {"air": 0.9, "secretion": 0.1},
}

#: Equally likely bins of the random field that says which part a voxel is.
BINS = 16
#: In `any`, grey matter differs at least this much from white matter and from fluid.
_LEAST_DIFFERENCE = 0.1


@dataclass(frozen=True)
class ContrastDraw:
    """One drawn contrast. intensities: by row of the table. class_bins: float32 [CLASS_COUNT, BINS], intensity of each
    class in each bin of the sub-region field (the same in every bin where the class is one tissue). texture,
    outside_texture: s.d. of the logarithm of smooth variation in and outside the brain. texture_mm, part_mm: grain of
    that variation and of the sub-regions. seed: of the fields."""

    kind: HeadContrast
    intensities: Mapping[str, float]
    class_bins: NDArray[np.float32]
    texture: float
    outside_texture: float
    texture_mm: float
    part_mm: float
    seed: int


def draw_contrast(rng: np.random.Generator, kind: HeadContrast, outside_texture: float) -> ContrastDraw:
    """Draw one contrast; the outside texture is drawn from 0 to `outside_texture`."""
    values = _draw_rows(rng, RANGES[kind])
    while kind == "any" and min(abs(values["cortex"] - values[n]) for n in ("white", "fluid")) < _LEAST_DIFFERENCE:
        values = _draw_rows(rng, RANGES[kind])
    parts = {name: _draw_bins(rng, shares, values) for name, shares in PARTS.items()}
    bins = np.stack([parts.get(c.intensity, np.full(BINS, values.get(c.intensity, 0.0))) for c in CLASSES])
    return ContrastDraw(
        kind=kind,
        intensities=values,
        class_bins=bins.astype(np.float32),
        texture=float(rng.uniform(0, 0.06)),
        outside_texture=float(rng.uniform(0, outside_texture)),
        texture_mm=float(rng.uniform(5, 14)),
        part_mm=float(rng.uniform(7, 24)),
        seed=int(rng.integers(2**62)),
    )


def _draw_rows(rng: np.random.Generator, rows: Mapping[str, Sequence[Alternative]]) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, alternatives in rows.items():
        chances = np.array([a[0] for a in alternatives])
        _, reference, low, high = alternatives[int(rng.choice(len(alternatives), p=chances / chances.sum()))]
        values[name] = float(rng.uniform(low, high)) * (values[reference] if reference else 1.0)
    return values


def _draw_bins(
    rng: np.random.Generator, shares: Mapping[str, float], values: Mapping[str, float]
) -> NDArray[np.float64]:
    """Intensity of each bin: parts in random order with random shares (Dirichlet around the listed ones), each part
    in one or two stretches of bins."""
    names = list(shares)
    drawn = rng.dirichlet(6.0 * np.array([shares[n] for n in names]) + 0.05)
    order = rng.permutation(len(names))
    split = rng.random(len(names)) < 0.5  # a part in two stretches has two neighbours of another kind
    stretches = [(names[i], drawn[i] / (2 if split[i] else 1)) for i in order]
    stretches += [(names[i], drawn[i] / 2) for i in rng.permutation(len(names)) if split[i]]
    ends = np.cumsum([share for _, share in stretches])
    middles = (np.arange(BINS) + 0.5) / BINS * ends[-1]
    which = np.minimum(np.searchsorted(ends, middles), len(stretches) - 1)
    return np.array([values[stretches[i][0]] for i in which])
