"""Pictures of a report: slices of the conformed scan with the labels outlined, as PNG with a palette.

`static/src/volume/report-pictures.ts` makes the same pictures, pixel by pixel; a test in tests/parity compares them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.lesions import ras_mm
from meshnet.model.label_roles import context_indices, lesion_indices, shown_indices
from meshnet.model.spec import ModelSpec
from meshnet.scan.conform import Conformed
from meshnet.scan.scan_grid import resample_labels

Plane = Literal["axial", "coronal", "sagittal"]
U8 = NDArray[np.uint8]

#: Lesions that are pictured, the largest first.
MOST_PICTURED = 8
#: Slices of the mosaic.
TILES = 24
#: The mosaic reaches this far beyond what is labelled: a brain, or a lesion alone.
BEYOND_BRAIN_MM, BEYOND_LESION_MM = 5, 40

#: Grey levels of a picture; the palette's other entries are labels.
GREYS = 128
#: The level that becomes white: this many per mille of the voxels that are not 0 are at most as bright.
WHITE_PER_MILLE = 995
#: Grey level (of `GREYS`) from which a voxel counts as head, and the least share of such voxels in a plane of the head.
HEAD_LEVEL, HEAD_SHARE = 16, 0.01
#: Voxels around the head.
MARGIN = 4

#: Turns a slice [axis, axis] of the LIA grid to [row, column].
_TURN: dict[Plane, Callable[[U8], U8]] = {
    "axial": lambda image: image[::-1, ::-1].T,
    "coronal": lambda image: image[::-1].T,
    "sagittal": lambda image: image[:, ::-1],
}
_AXIS: dict[Plane, int] = {"sagittal": 0, "axial": 1, "coronal": 2}


@dataclass(frozen=True)
class Picture:
    """One slice. The patient's left is on the left; in a sagittal slice the front is."""

    plane: Plane
    position_mm: float  #: world x, z or y (RAS) of a sagittal, axial or coronal slice
    width: int
    height: int
    png: str  #: base64
    at: tuple[int, int] | None = None  #: pixel (column, row) of the lesion's centre


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report."""

    mm_per_pixel: float
    lesions: tuple[tuple[Picture, ...], ...]  #: of each pictured lesion: axial, coronal, sagittal
    mosaic: tuple[Picture, ...]  #: axial, the lowest first


def make_pictures(
    spec: ModelSpec,
    conformed: Conformed,
    labels_native: U8,
    affine_vox2ras: NDArray[np.float64],
    centres_ras_mm: Sequence[tuple[float, float, float]],
) -> Pictures:
    """Slices through the first `MOST_PICTURED` of these places, and a mosaic.

    conformed: uint8 [i, j, k], LIA. labels_native: uint8 on the grid of `affine_vox2ras` [4, 4], voxel to RAS, mm. The
    labels that are shown at first are outlined. Raises ModuleNotFoundError without Pillow.
    """
    affine = conformed.affine_vox2ras
    labels = resample_labels(labels_native, affine_vox2ras, affine, conformed.data.shape)
    voxel_mm = float(np.linalg.norm(affine[:3, 0]))
    grey = grey_levels(conformed.data)
    entries = palette_entries(spec)
    box = crop_box(grey, labels)
    palette = _palette(spec)
    beyond = int(_beyond_mm(spec) // voxel_mm)

    def picture(plane: Plane, voxel: Sequence[int], *, marked: bool) -> Picture:
        pixels, at = slice_pixels(grey, entries[labels], box, plane, voxel)
        height, width = pixels.shape
        position = ras_mm([float(n) for n in voxel], affine)[{"sagittal": 0, "axial": 2, "coronal": 1}[plane]]
        return Picture(plane, position, width, height, _png(pixels, palette), at if marked else None)

    inverse = np.linalg.inv(affine)
    voxels = [
        [
            int(np.clip(np.floor(n + 0.5), 0, size - 1))
            for n, size in zip(ras_mm(list(c), inverse), grey.shape, strict=True)
        ]
        for c in centres_ras_mm[:MOST_PICTURED]
    ]
    planes: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
    return Pictures(
        mm_per_pixel=voxel_mm,
        lesions=tuple(tuple(picture(plane, voxel, marked=True) for plane in planes) for voxel in voxels),
        mosaic=tuple(picture("axial", [0, j, 0], marked=False) for j in mosaic_planes(labels, box, beyond)),
    )


def grey_levels(conformed: U8) -> U8:
    """0 to GREYS - 1; the brightest 0.5 % of the voxels that are not 0 are white."""
    counts = np.bincount(conformed.reshape(-1), minlength=256)
    counts[0] = 0
    white = max(1, int(np.argmax(1000 * np.cumsum(counts) >= WHITE_PER_MILLE * counts.sum())))
    table = np.minimum(np.arange(256) * GREYS // (white + 1), GREYS - 1).astype(np.uint8)
    levels: U8 = table[conformed]
    return levels


def palette_entries(spec: ModelSpec) -> U8:
    """The palette's entry of each label 0 to 255; 0 for those that are not outlined."""
    entries = np.zeros(256, np.uint8)
    for n, index in enumerate(shown_indices(spec)):
        entries[index] = GREYS + n % (256 - GREYS)
    return entries


