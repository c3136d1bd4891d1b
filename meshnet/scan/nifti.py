"""Read scans (NIfTI-1/2 as .nii, .nii.gz or .hdr/.img, MGH/MGZ, NRRD, MetaImage) and write volumes as NIfTI.

Memory order: arrays are `[i, j, k]` as in nibabel; in the file i runs fastest. The format is recognised by content, not
by name. docs/conform.md, section 1, has the rules and lists the files that are refused.
"""

from __future__ import annotations

import gzip
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.scan.foreign_files import POINTER
from meshnet.scan.itk_formats import is_itk_format, read_itk
from meshnet.scan.nifti_header import affine_in_mm, check_affine, parse_header
from meshnet.scan.nifti_voxels import (
    MAX_DIM,
    MAX_VOXELS,
    MIN_DIM,
    check_shape,
    one_frame,
    read_mgh,
    read_nifti_voxels,
    scaled,
    usable_values,
)
from meshnet.scan.notes import Note
from meshnet.scan.replacing import replacing
from meshnet.scan.scan_stream import ScanError, ScanStream, pair_partner

__all__ = [
    "MAX_DIM",
    "MAX_VOXELS",
    "MIN_DIM",
    "Scan",
    "ScanError",
    "new_header",
    "read_header",
    "read_scan",
    "save_labels",
    "save_volume",
    "space_code",
]

#: NIFTI_INTENT_LABEL: the voxels are labels. The site writes this code too; viewers show such files in colour.
LABEL_INTENT = 1002

_MGH_VERSION = b"\0\0\0\1"


@dataclass(frozen=True)
class Scan:
    """A 3-D scan on its own grid (the native grid)."""

    where: str  #: the path, for messages
    data: NDArray[Any]  #: [i, j, k], this machine's byte order; the stored dtype, or float64 if the header scales it
    affine_vox2ras: NDArray[np.float64]  #: [4, 4], voxel to RAS, mm
    header: nib.Nifti1Header  #: single-file NIfTI header (1 or 2) of this grid, for saving results
    stored_dtype: np.dtype[Any]  #: dtype of the voxels in the file
    notes: tuple[Note, ...] = ()  #: what was repaired or assumed while reading


def read_scan(path: Path, *, frame: int | None = None) -> Scan:
    """Read one scan. `frame` (0-based) picks one volume of a 4-D file.

    Raises ScanError for every file that docs/conform.md refuses, OSError if the file can't be opened.
    """
    where = str(path)
    _check_link(path)
    notes: list[Note] = []
    header_path = _header_path(path)
    # Damaged headers give NaN or infinity; the checks below report them.
    with closing(ScanStream(header_path)) as stream, np.errstate(all="ignore"):
        head = stream.read(540)
        if head[:4] == _MGH_VERSION:
            raw, affine = read_mgh(stream, head, frame, where)
            data, header = raw, new_header(affine, raw.shape, code=1)
        elif is_itk_format(head):
            raw, affine, notes = read_itk(path)
            raw = one_frame(raw, frame, where)
            data, header = raw, new_header(check_affine(affine, where, raw.shape), raw.shape, code=1)
        else:
            header, repairs = parse_header(head, where)
            check_shape(header.get_data_shape(), frame, where)
            affine, assumptions = affine_in_mm(header, where)
            raw, found = read_nifti_voxels(stream, header, header_path, frame, where)
            data = scaled(raw, header, where)
            notes = [*found, *repairs, *assumptions]
    data, of_values = usable_values(data, where)
    return Scan(where, data, affine, _result_header(header, data.shape), raw.dtype, (*notes, *of_values))


def read_header(path: Path) -> nib.Nifti1Header:
    """The NIfTI-1 or -2 header of a .nii, .nii.gz or .hdr file; no voxels are read.

    Raises ScanError if the file has no NIfTI header, OSError if it can't be opened.
    """
    with closing(ScanStream(path)) as stream, np.errstate(all="ignore"):
        return parse_header(stream.read(540), str(path))[0]


