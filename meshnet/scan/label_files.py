"""Recognise label files by name or header, read them, and protect them from being replaced by another scan's."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from meshnet.scan.nifti import LABEL_INTENT, read_header
from meshnet.scan.nifti_header import affine_in_mm, mm_per_unit
from meshnet.scan.scan_stream import ScanError, read_to_end

#: Ending of the names of masks and segmentations: BIDS, BraTS (-seg), ISLES (_msk), ARC (_lesion), SynthSeg.
LABEL_ENDING = re.compile(
    r"(?:(?:^|[_-])(?:mask|msk|dseg|probseg|seg|segmentation|labels?|roi)|(?:^|_)lesions?|_synthseg)$", re.IGNORECASE
)
#: The entity that BIDS has for labels.
LABEL_ENTITY = "_label-"
#: FreeSurfer's segmentations, under their names or as the ending of another one.
_FREESURFER = re.compile(
    r"(?:^|[_-])(?:[lr]h\.)?(?:aseg|aparc|wmparc|ribbon)(?:[.+][a-z0-9.+]*)?$|^filled(?:\..*)?$", re.IGNORECASE
)
#: nnU-Net's folders of labels.
_LABEL_FOLDERS = re.compile(r"labels(?:Tr|Ts|Val)?", re.IGNORECASE)
#: SPM's and CAT12's tissue maps are called c1SCAN to c6SCAN, with letters in front for what was done to them.
_TISSUE_MAP = re.compile(r"(?:m?w?|r)(?:c|p)[0-6](?=[A-Za-z])(?P<scan>.+)")

#: Errors of nibabel. AttributeError: CIFTI files, whose values lie on a surface, have no affine.
_UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
    HeaderDataError,
    ImageFileError,
    WrapStructError,
    ValueError,
    AttributeError,
)

#: Image and mask are on one grid if their affines differ by at most this, in mm.
AFFINE_TOLERANCE_MM = 1e-2

#: Affines of two results of one scan differ by at most this, in mm: float32 rounding.
SAME_SCAN_TOLERANCE_MM = 1e-3


def names_labels(stem: str) -> bool:
    """Whether a file name (without extensions) is that of a label file."""
    return bool(LABEL_ENDING.search(stem) or LABEL_ENTITY in stem.lower() or _FREESURFER.search(stem))


def lies_among_labels(path: Path) -> bool:
    """Whether the file's folder is one that nnU-Net keeps labels in."""
    return _LABEL_FOLDERS.fullmatch(path.parent.name) is not None


def maps_tissue_of(stem: str) -> str:
    """The name (without extensions) of the scan that SPM's map of a tissue was made of; empty for another name."""
    found = _TISSUE_MAP.fullmatch(stem)
    return found["scan"] if found else ""


def says_labels(path: Path) -> bool:
    """Whether the NIfTI header's intent code says labels, as in every result of a model. False for an unreadable
    header."""
    try:
        return int(read_header(path)["intent_code"]) == LABEL_INTENT
    except (ScanError, OSError):  # `read_scan` reports the problem later
        return False


def read_labels(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels [i, j, k] and affine [4, 4] (voxel to RAS, mm) of a mask or label file.

    Empty masks are read too (`read_scan` refuses constant images). Trailing dimensions of size 1 are dropped. Raises
    ScanError if the file can't be read.
    """
    try:
        return _voxels_and_affine(cast(nib.Nifti1Image, nib.load(path)))
    except _UNREADABLE as error:
        raise ScanError(f"{path}: the labels cannot be read ({error}); get the file again") from error


def read_saved_labels(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """As `read_labels`, of a file that `save_labels` wrote, read once.

    Raises ScanError also where its gzip stream lacks its end.
    """
    content = read_to_end(path)
    try:
        return _voxels_and_affine(nib.Nifti1Image.from_bytes(content))
    except _UNREADABLE as error:
        raise ScanError(f"{path}: the labels cannot be read ({error}); make them again") from error


def _voxels_and_affine(image: nib.Nifti1Image) -> tuple[NDArray[Any], NDArray[np.float64]]:
    voxels, affine = np.asarray(image.dataobj), np.array(image.affine, np.float64)
    if isinstance(image.header, nib.Nifti1Header):
        affine[:3] *= mm_per_unit(image.header)
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels, affine


def check_replaceable(path: Path, affine_vox2ras: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """Raise ScanError if the file `path` has another grid than the labels that will be written there.

    Such a file is probably another scan's result. A missing or unreadable file may be replaced.
    """
    try:
        header = read_header(path)
        with np.errstate(all="ignore"):
            affine, _ = affine_in_mm(header, str(path))
    except (ScanError, OSError):
        return
    found = tuple(int(n) for n in header.get_data_shape())
    if found == tuple(shape) and np.abs(affine - affine_vox2ras).max() <= SAME_SCAN_TOLERANCE_MM:
        return
    why = f"{found} voxels instead of {tuple(shape)}" if found != tuple(shape) else "same shape, another affine"
    raise ScanError(
        f"{path}: holds labels on another grid, so probably another scan's ({why}); choose another --out or delete it"
    )