def crop_box(grey: U8, labels: U8) -> list[tuple[int, int]]:
    """First and last plane along each axis of the head with what is labelled, and a margin."""
    box = []
    for axis, size in enumerate(grey.shape):
        others = tuple(n for n in range(3) if n != axis)
        is_head = (grey >= HEAD_LEVEL).sum(others) >= HEAD_SHARE * grey.size / size
        planes = np.flatnonzero(is_head | (labels > 0).any(others))
        first, last = (int(planes[0]), int(planes[-1])) if len(planes) else (0, size - 1)
        box.append((max(0, first - MARGIN), min(size - 1, last + MARGIN)))
    return box


def mosaic_planes(labels: U8, box: Sequence[tuple[int, int]], beyond: int) -> list[int]:
    """Indices j of up to `TILES` axial slices, the lowest first. beyond: planes on both sides of the labels."""
    top, bottom = box[1]
    labelled = np.flatnonzero((labels > 0).any((0, 2)))
    if len(labelled):
        top, bottom = max(top, int(labelled[0]) - beyond), min(bottom, int(labelled[-1]) + beyond)
    steps = [int(np.floor(bottom + (top - bottom) * n / (TILES - 1) + 0.5)) for n in range(TILES)]
    return list(dict.fromkeys(steps))


def slice_pixels(
    grey: U8, entries: U8, box: Sequence[tuple[int, int]], plane: Plane, voxel: Sequence[int]
) -> tuple[U8, tuple[int, int]]:
    """Pixels [row, column] of the slice through a voxel, cropped, and the voxel's place (column, row)."""
    (i0, i1), (j0, j1), (k0, k1) = box
    i, j, k = voxel
    axis = _AXIS[plane]
    cropped = np.index_exp[i0 : i1 + 1, j0 : j1 + 1, k0 : k1 + 1]
    through = tuple(voxel[axis] if n == axis else side for n, side in enumerate(cropped))
    turn = _TURN[plane]
    at = {"axial": (i1 - i, k1 - k), "coronal": (i1 - i, j - j0), "sagittal": (k1 - k, j - j0)}[plane]
    shades, marks = turn(grey[through]), turn(entries[through])
    return np.where(outline(marks), marks, shades), at


def outline(marks: U8) -> NDArray[np.bool_]:
    """The outlines of areas [row, column] that are not 0: one pixel wide, also between two areas."""
    around = np.pad(marks, 1)
    left, above = around[1:-1, :-2], around[:-2, 1:-1]
    right, below = around[1:-1, 2:], around[2:, 1:-1]
    edge: NDArray[np.bool_] = (marks > 0) & ((marks != left) | (marks != above) | (right == 0) | (below == 0))
    return edge


def _beyond_mm(spec: ModelSpec) -> int:
    return BEYOND_LESION_MM if lesion_indices(spec) and not context_indices(spec) else BEYOND_BRAIN_MM


def _palette(spec: ModelSpec) -> list[int]:
    """RGB of the 256 entries, one after the other."""
    table = [(level * 255 // (GREYS - 1),) * 3 for level in range(GREYS)] + [(0, 0, 0)] * (256 - GREYS)
    for n, index in enumerate(shown_indices(spec)[: 256 - GREYS]):
        table[GREYS + n] = spec.labels[index].color
    return [part for colour in table for part in colour]


def _png(pixels: U8, palette: list[int]) -> str:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels), "P")
    image.putpalette(palette)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
