"""Scans of hard geometry, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.scan.nifti import Scan, read_scan


def affine_of(
    *,
    axes: str = "RAS",
    voxel_size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    shear: float = 0.0,
    origin_mm: tuple[float, float, float] = (-11.0, 7.5, 3.25),
) -> NDArray[np.float64]:
    """Affine of a grid: axis order, anisotropy, rotation about x, y, z, shear of y into x."""
    turn = np.eye(3)
    for axis, degrees in enumerate(rotation_deg):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        a, b = [(1, 2), (2, 0), (0, 1)][axis]
        r = np.eye(3)
        r[a, a], r[a, b], r[b, a], r[b, b] = c, -s, s, c
        turn = r @ turn
    skew = np.eye(3)
    skew[0, 1] = shear
    flips = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}[letter]
        flips[row, column] = 1 if letter in "RAS" else -1
    affine = np.eye(4)
    affine[:3, :3] = turn @ skew @ flips @ np.diag(voxel_size_mm)
    affine[:3, 3] = origin_mm
    return affine


#: Name to affine and shape: the normal case is oblique, flipped, anisotropic and odd-sized.
GEOMETRIES: dict[str, tuple[NDArray[np.float64], tuple[int, int, int]]] = {
    "aligned RAS": (affine_of(), (20, 22, 18)),
    "odd sizes": (affine_of(), (21, 17, 13)),
    "flipped LPS": (affine_of(axes="LPS"), (19, 20, 16)),
    "permuted ASL, anisotropic": (affine_of(axes="ASL", voxel_size_mm=(0.9, 1.3, 2.1)), (24, 15, 9)),
    "permuted PIR": (affine_of(axes="PIR", voxel_size_mm=(1.5, 1.5, 1.5)), (11, 12, 13)),
    "oblique": (affine_of(axes="LAS", rotation_deg=(12, -7, 31), voxel_size_mm=(1.1, 0.8, 1.7)), (18, 25, 11)),
    "sheared": (affine_of(shear=0.3, rotation_deg=(5, 0, 0)), (16, 16, 17)),
    "thin": (affine_of(voxel_size_mm=(1.0, 1.0, 5.0)), (20, 20, 2)),
}

#: Files of hard geometry in `../shared/data/scans/geometry` that are read.
READABLE = ("alb_T1_head_2mm.nii.gz", "nib_anatomical.nii", "niivue_avg152T1_RL_nifti.nii.gz", "niivue_low_res.nii.gz",
            "niivue_minimal.nii.gz", "niivue_ras.hdr", "niivue_shear.nii.gz", "niivue_space_ASL.nii.gz",
            "niivue_space_LPS.nii.gz", "niivue_space_PIR.nii.gz", "niivue_space_SRA.nii.gz")  # fmt: skip


def blob(shape: tuple[int, ...], *, seed: int = 0) -> NDArray[np.float64]:
    """Smooth positive intensities with noise, 0 to about 1,000, with exact zeros in one corner."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    noise = np.random.default_rng(seed).uniform(0, 100, shape)
    data = 900 * np.exp(-2 * (grid**2).sum(0)) + noise
    data[:2, :2, :2] = 0
    return data


def write_scan(path: Path, data: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    """A NIfTI-1 file (or what the ending says) with sform and qform."""
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def scan_of(data: NDArray[Any], affine: NDArray[np.float64], *, where: str = "memory.nii.gz") -> Scan:
    """A Scan that never was a file."""
    header = nib.Nifti1Image(np.zeros(data.shape, np.uint8), affine).header
    return Scan(where, data, np.asarray(affine, np.float64), header, data.dtype)


def reread(path: Path, data: NDArray[Any], affine: NDArray[np.float64]) -> Scan:
    """The scan as read back from a file."""
    return read_scan(write_scan(path, data, affine))
