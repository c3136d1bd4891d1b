"""Pictures for quality control: axial slices of a scan with the labels over them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from meshnet.model.spec import ModelSpec
from meshnet.scan.nifti import Scan

#: Slices in a picture, in rows of `COLUMNS`.
SLICES, COLUMNS = 12, 6
MM_PER_PIXEL = 1.5


def write_mosaic(path: Path, scan: Scan, labels_native: NDArray[np.uint8], spec: ModelSpec) -> None:
    """Write a PNG of `SLICES` axial slices, lowest first, the patient's left on the left.

    The slices cover what is labelled, or the middle of the scan if nothing is. Labels are outlined in their colours.
    """
    orientation = nib.orientations.io_orientation(scan.affine_vox2ras)
    voxels = nib.orientations.apply_orientation(scan.data, orientation)
    labels = nib.orientations.apply_orientation(labels_native, orientation)
    size_mm = nib.affines.voxel_sizes(scan.affine_vox2ras)[np.argsort(orientation[:, 0])]
    low, high = np.percentile(voxels[voxels > voxels.min()], (1, 99))
    width, height = (max(1, round(n * mm / MM_PER_PIXEL)) for n, mm in zip(voxels.shape, size_mm[:2], strict=False))
    sheet = Image.new("RGB", (COLUMNS * width, -(-SLICES // COLUMNS) * height))
    for number, k in enumerate(_slices(labels)):
        grey = np.clip((voxels[:, :, k].astype(float) - low) / max(high - low, 1e-9), 0, 1)
        colour = np.repeat((255 * grey).astype(np.uint8)[..., None], 3, axis=2)
        for label in spec.labels[1:]:
            mask = labels[:, :, k] == label.index
            colour[mask & ~binary_erosion(mask)] = label.color
        # The picture's rows run from the front of the head to the back.
        picture = Image.fromarray(np.ascontiguousarray(colour.transpose(1, 0, 2)[::-1])).resize((width, height))
        sheet.paste(picture, (number % COLUMNS * width, number // COLUMNS * height))
    draw = ImageDraw.Draw(sheet)
    draw.text((2, height // 2), "L", fill=(255, 255, 255))
    draw.text((width - 8, height // 2), "R", fill=(255, 255, 255))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _slices(labels: NDArray[np.uint8]) -> list[int]:
    """Indices of `SLICES` slices (fewer in a thin scan) along the last axis."""
    labelled = np.flatnonzero((labels > 0).any((0, 1)))
    depth = labels.shape[2]
    first, last = (labelled[0], labelled[-1]) if len(labelled) else (0.2 * depth, 0.8 * depth)
    return sorted({int(k) for k in np.clip(np.rint(np.linspace(first, last, SLICES)), 0, depth - 1)})