def save_labels(path: Path, labels: NDArray[np.uint8], header: nib.Nifti1Header) -> None:
    """Like `save_volume`; the header's intent code marks the voxels as labels."""
    marked: nib.Nifti1Header = header.copy()
    marked["intent_code"] = LABEL_INTENT
    save_volume(path, labels, marked)


def save_probability(path: Path, values: NDArray[np.uint8], header: nib.Nifti1Header) -> None:
    """Like `save_volume`; 0 to 255 are read as 0 to 1, by the header's scl_slope."""
    scaled: nib.Nifti1Header = header.copy()
    scaled["scl_slope"], scaled["scl_inter"] = 1 / 255, 0
    scaled["cal_min"], scaled["cal_max"] = 0, 1
    save_volume(path, values, scaled)


def save_volume(path: Path, voxels: NDArray[np.uint8], header: nib.Nifti1Header) -> None:
    """Write uint8 voxels [i, j, k] as a NIfTI file with this header (`Scan.header` or `new_header`).

    The file is compressed unless its name ends in .nii. It is replaced atomically; its bytes depend on the arguments
    alone. Raises ValueError if dtype or shape differ from the header.
    """
    if voxels.dtype != np.uint8 or voxels.shape != header.get_data_shape():
        raise ValueError(
            f"{path}: expected uint8 voxels of shape {header.get_data_shape()}, got {voxels.dtype} {voxels.shape}"
        )
    offset = int(header["vox_offset"])
    payload = header.binaryblock.ljust(offset, b"\0") + voxels.tobytes(order="F")
    path.parent.mkdir(parents=True, exist_ok=True)
    is_plain = path.name.lower().endswith(".nii")
    with replacing(path) as partial:
        partial.write_bytes(payload if is_plain else gzip.compress(payload, 6, mtime=0))


def new_header(affine_vox2ras: NDArray[np.float64], shape: tuple[int, ...], *, code: int) -> nib.Nifti1Header:
    """A NIfTI-1 header with this affine [4, 4] (voxel to RAS, mm) as sform and qform, both with `code`."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_sform(affine_vox2ras, code)
    header.set_qform(affine_vox2ras, code)
    header.set_xyzt_units("mm")
    return _result_header(header, shape)


def space_code(header: nib.Nifti1Header) -> int:
    """The NIfTI code of the form that gives the affine; 2 (aligned) if the header has neither sform nor qform."""
    return int(header["sform_code"]) or int(header["qform_code"]) or 2


def _check_link(path: Path) -> None:
    """Raise ScanError for a link to a missing file, as git-annex leaves it until the content is fetched."""
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        if "annex/objects/" in Path(target).as_posix():
            raise ScanError(f"{path}: {POINTER}")
        raise ScanError(f"{path}: is a link to {target}, which doesn't exist; fetch that file or repair the link")


def _header_path(path: Path) -> Path:
    """The file that holds the header: the .hdr of an .img, unless the .img itself begins with a header."""
    if not path.name.lower().endswith((".img", ".img.gz")):
        return path
    with closing(ScanStream(path)) as stream:
        head = stream.read(348)
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return path
    try:
        return pair_partner(path, ".img", ".hdr")
    except ScanError:
        if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
            return path
        raise


def _result_header(header: nib.Nifti1Header, shape: tuple[int, ...]) -> nib.Nifti1Header:
    """A copy of the scan's header for uint8 voxels of the same grid in one little-endian file."""
    result: nib.Nifti1Header = header.as_byteswapped("<")
    result.set_data_shape(shape)
    result.set_data_dtype(np.uint8)
    result["magic"] = result.single_magic
    result["vox_offset"] = result.single_vox_offset
    result["scl_slope"], result["scl_inter"] = 1, 0
    result["cal_min"], result["cal_max"] = 0, 0
    return result
