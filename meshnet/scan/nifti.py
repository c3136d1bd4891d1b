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
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from meshnet.scan.itk_formats import is_itk_format, read_itk
from meshnet.scan.label_values import is_label_like
from meshnet.scan.nifti_header import POINTER, affine_in_mm, check_affine, parse_header
from meshnet.scan.notes import Note, make_note
from meshnet.scan.scan_stream import ScanError, ScanStream, pair_partner

__all__ = ["Scan", "ScanError", "new_header", "read_header", "read_scan", "save_labels", "save_volume", "space_code"]

MIN_DIM, MAX_DIM, MAX_VOXELS = 2, 2048, 2**28

#: NIFTI_INTENT_LABEL: the voxels are labels. The site writes this code too; viewers show such files in colour.
LABEL_INTENT = 1002

_MGH_VERSION, _MGH_HEADER_SIZE = b"\0\0\0\1", 284
_UNUSABLE_DTYPES = {"V": "RGB24 or RGBA32", "c": "complex"}


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
            raw, affine = _read_mgh(stream, head, frame, where)
            data, header = raw, new_header(affine, raw.shape, code=1)
        elif is_itk_format(head):
            raw, affine, assumptions = read_itk(path)
            raw, affine = _one_frame(raw, frame, where), check_affine(affine, where)
            data, header = raw, new_header(affine, raw.shape, code=1)
            notes += assumptions
        else:
            header, repairs = parse_header(head, where)
            affine, assumptions = affine_in_mm(header, where)
            raw = _read_nifti_voxels(stream, header, header_path, frame, where)
            data = _scaled(raw, header, where)
            if _is_single(header, header_path) and not _has_single_magic(header):
                notes.append(make_note("magic-of-a-pair"))
            notes += repairs + assumptions
    data, not_a_number = _nan_as_zero(data, where)
    _check_values(data, where)
    notes += not_a_number
    if is_label_like(data):
        notes.append(make_note("label-like"))
    return Scan(where, data, affine, _result_header(header, data.shape), raw.dtype, tuple(notes))


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
    partial = path.with_name(f".{path.name}.partial")
    try:
        is_plain = path.name.lower().endswith(".nii")
        partial.write_bytes(payload if is_plain else gzip.compress(payload, 6, mtime=0))
        os.replace(partial, path)
    except OSError:  # a full disk, a limit on file sizes
        partial.unlink(missing_ok=True)
        raise


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
    """The file that holds the header: the .hdr of an .img, unless the .img itself is a single-file NIfTI."""
    if not path.name.lower().endswith((".img", ".img.gz")):
        return path
    with closing(ScanStream(path)) as stream:
        head = stream.read(348)
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return path
    return pair_partner(path, ".img", ".hdr")


def _is_single(header: nib.Nifti1Header, header_path: Path) -> bool:
    """Whether the voxels are in the header's file: its magic says so, or it isn't called .hdr."""
    return _has_single_magic(header) or not header_path.name.lower().endswith((".hdr", ".hdr.gz"))


def _has_single_magic(header: nib.Nifti1Header) -> bool:
    return bool(header["magic"].item().startswith(b"n+"))


def _read_nifti_voxels(
    stream: ScanStream, header: nib.Nifti1Header, header_path: Path, frame: int | None, where: str
) -> NDArray[Any]:
    """One frame [i, j, k], unscaled, in this machine's byte order."""
    dtype = header.get_data_dtype()
    if dtype.kind in _UNUSABLE_DTYPES:
        raise ScanError(
            f"{where}: voxels are {_UNUSABLE_DTYPES[dtype.kind]} ({dtype}), expected one real number per voxel; "
            f"choose the magnitude or grey-scale image of this scan"
        )
    _check_shape(header.get_data_shape(), frame, where)
    single = _is_single(header, header_path)
    offset = float(header["vox_offset"]) or float(header.single_vox_offset if single else 0)
    if not 0 <= offset < 2**40:
        raise ScanError(f"{where}: vox_offset {offset} is not a valid position; convert the scan again")
    if single:
        return _frame(stream, header, int(offset), frame, where)
    with closing(ScanStream(pair_partner(header_path, ".hdr", ".img"))) as voxels:
        return _frame(voxels, header, int(offset), frame, where)


def _frame(stream: ScanStream, header: Any, offset: int, frame: int | None, where: str) -> NDArray[Any]:
    """One frame [i, j, k] of a file whose voxels start at byte `offset`.

    The other frames are read too, to check that the file is complete. header: nibabel's NIfTI or MGH header.
    """
    dtype: np.dtype[Any] = header.get_data_dtype()
    shape, frames = _check_shape(header.get_data_shape(), frame, where)
    frame = frame or 0
    size = int(np.prod(shape)) * dtype.itemsize
    stream.seek(offset + frame * size)
    payload = stream.read(size)
    missing = size - len(payload)
    if not missing:
        missing = (frames - frame - 1) * size - stream.skip((frames - frame - 1) * size)
    if missing:
        raise ScanError(
            f"{where}: {missing} bytes of voxels are missing; the header promises {shape} x {frames} of {dtype}, "
            f"so the file is cut short; get it again"
        )
    stream.read(1)  # gzip checks its checksum at the end of the stream
    stored: NDArray[Any] = np.frombuffer(payload, dtype).reshape(shape, order="F")
    return stored.astype(dtype.newbyteorder("="), copy=False)


