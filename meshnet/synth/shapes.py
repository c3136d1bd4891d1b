"""Shape of a drawn head, and how the scanner sees it: plain numbers and coarse control fields, no volume.

Target mm are RAS around the head's centre, axes along the scanner's. Head mm are RAS along the head's own (MNI) axes,
in its own size, with the same centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ShapeRanges:
    """Ranges that a head's shape is drawn from: degrees, mm, factors, probabilities 0..1.

    rotation_deg: largest tilt about the left-right axis; the other two axes tilt up to two thirds of it. scale: of an
    adult's head; a child's (`child_probability`) from `child_scale`. ventricle_mm: largest widening of the ventricles.
    atrophy_probability: of cortex that has shrunk from the fluid around it.
    """

    rotation_deg: float = 30.0
    scale: tuple[float, float] = (0.86, 1.14)
    child_scale: tuple[float, float] = (0.7, 0.86)
    child_probability: float = 0.08
    elastic_mm: float = 3.0
    ventricle_mm: float = 10.0
    atrophy_probability: float = 0.5


@dataclass(frozen=True)
class Shape:
    """matrix: float64 [3, 3], target mm -> head mm. mirrored: left is right. elastic_mm: float32 [3, n, n, n] control
    points over a cube of 260 mm around the centre, displacement in head mm. ventricle_mm: widening of the ventricles
    (negative: narrowing). atrophy: 0..1, how far the rim of the cortex has turned to fluid."""

    matrix: NDArray[np.float64]
    mirrored: bool
    elastic_mm: tuple[NDArray[np.float32], ...]
    ventricle_mm: float
    atrophy: float


def draw_shape(rng: np.random.Generator, c: ShapeRanges) -> Shape:
    """Draw one shape."""
    rotation = np.eye(3)
    for axis, share in ((0, 1.0), (1, 2 / 3), (2, 2 / 3)):
        # triangular: small tilts are commoner than large ones
        angle = np.deg2rad(c.rotation_deg * share * rng.triangular(-1, 0, 1))
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    overall = rng.uniform(*(c.child_scale if rng.random() < c.child_probability else c.scale))
    scales = overall * rng.uniform(0.94, 1.06, 3)
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    mirrored = bool(rng.random() < 0.5)
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    fields = tuple(
        (rng.standard_normal((3, n, n, n)) * c.elastic_mm * amplitude * rng.uniform(0.2, 1)).astype(np.float32)
        for n, amplitude in ((6, 1.0), (11, 0.5))
    )
    return Shape(
        matrix=mirror @ np.diag(1 / scales) @ shear @ rotation,
        mirrored=mirrored,
        elastic_mm=fields,
        ventricle_mm=c.ventricle_mm * float(rng.random() ** 2) * (1.0 if rng.random() < 0.8 else -0.2),
        atrophy=float(rng.uniform(0.1, 1.0)) if rng.random() < c.atrophy_probability else 0.0,
    )


@dataclass(frozen=True)
class ScanRanges:
    """Ranges that a scan is drawn from: mm, probabilities 0..1. Slices are thick with `thick_probability`, else as thin
    as the voxels. half_view_probability: of a field of view that covers part of the head only."""

    thick_probability: float = 0.4
    slice_mm: tuple[float, float] = (1.5, 6.0)
    half_view_probability: float = 0.12
    defaced_probability: float = 0.25
    stripped_probability: float = 0.12
    noise: float = 0.08
    bias: float = 0.3


@dataclass(frozen=True)
class Acquisition:
    """How the scanner and the conform step see the head.

    slice_axis: of the LIA grid (0, 1, 2). slice_mm: distance of slices, 0 for none; slice_profile: share of it that a
    slice covers. slice_offset: 0..1 of a slice distance. blur_mm: s.d. in plane. bias: float32 [n, n, n], logarithm at
    control points over a cube of 260 mm. noise: s.d. as a share of the brightest brain tissue. gain: factor on top of
    conform's scaling. view_mm: [3, 2], lowest and highest RAS mm seen along x, y, z. tilt: slope of the lower and upper
    end of the view in y and x. stripped: 0 no, 1 the brain alone, 2 with the fluid around it. deface: None, or
    (nx, ny, nz, d): what lies where n . head mm > d is removed, the brain and its fluid apart.
    """

    slice_axis: int
    slice_mm: float
    slice_profile: float
    slice_offset: float
    blur_mm: float
    bias: NDArray[np.float32]
    noise: float
    gamma: float
    gain: float
    view_mm: NDArray[np.float32]
    tilt: NDArray[np.float32]
    stripped: int
    deface: tuple[float, float, float, float] | None
    seed: int


def draw_acquisition(rng: np.random.Generator, c: ScanRanges) -> Acquisition:
    """Draw one scan."""
    n = int(rng.integers(2, 5))
    thick = bool(rng.random() < c.thick_probability)
    stripped = int(rng.integers(1, 3)) if rng.random() < c.stripped_probability else 0
    defaced = rng.random() < c.defaced_probability and not stripped
    return Acquisition(
        slice_axis=int(rng.choice(3, p=(0.25, 0.5, 0.25))),
        slice_mm=float(rng.uniform(*c.slice_mm)) if thick else 0.0,
        slice_profile=float(rng.uniform(0.6, 1.0)),
        slice_offset=float(rng.random()),
        blur_mm=float(rng.uniform(0, 0.8)),
        bias=(rng.standard_normal((n, n, n)) * rng.uniform(0, c.bias)).astype(np.float32),
        noise=float(rng.uniform(0, 1) ** 2 * c.noise),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3))) if rng.random() < 0.5 else 1.0,
        gain=float(np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.4 else 1.0,
        view_mm=_draw_view(rng, c).astype(np.float32),
        tilt=rng.uniform(-0.35, 0.35, 2).astype(np.float32),
        stripped=stripped,
        deface=_draw_deface(rng) if defaced else None,
        seed=int(rng.integers(2**62)),
    )


def _draw_view(rng: np.random.Generator, c: ScanRanges) -> NDArray[np.float64]:
    """[3, 2] mm. The whole head with neck cut and free top; or a part of it along one axis."""
    view = np.array([[-200.0, 200.0], [-200.0, 200.0], [-rng.uniform(58, 125), rng.uniform(70, 200)]])
    if rng.random() < 0.3:  # the nose, ears or back of the head lie beyond the view
        axis, end = int(rng.integers(2)), int(rng.integers(2))
        view[axis, end] = (-1, 1)[end] * rng.uniform(70, 95)
    if rng.random() < c.half_view_probability:
        axis = int(rng.choice(3, p=(0.2, 0.2, 0.6)))
        middle, half = rng.uniform(-40, 40), rng.uniform(25, 55)
        view[axis] = (middle - half, middle + half)
    return view


def _draw_deface(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A plane in front of and below the brain: it turns about the left-right axis from a cut along the face to one
    below the skull base."""
    angle = np.deg2rad(rng.uniform(10, 70))
    return (0.0, float(np.cos(angle)), float(-np.sin(angle)), float(rng.uniform(52, 80)))
