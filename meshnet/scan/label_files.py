"""Label files: told from scans by name or header, read whole, and never replaced by those of another scan."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from meshnet.scan.nifti import LABEL_INTENT, read_header
from meshnet.scan.scan_stream import ScanError

#: How names of masks and segmentations end (BIDS and common custom), and an entity that BIDS gives only to them.
LABEL_ENDINGS = ("_mask", "_dseg", "_labels", "_seg", "_roi")
LABEL_ENTITY = "_label-"

#: Image and mask are on one grid where their affines agree to this, in mm.
AFFINE_TOLERANCE_MM = 1e-2

#: The result of a scan, written again, lies where it lay to this, in mm: float32 rounding, nothing else.
SAME_SCAN_TOLERANCE_MM = 1e-3


def names_labels(stem: str) -> bool:
    """Whether a file name without its extensions is that of a label map."""
    lower = stem.lower()
    return lower.endswith(LABEL_ENDINGS) or LABEL_ENTITY in lower


def says_labels(path: Path) -> bool:
    """Whether a NIfTI header says labels, as those of every model do. False where there is no header to be read."""
    try:
        return int(read_header(path)["intent_code"]) == LABEL_INTENT
    except (ScanError, OSError):  # reading the file as a scan says what is wrong with it
        return False


def read_labels(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels [i, j, k] and affine [4, 4] (mm) of a mask or label map, an empty one too.

    `read_scan` would refuse an empty mask as a constant image. Trailing dimensions of size 1 don't count.
    Raises ScanError where the file can't be read.
    """
    try:
        image = cast(nib.Nifti1Image, nib.load(path))
        voxels, affine = np.asarray(image.dataobj), np.asarray(image.affine, np.float64)
    except (OSError, EOFError, zlib.error, HeaderDataError, ImageFileError, ValueError, AttributeError) as error:
        # AttributeError: a CIFTI file, whose values lie on a surface, has no affine.
        raise ScanError(f"{path}: the labels cannot be read ({error}); get the file again") from error
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels, affine


def check_replaceable(path: Path, affine_vox2ras: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Raise ScanError where the file `path` has another grid than that of the labels to be written there.

    It then is another scan's. A file that isn't there or can't be read is no loss.
    """
    try:
        header = read_header(path)
        with np.errstate(all="ignore"):
            affine = np.asarray(header.get_best_affine(), np.float64)
    except (ScanError, OSError, HeaderDataError, ValueError):
        return
    found = tuple(int(n) for n in header.get_data_shape())
    if found == tuple(shape) and np.abs(affine - affine_vox2ras).max() <= SAME_SCAN_TOLERANCE_MM:
        return
    why = f"{found} voxels instead of {tuple(shape)}" if found != tuple(shape) else "the same shape elsewhere in space"
    raise ScanError(
        f"{path}: holds labels on another grid, so probably another scan's ({why}); choose another --out or delete it"
    )