def _read_mgh(
    stream: ScanStream, head: bytes, frame: int | None, where: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """One frame [i, j, k] in this machine's byte order, and the affine [4, 4]."""
    try:
        header = MGHHeader(head[:_MGH_HEADER_SIZE], check=False)
        header.get_data_dtype()  # raises for an unknown type code
    except (WrapStructError, HeaderDataError, KeyError) as error:
        raise ScanError(f"{where}: damaged MGH header ({error}); get the file again") from error
    # Without goodRASFlag nibabel would use FreeSurfer's default orientation, which may be wrong.
    if head[28:30] != b"\0\1":
        raise ScanError(
            f"{where}: its MGH header has no position in space (goodRASFlag is not 1), which says nothing about "
            f"left and right; convert the original images again"
        )
    _check_shape(header.get_data_shape(), frame, where)
    affine = check_affine(np.asarray(header.get_affine(), np.float64), where)
    return _frame(stream, header, _MGH_HEADER_SIZE, frame, where), affine


def _one_frame(voxels: NDArray[Any], frame: int | None, where: str) -> NDArray[Any]:
    """Voxels [i, j, k] of one frame of [i, j, k] or [i, j, k, frame]."""
    shape, frames = _check_shape(voxels.shape, frame, where)
    return voxels.reshape((*shape, frames))[..., frame or 0]


def _check_shape(dims: tuple[int, ...], frame: int | None, where: str) -> tuple[tuple[int, ...], int]:
    """Sizes (i, j, k) and the number of frames; trailing dimensions of size 1 are dropped."""
    dims = tuple(int(n) for n in dims)
    while len(dims) > 3 and dims[-1] == 1:
        dims = dims[:-1]
    if len(dims) not in (3, 4):
        raise ScanError(f"{where}: expected a 3-D volume, got shape {dims}; convert it to one 3-D file")
    shape, frames = dims[:3], dims[3] if len(dims) == 4 else 1
    if min(dims) < 1 or min(shape) < MIN_DIM or max(shape) > MAX_DIM or np.prod(shape, dtype=float) > MAX_VOXELS:
        raise ScanError(
            f"{where}: shape {dims} is no 3-D head scan; expected {MIN_DIM} to {MAX_DIM} voxels per axis "
            f"and at most {MAX_VOXELS} in all; check the conversion of this file"
        )
    if frame is None and frames > 1:
        raise ScanError(
            f"{where}: expected a 3-D volume, got shape {dims}; pick a frame with --frame 0 to --frame {frames - 1}"
        )
    if frame is not None and not 0 <= frame < frames:
        raise ScanError(f"{where}: --frame {frame} is out of range; this scan has frames 0 to {frames - 1}")
    return shape, frames


def _scaled(raw: NDArray[Any], header: nib.Nifti1Header, where: str) -> NDArray[Any]:
    """`raw * scl_slope + scl_inter` in float64, or `raw` if the header doesn't scale."""
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise ScanError(f"{where}: unusable intensity scaling ({error}); convert the scan again") from error
    if slope is None or (slope == 1 and inter == 0):
        return raw.astype(np.float64) if raw.dtype.itemsize > 8 else raw  # SciPy has no float128
    scaled: NDArray[Any] = raw.astype(np.float64) * slope + inter
    return scaled


def _nan_as_zero(data: NDArray[Any], where: str) -> tuple[NDArray[Any], list[Note]]:
    """The data with NaN replaced by 0, and a note of their share. Raises ScanError for infinite voxels."""
    bad = int(data.size - np.count_nonzero(np.isfinite(data))) if data.dtype.kind == "f" else 0
    if not bad:
        return data, []
    if np.isinf(data).any():
        raise ScanError(
            f"{where}: {bad} of {data.size} voxels are NaN or infinite; replace them (for instance by 0) and try again"
        )
    return np.where(np.isnan(data), data.dtype.type(0), data), [make_note("nan-read-as-zero", bad / data.size)]


def _check_values(data: NDArray[Any], where: str) -> None:
    low, high = float(data.min()), float(data.max())
    if not np.isfinite(high - low):
        raise ScanError(
            f"{where}: values from {low:g} to {high:g} are too far apart to be a scan's; correct them and try again"
        )
    if low == high:
        raise ScanError(f"{where}: every voxel has the value {data.flat[0]}; a constant image has nothing to segment")


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
