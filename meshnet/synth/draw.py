"""Random draws for a synthetic subject: the shape of its head, the contrast of its scan, and the scanner.

Every draw takes numbers from the subject's own generator in a fixed order. Another order would give every seed
another subject, the frozen held-out ones (`meshnet.lab.held_out`) included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.synth.anatomy import CSF, DARK, EYE, FAT, GREY, LOW, MIDDLE, WHITE

Task = Literal["tissue", "lesion"]
Contrast = Literal["any", "T1w", "T2w", "T2w-edge"]


@dataclass(frozen=True)
class SynthConfig:
    """Ranges and probabilities of the draws. Probabilities 0..1; ranges are uniform.

    elastic_mm, ventricle_mm: s.d. and largest displacement. sulci: largest widening, in times the template's own fluid.
    outside_texture: largest s.d. of the logarithm of a smooth factor on all that lies outside the brain (muscle, fat,
    marrow). eye_of_fluid: brightness of the eyes as a share of fluid in T2w.
    """

    task: Task = "tissue"
    contrasts: dict[Contrast, float] = field(default_factory=lambda: {"T1w": 0.5, "T2w": 0.2, "any": 0.3})
    colin_probability: float = 0.65
    stripped_probability: float = 0.15
    lesion_probability: float = 0.85
    spots_probability: float = 0.3
    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.86, 1.14)
    elastic_mm: float = 3.0
    ventricle_mm: float = 14.0
    sulci_probability: float = 0.5
    sulci: float = 1.2
    outside_texture: float = 0.0
    eye_of_fluid: tuple[float, float] = (0.8, 1.3)


@dataclass(frozen=True)
class Shape:
    """Target mm (RAS around the head's centre) -> template mm: `affine` [3, 4], then displacements."""

    affine: NDArray[np.float32]
    elastic_mm: tuple[NDArray[np.float32], ...]
    ventricle_mm: float
    sulci: float


def draw_shape(rng: np.random.Generator, c: SynthConfig) -> Shape:
    angles = np.deg2rad(rng.uniform(-c.rotation_deg, c.rotation_deg, 3))
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    overall = rng.uniform(*c.scale)
    scales = np.clip(overall * rng.uniform(0.93, 1.07, 3), *c.scale)
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    matrix = flip @ rotation @ shear @ np.diag(1 / scales)
    center = np.array([0.0, -18.0, 8.0])
    affine = np.concatenate([matrix, center[:, None]], axis=1).astype(np.float32)
    fields = tuple(
        (rng.standard_normal((3, n, n, n)) * c.elastic_mm * amplitude * rng.uniform(0.2, 1)).astype(np.float32)
        for n, amplitude in ((5, 1.0), (10, 0.55))
    )
    ventricle = c.ventricle_mm * float(rng.random() ** 2) * (1.0 if rng.random() < 0.8 else -0.2)
    sulci = float(rng.uniform(0, c.sulci)) if rng.random() < c.sulci_probability else 0.0
    return Shape(affine, fields, ventricle, sulci)


@dataclass(frozen=True)
class ContrastDraw:
    """means: intensity of each anatomy channel, air 0, CSF/grey/white on a common 0..1 scale.
    texture, outside_texture: s.d. of smooth variation, of everything and of what lies outside the brain."""

    kind: Contrast
    means: NDArray[np.float32]
    texture: float
    seed: int
    outside_texture: float = 0.0


def draw_contrast(
    rng: np.random.Generator, kind: Contrast, eye_of_fluid: tuple[float, float] = SynthConfig.eye_of_fluid
) -> ContrastDraw:
    """One intensity per channel. T1w and T2w keep the order of tissues, `any` keeps nothing but a least distance
    between grey and white. T2w-edge is T2w with grey matter nearly as bright as T2w draws it, and white matter
    either nearly as bright as grey or nearly as dark as T2w draws it."""
    m = np.zeros(8)
    if kind == "T1w":
        m[WHITE] = rng.uniform(0.62, 0.9)
        m[GREY] = m[WHITE] * rng.uniform(0.58, 0.88)
        m[CSF] = m[GREY] * rng.uniform(0.1, 0.62)
        m[[DARK, LOW, MIDDLE, FAT, EYE]] = (
            rng.uniform(0, 0.15),
            m[GREY] * rng.uniform(0.25, 0.8),
            m[WHITE] * rng.uniform(0.5, 1.05),
            rng.uniform(0.5, 1.6),
            m[CSF] * rng.uniform(0.8, 1.4),
        )
    elif kind in ("T2w", "T2w-edge"):
        edge = kind == "T2w-edge"
        m[CSF] = rng.uniform(0.7, 1.1)
        m[GREY] = m[CSF] * rng.uniform(0.6 if edge else 0.28, 0.72)
        white_of_grey = (0.52, 0.88)
        if edge:
            white_of_grey = (0.78, 0.88) if rng.random() < 0.6 else (0.52, 0.62)
        m[WHITE] = m[GREY] * rng.uniform(*white_of_grey)
        m[[DARK, LOW, MIDDLE, FAT, EYE]] = (
            rng.uniform(0, 0.12),
            rng.uniform(0.05, 0.5),
            rng.uniform(0.1, 0.5),
            rng.uniform(0.1, 1.1),
            m[CSF] * rng.uniform(*eye_of_fluid),
        )
    else:
        m[:] = rng.uniform(0.05, 1.0, 8)
        while abs(m[GREY] - m[WHITE]) < 0.1 or abs(m[CSF] - m[GREY]) < 0.1:
            m[[CSF, GREY, WHITE]] = rng.uniform(0.05, 1.0, 3)
        m[DARK] = rng.uniform(0, 0.3)
    return ContrastDraw(kind, m.astype(np.float32), float(rng.uniform(0, 0.05)), int(rng.integers(2**62)))


@dataclass(frozen=True)
class Acquisition:
    """How the scanner and the conform step see the head; lengths in mm."""

    slice_axis: int
    slice_thickness_mm: float
    blur_mm: float
    bias: NDArray[np.float32]
    noise: float
    gamma: float
    gain: float
    neck_cut_mm: float
    top_cut_mm: float
    tilt: NDArray[np.float32]
    seed: int


def draw_acquisition(rng: np.random.Generator, kind: Contrast) -> Acquisition:
    n = int(rng.integers(2, 5))
    thick = rng.random() < (0.35 if kind != "T1w" else 0.2)
    return Acquisition(
        slice_axis=int(rng.integers(3)),
        slice_thickness_mm=float(rng.uniform(2, 5)) if thick else 0.0,
        blur_mm=float(rng.uniform(0, 0.75)),
        bias=(rng.standard_normal((n, n, n)) * rng.uniform(0, 0.28)).astype(np.float32),
        noise=float(rng.uniform(0, 1) ** 2 * 0.08),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3))) if rng.random() < 0.5 else 1.0,
        gain=float(np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.4 else 1.0,
        neck_cut_mm=float(rng.uniform(62, 118)),
        top_cut_mm=float(rng.uniform(70, 200)),
        tilt=rng.uniform(-0.35, 0.35, 2).astype(np.float32),
        seed=int(rng.integers(2**62)),
    )
